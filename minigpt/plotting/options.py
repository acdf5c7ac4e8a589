"""The flags of `minigpt plot`."""

import dataclasses

from tyro.conf import Positional


@dataclasses.dataclass(frozen=True)
class Plot:
    """Draw what runs have logged: loss, gradient norm, learning rate, throughput, HellaSwag; PNG or SVG.

    A run is its folder, a metrics.jsonl, or a main.log as llm.c writes it; several
    are drawn into one picture. Runs may be going on, and may be cut off. Where the
    text is FineWeb, FineWeb-Edu or OpenWebText in GPT-2's tokens, the losses of
    OpenAI's checkpoints on it are drawn as lines.
    """

    runs: Positional[tuple[str, ...]]
    """Runs' folders, or logs."""
    out: str = "plot.png"
    """The picture: .png or .svg. An older one of minigpt's is replaced, nobody else's file."""
    x: str = "step"
    """step, tokens, or hours (in training steps, without validations and saves)."""
    smooth: int | None = None
    """Steps whose losses, norms and speeds are averaged around each; 1: none. None: a fiftieth of the steps,
    from 100 on."""
    reference: str = "auto"
    """GPT-2's losses on a text, to draw beside: fineweb, fineweb-edu, openwebtext, none, or auto, by the
    names of the data."""
    tokens_per_step: int | None = None
    """For --x tokens: of logs that do not say it, as llm.c's."""
    dark: bool = False
    """Light on dark."""
