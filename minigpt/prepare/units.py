"""Files cut into units of work that workers read themselves, at places that all of them find alike.

A unit of a text or JSONL file is a range of bytes, cut roughly: its real ends are the first good places at or
after the nominal ones, so that a unit ends where the next one begins. One without a good place is empty, and
the one before it goes on through it. A unit of parquet is a range of rows.

A good place is the beginning of a line in JSONL; in a text, before a space, newline or carriage return that
follows a character which is no white space. No piece of GPT-2's pattern (minigpt/pieces.py) has white space
behind anything else, and nothing but white space looks ahead: a text cut there has the tokens of the whole.
"""

import re
from typing import NamedTuple

from minigpt.prepare import parquet
from minigpt.prepare.inputs import Source

UNIT = 2**23  # bytes of text: a second or two of work, and some megabytes of tokens to send back
BLOCK = 2**16  # bytes to search at a time

# Behind a character of one, two, three or four bytes of UTF-8 that is neither white space nor a control.
TEXT_CUT = re.compile(
    rb"[ \n\r](?:(?<=[!-~].)|(?<=[\xc3-\xdf]..)|(?<=\xc2(?![\x85\xa0])..)"
    rb"|(?<=(?!\xe1\x9a\x80|\xe2\x80[\x80-\x8a\xa8\xa9\xaf]|\xe2\x81\x9f|\xe3\x80\x80)[\xe0-\xef]...)"
    rb"|(?<=[\xf0-\xf4]....))",
    re.DOTALL,
)
LINE_CUT = re.compile(rb"(?<=\n)")
LOOK_BEHIND = 4  # bytes


class Unit(NamedTuple):
    """A piece of work: a range of bytes, or of rows, of a file."""

    file: int  # the place of the file among all
    source: Source
    start: int
    stop: int
    weight: int  # about how many bytes of the file it is: for the time left


def cut_file(file, source, field, start=0, unit=UNIT):
    """The Units of a file that has its path, from a start on."""
    if source.format == "parquet":
        stops = row_stops(parquet.group_sizes(source, field), unit)
    else:
        stops = [*range(start + unit, source.size, unit), source.size]
    for stop in stops:
        if stop > start:
            yield Unit(file, source, start, stop, (stop - start) * source.size // stops[-1])
            start = stop


def row_stops(groups, unit):
    """The rows at which units end, of row groups as (rows, bytes): whole groups, but for very large ones.

    A worker must read a group from its beginning to reach its middle, so that few cuts are better there.
    [(10, 5), (10, 5), (10, 5)], 8 -> [20, 30]
    """
    stops, row, pending = [], 0, 0
    for rows, size in groups:
        pieces = min(rows or 1, 1 + size // (8 * unit))
        for k in range(1, pieces + 1):
            pending += size / pieces
            if pending >= unit:
                stops.append(row + rows * k // pieces)
                pending = 0
        row += rows
    return sorted({*stops, row})


def real_range(file, unit):
    """The (start, stop) in an open text or JSONL file that a unit's nominal range stands for."""
    cut = LINE_CUT if unit.source.format == "jsonl" else TEXT_CUT
    start = cut_at(file, unit.start, unit.stop, cut)
    if start >= unit.stop:  # and nobody looks further: where nothing can be cut, all units would
        return unit.stop, unit.stop
    return start, cut_at(file, unit.stop, unit.source.size, cut)


def cut_at(file, place, end, cut):
    """The first good place at or after a place; 0 is good. Without one before `end`: `end` or one behind."""
    if place == 0:
        return 0
    while place < end:
        begin = max(0, place - LOOK_BEHIND)
        file.seek(begin)
        block = file.read(BLOCK)
        if found := cut.search(block, place - begin):
            return begin + found.start()
        if not block[place - begin :]:
            break
        place = begin + len(block)
    return end
