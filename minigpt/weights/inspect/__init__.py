"""minigpt inspect: what a file or folder is, what is in it, and whether it is sound."""

import dataclasses

from tyro.conf import Positional

from minigpt.config import LIMITS, whole_between
from minigpt.disk import as_path
from minigpt.errors import MinigptError
from minigpt.screen import printable


@dataclasses.dataclass(frozen=True)
class Inspect:
    """Say what a file is (weights, tokens, a tokenizer), list its tensors, and judge whether it is sound."""

    file: Positional[str]
    """A file, or a folder that belongs together."""
    n_head: int | None = None
    """Heads, for tensors that do not say how many."""

    def run(self):
        """Print the report; 0 if all is well, 2 if not."""
        from minigpt.weights.inspect.kinds import report

        if self.n_head is not None:
            whole_between("n_head", self.n_head, 1, LIMITS["n_head"])
        try:
            for line in report(as_path(self.file, "file"), self.n_head):
                print(printable(line), flush=True)
        except MinigptError as reason:
            print(printable(f"verdict: not usable. {reason}"))
            return 2
        return 0
