"""What a file's size and SHA-256 say of it, against what they should be: for people, in a few words."""

from minigpt.disk import describe, forbidden
from minigpt.errors import CheckpointError

COPY = "take another checkpoint, or copy it again"  # what there is to do
SHOWN = 8  # digits of a SHA-256 that a message shows: one in 4 billion pairs looks alike


def check_file(file, expected, advice=COPY):
    """A CheckpointError unless a file is there, and of the size and SHA-256 that disk.describe once found.

    Forbidden where its permissions are all that is wrong.
    """
    try:
        found = describe(file) if file.is_file() else None
    except PermissionError as reason:
        raise forbidden(file, reason) from None
    except OSError as reason:
        raise CheckpointError(f"{file} is damaged: cannot be read: {reason.strerror}; {advice}") from None
    if found != expected:
        raise CheckpointError(f"{file} is damaged: {difference(expected, found)}; {advice}")


def difference(expected, found):
    """What was expected and what was found, None for no file: sizes if they differ, else the SHA-256."""
    size, digest = expected["bytes"], expected["sha256"]
    if found is None:
        return f"expected {size:,} bytes, found no such file"
    if found["bytes"] != size:
        why = "it was cut off" if found["bytes"] < size else "something was added, or it is another file"
        return f"expected {size:,} bytes, found {found['bytes']:,}: {why}"
    return f"expected SHA-256 {short(digest)}, found {short(found['sha256'])}: its bytes have changed"


def short(digest):
    """A SHA-256 in a message: its first digits, whatever was found in its place."""
    return f"{digest[:SHOWN]}..." if isinstance(digest, str) else repr(digest)[:80]


def is_description(value):
    """Whether a value from a file says a size and a SHA-256, as disk.describe does."""
    kinds = {"bytes": int, "sha256": str}
    return isinstance(value, dict) and {name: type(each) for name, each in value.items()} == kinds
