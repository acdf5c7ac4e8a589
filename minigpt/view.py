"""What a person sees of a run that goes on, as lines of text at any width: progress, losses, speed, money.

A loss's curve is one line of eight heights. Its lowest is the least loss, its top what nine tenths of the
curve are below, so that the first steps' great losses do not flatten all that comes after them.
"""

import itertools
import math

from minigpt.log import clock

KEPT = 512  # points of the curve, at most; beyond, neighbours become their mean
BLOCKS, FULL, PARTS = "▁▂▃▄▅▆▇█", "█", " ▏▎▍▌▋▊▉"
PLAIN_BLOCKS, PLAIN_FULL, PLAIN_PARTS = "_.-~=+*#", "#", " -"  # where there are no others
LOST = "!"  # a loss that is no number
NARROW, WIDE = 34, 64  # columns below which less is shown


class View:
    """The last step, and the losses so far."""

    def __init__(self):
        self.losses, self.each = [], 1  # means of so many steps each
        self.part = []  # of the next mean
        self.first = None
        self.now = None

    def step(self, step, steps, report, seconds, tokens, mfu, left, spent):
        """Take note of a step; spent: dollars, None if nobody knows."""
        self.now = {"step": step, "steps": steps, "mfu": mfu, "left": left, "spent": spent}
        self.now |= {"loss": report.loss, "norm": report.norm, "lr": report.lr}
        self.now |= {"ms": seconds * 1e3, "rate": tokens / seconds}
        self.first = report.loss if self.first is None else self.first
        self.part.append(report.loss)
        if len(self.part) == self.each:
            self.losses.append(mean(self.part))
            self.part = []
        if len(self.losses) == KEPT:
            self.losses = [mean(pair) for pair in zip(self.losses[::2], self.losses[1::2], strict=True)]
            self.each *= 2

    def lines(self, width, plain=False):
        """At most three lines, none wider than width; plain: of ASCII alone."""
        if self.now is None:
            return []
        now = self.now
        left, count = f"{clock(now['left'])} left", f"step {now['step']:,}/{now['steps']:,}"
        if width < NARROW:
            return [f"{now['step']}/{now['steps']} {now['loss']:.4f} {clock(now['left'])}"[:width]]
        ends = f"{count}  ", f"  {now['step'] / now['steps']:4.0%}  {left}"
        progress = bar(now["step"] / now["steps"], width - sum(map(len, ends)), plain).join(ends)
        loss = f"loss {now['loss']:.4f}  "
        was = f"  from {self.first:.2f}" if width >= WIDE else ""
        curve = sparkline([*self.losses, *self.part], width - len(loss) - len(was), plain)
        return [part[:width] for part in (progress, loss + curve + was, self.figures(width))]

    def figures(self, width):
        """As many of the step's figures as there is room for, in the order of their use."""
        now = self.now
        parts = [f"{now['rate']:,.0f} tok/s", f"mfu {now['mfu']:.0%}"]
        if now["spent"] is not None:
            parts.append(f"${now['spent']:,.2f} so far")
        parts += [f"{now['ms']:,.0f} ms", f"norm {now['norm']:.2f}", f"lr {now['lr']:.2e}"]
        while len("  ".join(parts)) > width and len(parts) > 1:
            parts.pop()
        return "  ".join(parts)


def bar(share, width, plain=False):
    """A bar of this width, filled to a share between 0 and 1, in eighths of a column."""
    full, parts = (PLAIN_FULL, PLAIN_PARTS) if plain else (FULL, PARTS)
    eighths = int(max(0, width) * share * len(parts))
    whole, rest = divmod(eighths, len(parts))
    filled = full * whole + (parts[rest] if rest else "")
    return f"{filled:{'-' if plain else ' '}<{max(0, width)}s}"


def sparkline(values, width, plain=False):
    """Values in so many columns, each the mean of its share of them; in fewer if there are fewer values."""
    blocks = PLAIN_BLOCKS if plain else BLOCKS
    columns = squeezed(values, width)
    known = sorted(value for value in columns if math.isfinite(value))
    if not known:
        return LOST * len(columns)
    low, high = known[0], known[int(0.9 * (len(known) - 1))]
    span = high - low or 1.0

    def height(value):
        return blocks[round(min(1.0, (value - low) / span) * (len(blocks) - 1))]

    return "".join(height(value) if math.isfinite(value) else LOST for value in columns)


def squeezed(values, width):
    """At most width means of neighbours."""
    n = min(len(values), max(0, width))
    cuts = [len(values) * place // n for place in range(n + 1)] if n else []
    return [mean(values[start:stop]) for start, stop in itertools.pairwise(cuts)]


def mean(values):
    """Of numbers; none that is lost spoils it, unless all are."""
    known = [value for value in values if math.isfinite(value)]
    return math.fsum(known) / len(known) if known else math.nan
