"""How many tokens a second: forecast from a measured step, or from a stated share of the peak, and back."""

import dataclasses

from minigpt.errors import ConfigError
from minigpt.flops import flops_per_token, llmc_flops_per_token
from minigpt.planning.figures import CALIBRATION, share_of
from minigpt.planning.step import Plan, step
from minigpt.recipe import dealt

COUNTS = {"llm.c": llmc_flops_per_token, "nanogpt": flops_per_token}  # convention -> FLOPs a token
FORMULAS = {"llm.c": "6 N + 6 L C T", "nanogpt": "6 (N - wpe) + 12 L C T"}


def mfu(asked, tokens_per_second):
    """The share of the published peak of all GPUs, by each convention."""
    peak = asked.gpus * asked.machine.peak
    return {name: tokens_per_second * count / peak for name, count in flops(asked).items()}


def flops(asked):
    """Floating-point operations of a trained token by each convention, without those of recomputing."""
    return {name: count(asked.config, asked.config.n_ctx) for name, count in COUNTS.items()}


def at_mfu(asked, share):
    """Tokens a second at a share of the peak, by the convention that was named."""
    return share * asked.gpus * asked.machine.peak / flops(asked)[asked.options.convention]


def micro_batches(asked, tokens_per_step, most):
    """(micro-batches a step on each GPU, windows in each). Raises ConfigError if it cannot be shared out."""
    T, gpus, given = asked.config.n_ctx, asked.gpus, asked.options.batch_size
    if tokens_per_step % (T * gpus):
        nearest = max(1, round(tokens_per_step / T / gpus)) * T * gpus
        raise ConfigError(
            f"tokens_per_step must be a multiple of --gpus * --context = {gpus} * {T} = {gpus * T}: "
            f"found {tokens_per_step}; use {nearest}"
        )
    own = tokens_per_step // T // gpus
    fitting = max((b for b in divisors(own) if b <= most), default=1)
    sizes = Sizes(tokens_per_step, T, given or fitting)
    return dealt(sizes, gpus)


@dataclasses.dataclass(frozen=True)
class Sizes:
    """What recipe.dealt asks of a recipe."""

    tokens_per_step: int
    context: int
    batch_size: int


def divisors(n):
    """Of a whole number, in any order."""
    small = [d for d in range(1, int(n**0.5) + 1) if n % d == 0]
    return {*small, *(n // d for d in small)}


def forecast(asked, tokens_per_step, batch):
    """(tokens a second, the measured step it is forecast from). Raises ConfigError if none is known."""
    if asked.dtype != asked.machine.dtype or asked.options.ops != "fast":
        how = f"{asked.dtype} on {asked.machine.name}"
        raise ConfigError(
            f"dtype: no measured step is known for {how} and ops {asked.options.ops}: "
            "give tokens-per-second, mfu or hours"
        )
    by = CALIBRATION[asked.options.gpu]
    T = asked.config.n_ctx
    plan = Plan(batch, zero=asked.options.zero, context=T)
    found = step(asked.config, asked.machine, share_of(by), asked.gpus, tokens_per_step // T, plan)
    again = found.compute / 3 if asked.options.recompute else 0  # forward once more
    return tokens_per_step / (found.seconds + again), by
