"""Forecasts as text."""

from bench.scaling.forecast import efficiency
from minigpt.config import PRESETS
from minigpt.flops import flops_per_token, llmc_flops_per_token
from minigpt.planning.compute import MEMORY_SHARE, WIDTHS, params
from minigpt.planning.figures import check, mfu

COLUMNS = """\
        one batch, shared out                                                           | batch grows
 ranks  windows  compute  exposed  update  step ms   tok/s   MFU  effic.   hours      $ |  step ms  effic."""


def head(found):
    """Where the figures come from."""
    config, machine, by, plan = PRESETS[found.model], found.machine, found.calibration, found.plan
    counts = [count(config, plan.context) / 1e6 for count in (llmc_flops_per_token, flops_per_token)]
    size = params(config) * WIDTHS[plan.gradients] / 1e9
    ends = "all-reduce" if not plan.zero else "reduce-scatter and all-gather"
    return f"""\
{found.model} on {machine.name}: {found.run_steps:,} steps of {found.rows:,} windows of {plan.context} tokens
work: {counts[0]:,.1f} MFLOP a token by llm.c's count (MFU below), {counts[1]:,.1f} by PaLM's
compute: products at {found.share:.1%} of {machine.peak / 1e12:,.3g} TFLOP/s, memory at \
{MEMORY_SHARE * machine.bandwidth / 1e9:,.0f} GB/s
    share from {run(by)}: {by.seconds * 1e3:,.0f} ms, MFU {mfu(by):.1%} ({by.source})
exchange: {ends} of {size:.2f} GB in {plan.gradients}, {plan.way}
    {machine.bus / 1e9:g} GB/s in a node of {machine.node}, {machine.node * machine.network / 1e9:.4g} GB/s \
between nodes"""


def table(found):
    """A line for each number of ranks, in milliseconds; exposed: what nothing hides of the exchange."""
    lines = [strong_line(found, n, many) for n, many in zip(found.ranks, found.strong, strict=True)]
    weak = [f" |{ms(many.seconds):>9s}{efficiency(found.one, many):8.1%}" for many in found.weak]
    return "\n".join([COLUMNS, *(line + end for line, end in zip(lines, weak, strict=True))])


def strong_line(found, ranks, many):
    """The global batch is the same on any number of ranks."""
    if many is None:
        return f"{ranks:6,}  {f'{found.rows} windows cannot be shared out evenly':80s}"
    hours = many.seconds * found.run_steps / 3600
    price = found.machine.price
    dollars = "-" if price is None else f"{hours * ranks * price:,.0f}"
    work = many.tokens * llmc_flops_per_token(PRESETS[found.model], found.plan.context)
    share = work / (ranks * found.machine.peak * many.seconds)
    return (
        f"{ranks:6,}{f'{many.batch} x {many.parts}':>9s}{ms(many.compute):>9s}{ms(many.exposed):>9s}"
        f"{ms(many.update):>8s}{ms(many.seconds):>9s}{shortened(many.tokens / many.seconds):>8s}"
        f"{share:6.1%}{efficiency(found.one, many):8.1%}{short(hours):>8s}{dollars:>7s}"
    )


def check_table():
    """What was measured and is predicted, where no share was taken from it."""
    lines = ["run                                       measured  predicted   error  by MFU alone"]
    for figure, seconds, alone in check():
        off, plain = seconds / figure.seconds - 1, alone / figure.seconds - 1
        milliseconds = f"{figure.seconds * 1e3:7,.0f} ms{seconds * 1e3:8,.0f} ms"
        lines.append(f"{run(figure):40s}{milliseconds}{off:+8.1%}{plain:+14.1%}")
    return "\n".join(lines)


def run(figure):
    """Which run a figure is of."""
    return f"{figure.ranks} x {figure.machine} {figure.model}, {figure.batch} x {figure.context} tokens"


def shortened(number):
    """For people: 3.71M, 471.1k."""
    scale, letter = next(pair for pair in ((1e6, "M"), (1e3, "k"), (0, "")) if number >= pair[0])
    return f"{number / (scale or 1):.{2 if letter == 'M' else 1}f}{letter}"


def ms(seconds):
    """Milliseconds, without decimals where they would not fit a column."""
    return f"{seconds * 1e3:.{1 if seconds < 100 else 0}f}"


def short(hours):
    """Hours, in minutes' detail where they are few."""
    return f"{hours:.{1 if hours > 9 else 2}f}"
