"""Writes minigpt/gpt2/classes.txt: which characters are letters, numbers and white space for tiktoken.

    python tools/freeze_classes.py

tiktoken drops what its pattern does not match. So a tokenizer of single bytes whose pattern is one class,
given all characters, gives back those of the class.
"""

import hashlib
from pathlib import Path

import tiktoken

TARGET = Path(__file__).parent.parent / "minigpt" / "gpt2" / "classes.txt"
CHARACTERS = "".join(chr(code) for code in range(0x110000) if not 0xD800 <= code < 0xE000)
CLASSES = {"L": r"\p{L}", "N": r"\p{N}", "S": r"\s"}


def members(pattern):
    """The characters that match a pattern of one character, in order."""
    single_bytes = {bytes([byte]): byte for byte in range(256)}
    filter = tiktoken.Encoding("filter", pat_str=pattern, mergeable_ranks=single_bytes, special_tokens={})
    return filter.decode_bytes(filter.encode_ordinary(CHARACTERS)).decode()


def ranges(characters):
    """Runs of neighbours among sorted characters, as pairs (first, last) of code points.

    "abcx" -> [(97, 99), (120, 120)]
    """
    runs = []
    for code in map(ord, characters):
        if runs and code == runs[-1][1] + 1:
            runs[-1] = (runs[-1][0], code)
        else:
            runs.append((code, code))
    return runs


def main():
    """Write the file, and say what the package has to pin."""
    lines = [f"# letters (L), numbers (N) and white space (S) as in tiktoken {tiktoken.__version__}"]
    for name, pattern in CLASSES.items():
        for first, last in ranges(members(pattern)):
            lines.append(f"{name} {first:04X}" + (f"-{last:04X}" if last > first else ""))
    content = "".join(f"{line}\n" for line in lines).encode()
    TARGET.write_bytes(content)
    print(f"{TARGET}: {len(lines) - 1} ranges, SHA-256 {hashlib.sha256(content).hexdigest()}")


if __name__ == "__main__":
    main()
