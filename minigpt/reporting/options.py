"""The flags of `minigpt report`."""

import dataclasses

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Report:
    """Write an HTML page about a run: curves, samples from noise to English, layers, settings, machine.

    The page is one file, for any browser, and asks for nothing from the network.
    The run may be going on; what it has not noted, as older ones, the page says.
    """

    run: Positional[str]
    """A run's folder; of a metrics.jsonl or a main.log alone there are curves only."""
    out: str = "report.html"
    """The page. An older one of minigpt's is replaced, nobody else's file."""
