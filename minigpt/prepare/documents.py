"""A unit of work read as texts: whole documents, or a stretch of a long one."""

import codecs
import json
import os
from typing import NamedTuple

from minigpt.errors import DataError
from minigpt.prepare import parquet
from minigpt.prepare.inputs import refuse_changed
from minigpt.prepare.units import real_range

BLOCK = 2**20  # bytes, where lines are counted


class Stretch(NamedTuple):
    """A text, and whether it is the beginning and the end of its document."""

    text: str
    begins: bool = True
    ends: bool = True


def read_unit(unit, field):
    """Yield the Stretches of a unit; None for a row of parquet without a text."""
    return READERS[unit.source.format](unit, field)


def read_text(unit, field):
    """The stretch of a text file that is a unit; a whole file is a document."""
    content, start = content_of(unit)
    if content:
        text = decoded(content, unit.source.name, start)
        yield Stretch(text, start == 0, start + len(content) == unit.source.size)


def read_lines(unit, field):
    """The documents of JSON lines. Lines of nothing but white space are none."""
    content, start = content_of(unit)
    place = start
    if start == 0 and content.startswith(codecs.BOM_UTF8):
        content = content.removeprefix(codecs.BOM_UTF8)
        place = len(codecs.BOM_UTF8)
    for line in content.split(b"\n"):
        if line and not line.isspace():
            yield Stretch(text_of_line(line, place, unit.source, field))
        place += len(line) + 1


def text_of_line(line, place, source, field):
    """The text in a JSON line that begins at a place of its file."""

    def refuse(expected, found, advice):
        raise DataError(
            f"{source.name}, line {line_number(source, place)}: expected {expected}, found {found}; {advice}"
        )

    try:
        value = json.loads(line.decode())
    except UnicodeDecodeError as reason:
        found = f"byte {place + reason.start} of the file not to be: {reason.reason}"
        refuse("UTF-8", found, "convert the file")
    except (ValueError, RecursionError) as reason:
        refuse("a JSON object", f"{shown(line)}: {reason}", "mend or leave out this line")
    if not isinstance(value, dict):
        refuse("a JSON object", shown(line), f'write it as {{"{field}": ...}}')
    if field not in value:
        refuse(f"a field {field!r}", ", ".join(map(repr, value)) or "an empty object", "name one by --field")
    if not isinstance(value[field], str):
        found = shown(json.dumps(value[field]).encode())
        refuse(f"a string in field {field!r}", found, "leave out this line")
    return value[field]


def read_rows(unit, field):
    """The documents of rows of parquet."""
    for text in parquet.rows_of(unit.source, field, unit.start, unit.stop):
        yield None if text is None else Stretch(text)


READERS = {"text": read_text, "jsonl": read_lines, "parquet": read_rows}


def content_of(unit):
    """The bytes that a unit really is, and where they start. DataError if the file is not what it was."""
    source = unit.source
    try:
        with open(source.path, "rb") as file:
            start, stop = real_range(file, unit)
            file.seek(start)
            content = file.read(stop - start)
            status = os.fstat(file.fileno())  # after the last read, for what was written meanwhile
    except OSError as reason:
        raise DataError(f"{source.name}: cannot be read any more: {reason.strerror}") from None
    refuse_changed(source, status)
    return content, start


def decoded(content, name, start):
    """UTF-8 as text, or a DataError with the place in the file."""
    try:
        return content.decode()
    except UnicodeDecodeError as reason:
        found = f"byte {start + reason.start} (0x{content[reason.start]:02x}) not to be: {reason.reason}"
        raise DataError(f"{name}: expected UTF-8 text, found {found}; convert the file") from None


def line_number(source, place):
    """The number, from 1, of the line at a place in a file."""
    number, left = 1, place
    with open(source.path, "rb") as file:
        while left and (block := file.read(min(left, BLOCK))):
            number += block.count(b"\n")
            left -= len(block)
    return number


def shown(content):
    """The beginning of some bytes, for a message."""
    text = content[:60].decode(errors="replace").strip()
    return repr(text + "..." if len(content) > 60 else text)
