"""reference diff: the first tensor at which another program leaves the path, by how much, and why."""

import dataclasses
from typing import Literal

from tyro.conf import Positional

from reference.answers import answered
from reference.bad_input import refuse_empty


@dataclasses.dataclass(frozen=True)
class Diff:
    """Name the first tensor of MINE that is further from REF than rounding explains, and look for the cause.

    Exit code 0: equal within rounding; 1: different; 2: bad input; 3: nothing differs, but some tensors could
    not be checked, for their budgets would allow anything.
    """

    ref: Positional[str]
    """A folder of reference dump; or a file of tensors, then with --tolerance."""
    mine: Positional[str]
    """Your tensors: .npy, .npz, .safetensors, llm.c's debug state, raw .bin with a shape map, or a folder."""
    shapes: str | None = None
    """Shape map of raw .bin files, JSON: {"ln1": {"dtype": "float32", "shape": [2, 8, 64], "offset": 0}}."""
    dtype: Literal["fp32", "tf32", "bf16", "fp16", "fp64"] = "fp32"
    """What your program computes in; its rounding errors are the budget."""
    runs: int = 16
    """Emulated runs that the budget is estimated from: more make it tighter."""
    tolerance: float | None = None
    """Instead of a computed budget: |mine - ref| / |ref| that is allowed, norm-wise."""
    causes: bool = True
    """Look for the cause of a difference."""
    json: bool = False
    """Print JSON instead of a table."""

    def run(self):
        """Compare and report; the exit code."""
        return answered("diff", self.compare)

    def compare(self):
        """Compare and report; the exit code."""
        import numpy as np  # here, so that --help need not wait for it

        from reference.diff.compare import compare

        refuse_empty(self, "ref", "mine", "shapes")
        with np.errstate(all="ignore"):  # what is not finite shows in the report
            report, code = compare(self)
        print(report)
        return code
