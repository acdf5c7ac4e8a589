"""Long campaigns against the promises of reliability: each module has campaign(scale), which gives Rows."""

from typing import NamedTuple


class Row(NamedTuple):
    """One goal: what it requires, what was measured, and whether that suffices."""

    goal: str
    required: str
    value: str
    passed: bool


def tally(goal, trials, **counts):
    """The Row of a goal that no trial may miss: tally("...", 200, unreadable=0, differing=0)."""
    said = ", ".join(f"{count} {name}" for name, count in counts.items())
    none = ", ".join(f"0 {name}" for name in counts)
    return Row(goal, none, f"{said} of {trials:,}", trials > 0 and not any(counts.values()))
