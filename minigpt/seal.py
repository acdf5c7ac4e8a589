"""JSON objects that hold a SHA-256 of their own content, so that damage to a description is noticed too."""

import hashlib
import json

from minigpt.damage import short

SEAL = "sha256"


def sealed(value):
    """The object with its seal, as the bytes of a file."""
    return (json.dumps(value | {SEAL: seal_of(value)}, indent=1) + "\n").encode()


def seal_of(value):
    """The SHA-256 of a JSON value, whatever the order of its keys and the white space between them."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def difference(value, seal):
    """What was expected of an object and its seal, for a file that is not byte for byte `sealed`."""
    expected, found = seal_of(value), short(seal)
    if seal == expected:
        return f"expected it as it was written, found its white space or order changed (SHA-256 {found})"
    return f"expected SHA-256 {short(expected)} of itself, found {found}: its content has changed"
