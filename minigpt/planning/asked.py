"""From flags to what is planned: the model, the machine, how a step is shared out. Bad flags end here."""

import dataclasses
import functools

from minigpt import kernels, room
from minigpt.config import LIMITS, GPTConfig, number_between, whole_between
from minigpt.errors import ConfigError
from minigpt.flags import check_words
from minigpt.gpus import MACHINES, Machine
from minigpt.recipe import PRESET_RECIPES

CONVENTIONS = ("llm.c", "nanogpt")
MOST = 1e30  # of anything that is counted


@dataclasses.dataclass(frozen=True)
class Asked:
    """A model on so many machines of a kind; options: the flags, for what is left."""

    config: GPTConfig
    machine: Machine
    gpus: int
    dtype: str
    options: object

    @property
    def on_cores(self):
        """Whether there is no GPU."""
        return self.options.gpu == "cpu"

    @functools.cached_property
    def memory(self):
        """Bytes for one rank: of the GPU, or of what this machine had left when it was first asked."""
        return room.available_bytes() / self.gpus if self.on_cores else self.machine.memory

    @property
    def price(self):
        """Dollars an hour for one GPU, None if unknown."""
        return self.machine.price if self.options.price is None else self.options.price


def asked(options):
    """Everything about the model and the machines, checked. Raises ConfigError."""
    check_words(options)
    one_of("preset", options.preset, PRESET_RECIPES)
    one_of("gpu", options.gpu, MACHINES)
    one_of("convention", options.convention, CONVENTIONS)
    machine = MACHINES[options.gpu]
    gpus = whole_between("gpus", options.gpus, 1, 65536)
    if gpus > machine.node and gpus % machine.node:
        raise ConfigError(
            f"gpus: a node has {machine.node}; expected whole nodes beyond one, found {gpus}; "
            f"use {gpus - gpus % machine.node} or {gpus + machine.node - gpus % machine.node}"
        )
    whole_between("zero", options.zero, 0, 1)
    dtype = machine.dtype if options.dtype is None else options.dtype
    device = "numpy" if options.gpu == "cpu" else "cupy"
    if device == "cupy" and options.ops != "fast":
        raise ConfigError(f"ops must be fast where a GPU is planned: found {options.ops!r}; use --gpu cpu")
    kernels.check_choice(options.ops, dtype, device, attention=options.attention)
    if device == "cupy" and dtype == "float64":
        raise ConfigError("dtype must be bfloat16 or float32 where a GPU is planned: found 'float64'")
    check_numbers(options)
    return Asked(model(options), machine, gpus, dtype, options)


def one_of(name, value, known):
    """A ConfigError if a word is none of those known."""
    if value not in known:
        raise ConfigError(f"{name} must be one of {', '.join(known)}: found {value!r}")


def check_numbers(options):
    """A ConfigError for a figure that is no number above 0."""
    for name in ("steps", "tokens_per_step", "batch_size"):
        if (given := getattr(options, name)) is not None:
            whole_between(name, given, 1)
    for name in ("tokens", "tokens_per_second", "hours", "mfu"):
        if (given := getattr(options, name)) is not None:
            least = 1 if name == "tokens" else 1e-9
            number_between(name, given, least, 1 if name == "mfu" else MOST, closed=True)
    if options.price is not None:
        number_between("price", options.price, 0, MOST)


def model(options):
    """The model's shape: the preset's, but for what is given."""
    fields = {"n_layer": "n_layer", "n_head": "n_head", "n_embd": "n_embd", "context": "n_ctx",
              "n_vocab": "n_vocab"}  # fmt: skip
    preset = PRESET_RECIPES[options.preset]
    given = {name: getattr(options, name) for name in fields}
    if given["context"] is not None:
        whole_between("context", given["context"], 1, LIMITS["n_ctx"])
    values = {name: preset[name] if value is None else value for name, value in given.items()}
    return GPTConfig(**{fields[name]: value for name, value in values.items()})
