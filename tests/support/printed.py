"""Whether a program prints what a document says it does, on any machine."""

import re

NUMBER = re.compile(r"(?<![\w\[.=-])-?\d[\d,]*(?:\.\d+)?(?:e[-+]\d+)?(?![\w\]])")
ROW = re.compile(r"[a-z0-9_]+(\[\d\])? +(\d+x)+\d+ ")  # of the table that `reference diff` prints


def assert_alike(said, found, command):
    """The same words and counts; "..." as the first line stands for any lines."""
    said, found = ([*map(comparable, lines)] for lines in (said, found))
    if not said:
        assert found == [""], command
        return
    if said[0] == "...":
        said, found = said[1:], found[len(found) - len(said) + 1 :]
    assert [words(line) for line in said] == [words(line) for line in found], command
    for line, other in zip(said, found, strict=True):
        pairs = zip(NUMBER.findall(line), NUMBER.findall(other), strict=True)
        assert all(alike(*pair) for pair in pairs), (line, other)


def comparable(line):
    """A line without what another processor's order of sums decides.

    The place of the largest error: erf and tanh differ most at a smooth maximum, near which many numbers lie.
    Ulps: those of the number that happens to be nearest to 0.
    """
    line = re.sub(r"[\d.e+]+ ulp", "ulp", line.partition("largest error at")[0])
    return line[:66] + line[74:] if ROW.match(line) else line


def words(line):
    """A line with its numbers taken out, white space apart."""
    return NUMBER.sub("#", line).split()


def alike(said, found):
    """Counts exactly; ten digits and more to a billionth; errors, which depend on sums' order, fourfold."""
    if "." not in said + found and "e" not in said + found:
        return said == found or len(said) >= 3  # "266 times the budget" may be 265
    x, y = (float(number.replace(",", "")) for number in (said, found))
    if len(said.partition(".")[2]) >= 10:
        return abs(x - y) <= 1e-9 * abs(x)
    return max(abs(x), abs(y)) < 1e-12 or abs(y) / 4 <= abs(x) <= 4 * abs(y)  # below: 1 - cosine is rounding
