"""reference trace: a page to read beside the source, of what one training step did with your text."""

import dataclasses

from tyro.conf import Positional

from reference.answers import answered
from reference.bad_input import refuse_empty


@dataclasses.dataclass(frozen=True)
class Trace:
    """Write an HTML page of one training step on a text: every operation, its source and its numbers."""

    text: Positional[str]
    """What the model reads; each token's target is the next one."""
    out: str = "trace.html"
    """The page to write; it needs nothing else, and no network."""
    weights: str | None = None
    """A model's weights, in any format that minigpt reads. None: a small trained model that comes along."""
    tokenizer: str | None = None
    """A tokenizer's file or folder, or gpt2. None: what lies beside the weights, else GPT-2's."""

    def run(self):
        """Write the page and say where it is; the exit code."""
        return answered("trace", self.write)

    def write(self):
        """Trace, assemble, write; the exit code."""
        from reference.trace.write import write_trace  # here, so that --help need not wait for NumPy

        refuse_empty(self, "out", "weights", "tokenizer")
        print(write_trace(self.text, self.out, self.weights, self.tokenizer))
        return 0
