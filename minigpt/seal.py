"""JSON objects that hold a SHA-256 of their own content, so that damage to a description is noticed too."""

import hashlib
import json

SEAL = "sha256"


def sealed(value):
    """The object with its seal, as the bytes of a file."""
    return (json.dumps(value | {SEAL: seal_of(value)}, indent=1) + "\n").encode()


def seal_of(value):
    """The SHA-256 of a JSON value, whatever the order of its keys and the white space between them."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()
