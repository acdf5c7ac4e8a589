"""The kit as files: the numbers in kit.bin, and where each table lies in index.json and index.tsv."""

import hashlib
import json
import struct
from importlib import resources
from pathlib import Path

from reference.kit.operations import is_float, operations
from reference.kit.training import training
from reference.kit.wobbly import flat
from reference.scalar.nested import each, shape
from reference.scalar.rounding import exact, values

ALIGN = 64  # bytes: where a table may begin
COPIED = ("README.md", "layernorm.c")
HEAD = "case\trole\tname\tdtype\tshape\toffset\tcount\n"


class Blob:
    """Tables end to end, little-endian, each at a multiple of ALIGN."""

    def __init__(self):
        self.content, self.rows = bytearray(), []

    def add(self, case, role, name, table):
        """Append a table; where it lies."""
        numbers, offset = flat(table), len(self.content)
        dtype, code = ("f8", "d") if is_float(table) else ("i4", "i")
        self.content += struct.pack(f"<{len(numbers)}{code}", *numbers)
        self.content += bytes(-len(self.content) % ALIGN)
        sizes = shape(table)
        words = "x".join(map(str, sizes)) or "scalar"
        self.rows.append(f"{case}\t{role}\t{name}\t{dtype}\t{words}\t{offset}\t{len(numbers)}\n")
        return {"dtype": dtype, "shape": list(sizes), "offset": offset}


def write(out):
    """Write the kit to a folder; a sentence that says what is in it."""
    out, blob, cases = Path(out), Blob(), []
    out.mkdir(parents=True, exist_ok=True)  # first, for it may not go
    for case in (*operations(), *training()):
        cases.append({
            "name": case.name,
            "about": case.about,
            "settings": case.settings,
            "inputs": {key: blob.add(case.name, "input", key, table) for key, table in case.inputs.items()},
            "expected": {key: answer(blob, case.name, key, table) for key, table in case.expected.items()},
        })  # fmt: skip
    index = {"format": "minigpt conformance kit 1", "data": "kit.bin", "cases": cases}
    files = {
        "kit.bin": bytes(blob.content),
        "index.json": (json.dumps(index, indent=1) + "\n").encode(),
        "index.tsv": (HEAD + "".join(blob.rows)).encode(),
    }
    for name in COPIED:
        files[name] = resources.files("reference.kit").joinpath(name).read_bytes()
    files["SHA256SUMS"] = sums(files)
    for name, content in files.items():
        (out / name).write_bytes(content)
    size = sum(map(len, files.values()))
    return f"{out}: {len(cases)} cases, {len(blob.rows)} tables, {size:,} bytes; read {out / 'README.md'}"


def answer(blob, case, name, table):
    """An expected table, and beside it how sensitive each entry is to rounding."""
    value = blob.add(case, "expected", name, values(table))
    error = blob.add(case, "error", name, each(lambda x: float(exact(x).error), table))
    return value | {"error_offset": error["offset"]}


def sums(files):
    """SHA-256 of every file, as sha256sum -c reads it."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    return "".join(lines).encode()
