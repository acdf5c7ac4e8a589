"""What GPT-2's tokenizer is made of: its merges, and which characters are letters, numbers and white space.

vocab.bpe is OpenAI's file, byte for byte (see LICENSE). classes.txt holds the three character classes as
tiktoken sees them; tools/freeze_classes.py writes it. Unicode grows, and every regular expression engine has
its own table of it: Python's regex 2026.11 and tiktoken 0.14 disagree about 17,480 characters. With the
classes in a file, a text has the same tokens everywhere and always.
"""

import functools
import hashlib
import importlib.resources

from minigpt.errors import DataError

FOLDER = importlib.resources.files(__name__)
SHA256 = {
    "vocab.bpe": "1ce1664773c50f3e0cc8842619a93edc4624525b728b188a9e0be33b7726adc5",
    "classes.txt": "1cc2f66f0734d91dc03286328d8f3037606a58fb3137363f588ea1be379a18ea",
}


def read(name, folder=FOLDER):
    """The text of one of the folder's files. DataError if it is not the one that belongs there."""
    path = folder / name
    try:
        content = path.read_bytes()
    except OSError as reason:
        raise DataError(f"{path}: not readable: {reason.strerror}; install minigpt again") from None
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256[name]:
        raise DataError(f"{path}: expected SHA-256 {SHA256[name]}, found {found}; install minigpt again")
    return content.decode()


@functools.cache
def character_classes():
    """Letters, numbers and white space, each as what stands between the brackets of a regular expression.

    A line of the file such as "L 0041-005A" is a range of code points of class L.
    """
    ranges = {"L": [], "N": [], "S": []}
    for line in read("classes.txt").splitlines():
        if not line.startswith("#"):
            name, _, codes = line.partition(" ")
            ranges[name].append("-".join(f"\\U{code:0>8}" for code in codes.split("-")))
    return {name: "".join(codes) for name, codes in ranges.items()}
