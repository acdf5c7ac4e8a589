"""reference kit: inputs, outputs and gradients for every operation, that a port in any language can read."""

import dataclasses

from reference.answers import answered
from reference.bad_input import refuse_empty


@dataclasses.dataclass(frozen=True)
class Kit:
    """Write the conformance kit: small cases with bounds for every operation, tiny models, the optimizer."""

    out: str = "kit"
    """The folder to write: new, empty, or an older kit, whose files are replaced."""

    def run(self):
        """Write the kit; the exit code."""
        return answered("kit", self.write)

    def write(self):
        """Write the kit and say what is in it; the exit code."""
        from reference.kit.files import write  # here, so that --help need not wait

        refuse_empty(self, "out")
        print(write(self.out))
        return 0
