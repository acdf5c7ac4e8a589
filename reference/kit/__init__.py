"""reference kit: inputs, outputs and gradients for every operation, that a port in any language can read."""

import dataclasses
import sys


@dataclasses.dataclass(frozen=True)
class Kit:
    """Write the conformance kit: small cases with bounds for every operation, tiny models, the optimizer."""

    out: str = "kit"
    """The folder to write; files of an older kit in it are replaced."""

    def run(self):
        """Write the kit; the exit code."""
        from reference.kit.files import write

        try:
            print(write(self.out))
        except OSError as error:
            print(f"reference kit: {self.out}: {error.strerror or error}", file=sys.stderr)
            return 2
        return 0
