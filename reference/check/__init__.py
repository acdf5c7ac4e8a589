"""reference check: are minigpt's gradients the derivatives of its loss, and what others say they are?

The other rooms of reference/ import nothing of minigpt. This one does: it is what is checked.
"""

import dataclasses
from typing import Annotated, Literal

import tyro

from reference.answers import answered
from reference.bad_input import BadInput, refuse_empty


@dataclasses.dataclass(frozen=True)
class Check:
    """Hold minigpt's gradient of every tensor of a model against independent answers."""

    weights: str | None = None
    """Weights in any format that minigpt reads."""
    random: str | None = None
    """A random model in their place: gpt2, gpt2-xl, ..., or a shape, such as n_layer=2,n_head=3,n_embd=12.
    Of one shape and seed it is that of reference dump."""
    n_head: int | None = None
    """Heads, for a weights file that does not say."""
    text: str | None = None
    """The text whose first tokens are the batch; tinyshakespeare's are llm.c's debug batch. None: the State
    of the Union addresses; random ids for a model without a tokenizer."""
    batch: int | None = None
    """Sequences. None: 4."""
    time: int | None = None
    """Tokens in a sequence. None: 64, or the model's context."""
    against: Annotated[tuple[str, ...], tyro.conf.arg(metavar="NAMES [FILE]")] = ()
    """complex-step, torch, debug-state FILE (llm.c's), with commas or spaces between. None: complex-step,
    and torch where it is installed."""
    dtype: Literal["float64", "float32"] = "float64"
    """Of minigpt's gradients: float64 (the reference operations) or float32 (the kernels)."""
    golden: bool = False
    """Whether the weights are OpenAI's 124M, and must give the published losses and continuations. They are
    taken for OpenAI's, too, if llm.c's debug batch is given and they have its published first loss."""
    seed: int = 0
    """Of ids and directions, and of the random model, if --random does not say seed=NUMBER."""
    json: bool = False
    """Print one JSON object instead of a table."""

    def run(self):
        """Check; the exit code: 0 all within their bounds, 1 not, 2 bad input."""
        return answered("check", self.check)

    def check(self):
        """Check; the exit code."""
        from minigpt.errors import MinigptError  # here, so that --help need not wait
        from reference.check.program import check

        refuse_empty(self, "weights", "text")
        try:
            return check(self)
        except MinigptError as error:
            raise BadInput(error) from None
