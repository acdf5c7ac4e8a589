"""minigpt inspect: what a file or folder is, what is in it, and whether it is sound."""

from minigpt.config import LIMITS, whole_between
from minigpt.disk import as_path
from minigpt.errors import MinigptError
from minigpt.screen import printable
from minigpt.weights.inspect.kinds import report


def inspect(command):
    """Print the report; 0 if all is well, 2 if not."""
    if command.n_head is not None:
        whole_between("n_head", command.n_head, 1, LIMITS["n_head"])
    try:
        for line in report(as_path(command.file, "file"), command.n_head):
            print(printable(line), flush=True)
    except MinigptError as reason:
        print(printable(f"verdict: not usable. {reason}"))
        return 2
    return 0
