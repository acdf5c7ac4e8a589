"""Figures that depend on each other: what is not stated follows, and what contradicts the rest is said.

    tokens  = steps * tokens_per_step
    seconds = tokens / tokens_per_second

so of five figures three are free. Stated ones come first, then the preset's and the forecast.
"""

import math
from typing import NamedTuple

from minigpt.planning.speed import at_mfu, forecast, mfu, micro_batches
from minigpt.recipe import PRESET_RECIPES

AGREE = 0.05  # stated figures are rounded: 2.7 s for 2.75


class Run(NamedTuple):
    """A whole run. source: of the speed. parts: micro-batches in a step, batch: windows in each."""

    steps: int
    tokens_per_step: int
    parts: int
    batch: int
    tokens_per_second: float
    source: str
    contradictions: list

    @property
    def tokens(self):
        """In the whole run."""
        return self.steps * self.tokens_per_step

    @property
    def seconds(self):
        """Of the whole run."""
        return self.tokens / self.tokens_per_second


def run_of(asked, most):
    """The run that the flags ask for; most: windows that fit into memory, None if unknown."""
    options = asked.options
    per_step = tokens_per_step(asked)
    most = PRESET_RECIPES[options.preset]["batch_size"] if most is None else most
    parts, batch = micro_batches(asked, per_step, most)
    length_known = options.steps or options.tokens
    if options.tokens_per_second:
        speed, source = options.tokens_per_second, "as stated"
    elif options.mfu:
        speed, source = at_mfu(asked, options.mfu), f"at the stated mfu, by {options.convention}'s count"
    elif options.hours and length_known:
        speed = (options.tokens or options.steps * per_step) / (3600 * options.hours)
        source = f"what {options.hours:g} hours ask for"
    else:
        speed, by = forecast(asked, per_step, batch)
        source = described(asked, by)
    steps = whole_steps(options, per_step, speed)
    run = Run(steps, per_step, parts, batch, speed, source, [])
    return run._replace(contradictions=contradictions(asked, run))


def described(asked, by):
    """What a forecast is from, and what it is not."""
    found = f"forecast from {by.seconds * 1e3:,.0f} ms measured on {by.ranks} x {by.machine} ({by.source})"
    if by.machine != asked.options.gpu:
        found += f", as if its share of the peak held on {asked.machine.name}"
    return found if asked.on_cores else found + "; of minigpt's own kernels no step on a GPU is known"


def tokens_per_step(asked):
    """As stated, or as tokens and steps together ask for in whole windows, or as the preset has it."""
    options, windows = asked.options, asked.config.n_ctx * asked.gpus
    if options.tokens_per_step:
        return options.tokens_per_step
    if options.tokens and options.steps:
        return max(1, round(options.tokens / options.steps / windows)) * windows
    return PRESET_RECIPES[options.preset]["tokens_per_step"]


def whole_steps(options, per_step, speed):
    """As stated, or as many as the tokens or the hours have room for, or the preset's."""
    if options.steps:
        return options.steps
    if options.tokens:
        return math.ceil(options.tokens / per_step)
    if options.hours:
        return max(1, int(3600 * options.hours * speed / per_step))
    return PRESET_RECIPES[options.preset]["steps"]


def contradictions(asked, run):
    """A sentence for each stated figure that does not agree with the others."""
    options, found = asked.options, []
    work = f"{run.steps:,} steps of {run.tokens_per_step:,} tokens"
    if options.tokens and differ(options.tokens, run.tokens):
        found.append(f"{work} are {run.tokens:,} tokens, not {options.tokens:,.0f}")
    shares = mfu(asked, run.tokens_per_second)
    share = shares[options.convention]
    if options.tokens_per_second and options.mfu and differ(options.mfu, share):
        found.append(
            f"{options.tokens_per_second:,.0f} tokens/s are an mfu of {share:.3g} by {options.convention}'s "
            f"count, not {options.mfu:g}"
        )
    if min(shares.values()) > 1:
        found.append(
            f"{run.tokens_per_second:,.0f} tokens/s are {min(shares.values()):.0%} of what "
            f"{asked.gpus} x {asked.machine.name} can do"
        )
    hours = run.seconds / 3600
    if options.hours and differ(options.hours, hours) and (options.steps or options.tokens):
        needed = run.tokens / (3600 * options.hours)
        found.append(
            f"{work} at {run.tokens_per_second:,.0f} tokens/s take {hours:,.3g} h, not {options.hours:g} h, "
            f"which ask for {needed:,.0f} tokens/s"
        )
    return found


def differ(stated, found):
    """Whether two figures are further apart than rounding explains."""
    return abs(found / stated - 1) > AGREE
