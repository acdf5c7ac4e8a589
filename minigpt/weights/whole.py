"""Files that are there whole or not at all."""

import contextlib
import os

from minigpt.disk import flush
from minigpt.errors import CheckpointError


@contextlib.contextmanager
def written_whole(path):
    """A name to write a file under; it takes path's place once the disk has it, or leaves nothing."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        flush(temporary)
        temporary.replace(path)
        flush(path.parent)
    except (OSError, ValueError) as reason:
        if isinstance(reason, CheckpointError):
            raise
        raise CheckpointError(f"{path}: cannot be written: {reason}") from None
    finally:
        with contextlib.suppress(OSError, ValueError):
            temporary.unlink(missing_ok=True)
