"""What the model wrote, by step: the lines of samples.txt."""

import re

from minigpt.history.lines import exists, records
from minigpt.history.timeline import Timeline
from minigpt.reporting.numbers import spread

MOST = 240  # samples on a page
LONGEST = 4000  # characters of one
LINE = re.compile(r"step (\d{1,16}): (?:'(.*)'|\"(.*)\")")
ESCAPE = re.compile(r"\\(?:x([0-9a-f]{2})|u([0-9a-f]{4})|U([0-9a-f]{8})|([\\'\"nrt]))")
LETTERS = {"n": "\n", "r": "\r", "t": "\t"}


def samples_of(folder):
    """(samples, how many there are in all, remark); of many some, evenly: {"step", "text", "cut"}."""
    if not exists(folder / "samples.txt"):
        return [], 0, ""
    lines, remark = records(folder / "samples.txt", of_line, "a sample, such as step 20: ' of the'")
    timeline = Timeline()
    for step, text in lines:
        timeline.put("sample", step, text)
    texts = sorted(timeline.kinds.get("sample", {}).items())
    chosen = [texts[i] for i in spread(len(texts), MOST)]
    shown = [{"step": step, "text": visible(text[:LONGEST]), "cut": len(text) > LONGEST}
             for step, text in chosen]  # fmt: skip
    return shown, len(texts), remark


def of_line(line):
    """(step, text) of a line, whose text is written as Python writes it. Raises ValueError."""
    if not (found := LINE.fullmatch(line)):
        raise ValueError(line)
    return int(found[1]), ESCAPE.sub(meant, found[2] if found[2] is not None else found[3])


def meant(escape):
    r"""What an escape stands for: \n, \x0f, \u2028, \\ ..."""
    code = escape[1] or escape[2] or escape[3]
    if code is None:
        return LETTERS.get(escape[4], escape[4])
    number = int(code, 16)
    return "\ufffd" if 0xD800 <= number < 0xE000 or number > 0x10FFFF else chr(number)


def visible(text):
    """A text whose control characters are seen, by the sign for each, but for line breaks and tabs."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f]", sign, text)


def sign(control):
    """The picture of a control character: U+2400 and its number, U+2421 for the last."""
    number = ord(control[0])
    return chr(0x2421 if number == 0x7F else 0x2400 + number)
