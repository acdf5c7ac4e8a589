"""Files that are there whole or not at all."""

import contextlib
import os

from minigpt.errors import CheckpointError
from minigpt.system import flush
from minigpt.weights.stored import refuse


@contextlib.contextmanager
def written_whole(path):
    """A name to write a file under; it takes path's place once the disk has it, or leaves nothing.

    Only a file is replaced: renamed over a device, such as /dev/full, the file would be there in its stead.
    """
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "a device, pipe or socket"
        refuse(path, "the name of a file", kind, "give another name")
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
