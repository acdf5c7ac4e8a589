"""The kit as files: the numbers in kit.bin, and where each table lies in index.json and index.tsv."""

import contextlib
import hashlib
import json
import struct
from importlib import resources
from pathlib import Path

from reference.folders import refuse_mixing, whole
from reference.kit.operations import is_float, operations
from reference.kit.training import training
from reference.kit.wobbly import flat
from reference.scalar.nested import each, shape
from reference.scalar.rounding import exact, values

ALIGN = 64  # bytes: where a table may begin
FORMAT = "minigpt conformance kit 1"
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
    """Write the kit to a folder, whole or not at all; a sentence that says what is in it."""
    out = Path(out)
    refuse_mixing(out, holds_a_kit)
    files, cases, tables = contents()
    size = sum(map(len, files.values()))
    with whole(out, size, holds_a_kit) as folder:
        for name, content in files.items():
            (folder / name).write_bytes(content)
    return f"{out}: {cases} cases, {tables} tables, {size:,} bytes; read {out / 'README.md'}"


def holds_a_kit(folder):
    """Whether a folder has a kit's index, of any version. What was compiled beside a kit stays."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        index = json.loads((folder / "index.json").read_bytes())
        return str(index.get("format")).startswith(FORMAT.rpartition(" ")[0])
    return False


def contents():
    """(the bytes of every file by name, the number of cases, the number of tables)"""
    blob, cases = Blob(), []
    for case in (*operations(), *training()):
        cases.append({
            "name": case.name,
            "about": case.about,
            "settings": case.settings,
            "inputs": {key: blob.add(case.name, "input", key, table) for key, table in case.inputs.items()},
            "expected": {key: answer(blob, case.name, key, table) for key, table in case.expected.items()},
        })  # fmt: skip
    index = {"format": FORMAT, "data": "kit.bin", "cases": cases}
    files = {
        "kit.bin": bytes(blob.content),
        "index.json": (json.dumps(index, indent=1) + "\n").encode(),
        "index.tsv": (HEAD + "".join(blob.rows)).encode(),
    }
    for name in COPIED:
        files[name] = resources.files("reference.kit").joinpath(name).read_bytes()
    files["SHA256SUMS"] = sums(files)
    return files, len(cases), len(blob.rows)


def answer(blob, case, name, table):
    """An expected table, and beside it how sensitive each entry is to rounding."""
    value = blob.add(case, "expected", name, values(table))
    error = blob.add(case, "error", name, each(lambda x: float(exact(x).error), table))
    return value | {"error_offset": error["offset"]}


def sums(files):
    """SHA-256 of every file, as sha256sum -c reads it."""
    lines = [f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in files.items()]
    return "".join(lines).encode()
