"""A published recipe on many ranks: its batch shared out (strong scaling), or grown with them (weak)."""

import dataclasses

from minigpt.config import PRESETS
from minigpt.errors import ConfigError
from minigpt.gpus import Machine
from minigpt.memory import gigabytes, largest_batch
from minigpt.planning.figures import CALIBRATION, Figure, share_of
from minigpt.planning.step import Plan, Step, step
from minigpt.recipe import PRESET_RECIPES

BATCHES = {"gpt2": 64, "gpt2-medium": 64, "gpt2-large": 32, "gpt2-xl": 16}  # karpathy/llm.c, scripts/
PUBLISHED_RANKS = 8  # in all of these scripts


@dataclasses.dataclass(frozen=True)
class Forecast:
    """Steps for each number of ranks, None where the batch cannot be shared out; and all they follow from."""

    model: str
    machine: Machine
    calibration: Figure
    share: float
    plan: Plan
    rows: int
    run_steps: int
    one: Step
    ranks: list[int]
    strong: list[Step | None]
    weak: list[Step]


def forecast(model, gpu, machine, ranks, tokens_per_step, batch_size, choices):
    """Predict a preset on a machine of MACHINES, or one changed from it. Raises ConfigError."""
    config, recipe, by = PRESETS[model], PRESET_RECIPES[model], CALIBRATION[gpu]
    context = config.n_ctx
    rows, rest = divmod(tokens_per_step or recipe["tokens_per_step"], context)
    if rest or not rows:
        raise ConfigError(
            f"--tokens-per-step: expected a multiple of the context, {context}: found {tokens_per_step}"
        )
    most = batch_size or min(BATCHES[model], fitting(model, machine))
    plan, share = Plan(most, context=context, **choices), share_of(by)
    own = max(1, rows // PUBLISHED_RANKS)
    return Forecast(
        model, machine, by, share, plan, rows,
        run_steps=recipe["steps"] * recipe["tokens_per_step"] // (rows * context),
        one=step(config, machine, share, 1, rows, plan),
        ranks=ranks,
        strong=[step(config, machine, share, n, rows, plan) for n in ranks],
        weak=[step(config, machine, share, n, n * own, plan) for n in ranks],
    )  # fmt: skip


def fitting(model, machine):
    """Windows that fit into a rank's memory, by minigpt's own kernels. Raises ConfigError if none does."""
    if machine.memory is None:
        return PRESET_RECIPES[model]["batch_size"]
    config = PRESETS[model]
    fits = largest_batch(config, config.n_ctx, machine.dtype, machine.memory)
    if not fits:
        raise ConfigError(
            f"--gpu: {model} needs more than the {gigabytes(machine.memory)} that one {machine.name} has: "
            f"choose a smaller model or another GPU"
        )
    return fits


def efficiency(one, many):
    """Tokens a second and rank, against one rank's."""
    return (many.tokens / many.seconds / many.ranks) / (one.tokens / one.seconds)
