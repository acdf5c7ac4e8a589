"""The words of a run: the model's shape, the published shapes by name, and the optimizer's numbers."""

import dataclasses
import math
from typing import Any

from minigpt.errors import ConfigError


def whole_between(name: str, value: Any, low: int, high: int = 2**31 - 1) -> int:
    """value as a Python int, or a ConfigError that names the field.

    Whole numbers of NumPy's integer types are taken; bool, float and str are not.
    """
    try:
        whole = None if isinstance(value, bool) else value.__index__()
    except (AttributeError, TypeError):
        whole = None
    if whole is None:
        raise ConfigError(f"{name} must be a whole number: found {value!r} of type {type(value).__name__}")
    if not low <= whole <= high:
        raise ConfigError(f"{name} must be between {low} and {high}: found {whole}")
    return whole


def number_between(name: str, value: Any, low: float, high: float, closed: bool = False) -> float:
    """value as a float with low <= value < high (<= high if closed), or a ConfigError naming the field."""
    try:
        no_number = isinstance(value, (bool, str, bytes)) or str(getattr(value, "dtype", "")) == "bool"
        number = None if no_number else float(value)
    except (TypeError, ValueError, OverflowError):
        number = None
    if number is None:
        raise ConfigError(f"{name} must be a number: found {value!r} of type {type(value).__name__}")
    if not (low <= number < high or (closed and number == high)):
        limit = "at most" if closed else "below"
        raise ConfigError(f"{name} must be at least {low} and {limit} {high}: found {value!r}")
    return number


# far beyond any model there is, and small enough that a slip of the finger is answered at once
LIMITS = {"n_layer": 10_000, "n_head": 10_000, "n_embd": 2**20, "n_ctx": 2**24, "n_vocab": 2**24}


@dataclasses.dataclass(frozen=True)
class GPTConfig:
    """How large a GPT-2 is: everything that decides its parameters' shapes.

    n_layer: blocks. n_head: attention heads a block. n_embd: channels C.
    n_ctx: longest sequence, in tokens. n_vocab: tokens in the vocabulary.
    """

    n_layer: int = 12
    n_head: int = 12
    n_embd: int = 768
    n_ctx: int = 1024
    n_vocab: int = 50257

    def __post_init__(self) -> None:
        for name, limit in LIMITS.items():
            object.__setattr__(self, name, whole_between(name, getattr(self, name), 1, limit))
        if self.n_embd % self.n_head:
            raise ConfigError(
                f"GPTConfig: n_embd must be divisible by n_head, so that every head has whole channels: "
                f"n_embd={self.n_embd}, n_head={self.n_head} leave {self.n_embd % self.n_head} over"
            )


# Radford et al. 2019, table 2; head counts from openai/gpt-2's hparams.json
PRESETS = {
    "gpt2": GPTConfig(n_layer=12, n_head=12, n_embd=768),
    "gpt2-medium": GPTConfig(n_layer=24, n_head=16, n_embd=1024),
    "gpt2-large": GPTConfig(n_layer=36, n_head=20, n_embd=1280),
    "gpt2-xl": GPTConfig(n_layer=48, n_head=25, n_embd=1600),
}

SCHEDULES = ("cosine", "linear", "constant", "wsd")


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """Everything that AdamW and the learning rate's schedule need to know.

    lr: peak learning rate. betas, eps, weight_decay: AdamW's. decay_all: decay vectors too, not
    matrices alone. clip: largest gradient norm, None for no limit. warmup: steps until lr is reached.
    schedule: its course after that. steps: the whole run's steps, where the schedule ends.
    final: what it ends at, as a share of lr. spike_guard: standard deviations that loss and gradient norm
    may leap above their last 128 before a step is refused, 0 for any; see guard.py.
    """

    lr: float = 6e-4
    betas: tuple[float, float] = (0.9, 0.95)
    eps: float = 1e-8
    weight_decay: float = 0.1
    decay_all: bool = False
    clip: float | None = 1.0
    warmup: int = 0
    schedule: str = "constant"
    steps: int = 1
    final: float = 0.0
    spike_guard: float = 0.0

    def __post_init__(self) -> None:
        self._keep(lr=number_between("lr", self.lr, 0, math.inf))
        if not isinstance(self.betas, (tuple, list)) or len(self.betas) != 2:
            raise ConfigError(f"betas must be two numbers, for the mean and the square: found {self.betas!r}")
        betas = [number_between(f"betas[{place}]", beta, 0, 1) for place, beta in enumerate(self.betas)]
        self._keep(betas=tuple(betas))
        self._keep(eps=number_between("eps", self.eps, 0, math.inf))
        self._keep(weight_decay=number_between("weight_decay", self.weight_decay, 0, math.inf))
        if type(self.decay_all) is not bool:
            raise ConfigError(f"decay_all must be True or False: found {self.decay_all!r}")
        if self.clip is not None:
            self._keep(clip=number_between("clip", self.clip, 0, math.inf))
            if self.clip == 0:
                raise ConfigError(
                    "clip must be above 0, or no weight would move: found 0; for no clipping give a "
                    "large one, such as 1e9, or in Python None"
                )
        self._keep(warmup=whole_between("warmup", self.warmup, 0))
        self._keep(steps=whole_between("steps", self.steps, 1))
        self._keep(final=number_between("final", self.final, 0, 1, closed=True))
        self._keep(spike_guard=number_between("spike_guard", self.spike_guard, 0, math.inf))
        if self.schedule not in SCHEDULES:
            raise ConfigError(f"schedule must be one of {', '.join(SCHEDULES)}: found {self.schedule!r}")

    def _keep(self, **checked: Any) -> None:
        """Replace a field by its checked value: Python's own numbers, for NumPy's widen float32 arrays."""
        for name, value in checked.items():
            object.__setattr__(self, name, value)
