"""What `minigpt train` is asked to do: its flags, gaps filled by the preset, checked, and read by topic."""

import dataclasses
import hashlib
import math
import os

from minigpt import kernels, live, room
from minigpt.arrays import DTYPES
from minigpt.boards import check_boards
from minigpt.config import LIMITS, PRESETS, GPTConfig, OptimizerConfig, number_between, whole_between
from minigpt.data import ORDERS
from minigpt.errors import ConfigError
from minigpt.flags import check_words, refuse_empty

SMALL = {
    "n_layer": 4, "n_head": 4, "n_embd": 256, "tokenizer": "train", "n_vocab": 16384, "context": 128,
    "steps": 800, "batch_size": 8, "tokens_per_step": 1024,
    "lr": 2e-3, "warmup": 80, "schedule": "cosine",
}  # fmt: skip


def public(preset, steps, tokens_per_step, lr):
    """A published recipe (llm.c, scripts/run_gpt2_*.sh), in micro-batches that fit a small machine."""
    config = PRESETS[preset]
    return {
        "n_layer": config.n_layer, "n_head": config.n_head, "n_embd": config.n_embd,
        "tokenizer": "gpt2", "n_vocab": config.n_vocab, "context": config.n_ctx,
        "steps": steps, "batch_size": 4, "tokens_per_step": tokens_per_step,
        "lr": lr, "warmup": 700, "schedule": "cosine",
    }  # fmt: skip


PRESET_RECIPES = {
    "small": SMALL,
    "gpt2": public("gpt2", 18_865, 524_288, 6e-4),
    "gpt2-medium": public("gpt2-medium", 60_000, 524_288, 3e-4),
    "gpt2-large": public("gpt2-large", 286_102, 524_288, 2.5e-4),
    "gpt2-xl": public("gpt2-xl", 32_000, 1_048_576, 6e-4),
}

# what a resumed run may change: what is shown and kept, and when
SHOWN = (
    "out", "checkpoint_every", "keep", "keep_every", "resume", "allow_changes", "sample_every",
    "sample_tokens", "eval_every", "eval_tokens", "compare_every", "layers_every", "live", "price",
    "tensorboard", "wandb",
)  # fmt: skip
SHARED_OUT = ("threads", "ranks", "zero")  # who computes: equal but for rounding
FOUND = ("data", "val_data", "data_format")  # where the tokens are from; settings compares the tokens
FREE = SHOWN + SHARED_OUT + FOUND
LOCAL = ("data", "val_data", "tokenizer", "threads")  # what is a machine's own
LEAST_VOCAB = 257  # the bytes and <|endoftext|>
LATER = ("tokenizer", "n_vocab")  # what is left out of these is known when the data is


def resolved(recipe):
    """The recipe with the preset's values in gaps, all but LATER, every field checked. Raises ConfigError."""
    check_words(recipe)
    if recipe.preset not in PRESET_RECIPES:
        raise ConfigError(f"preset must be one of {', '.join(PRESET_RECIPES)}: found {recipe.preset!r}")
    refuse_empty(recipe, ("data", "val_data", "tokenizer", "init_from", "out", "resume"))
    preset = PRESET_RECIPES[recipe.preset] | {"out": usual_out(recipe)}
    gaps = {name: value for name, value in preset.items() if getattr(recipe, name) is None}
    filled = dataclasses.replace(recipe, **gaps)
    whole_between("context", filled.context, 1, LIMITS["n_ctx"])
    model_config(filled)
    if recipe.init_from and filled.tokenizer == "train":
        raise ConfigError(
            "init-from: weights know the ids of their own tokenizer: expected it as --tokenizer, found "
            "train, which learns another from the text"
        )
    recipe = dataclasses.replace(recipe, **{name: gaps[name] for name in gaps if name not in LATER})
    optimizer_config(recipe)
    for name in ("batch_size", "tokens_per_step", "checkpoint_every", "eval_tokens", "keep"):
        whole_between(name, getattr(recipe, name), 1)
    for name in ("keep_every", "eval_every", "sample_every", "sample_tokens", "layers_every", "seed"):
        whole_between(name, getattr(recipe, name), 0)
    whole_between("compare_every", recipe.compare_every, 0)
    whole_between("zero", recipe.zero, 0, 1)
    if recipe.ranks is not None:
        whole_between("ranks", recipe.ranks, 1, 65536)
    if recipe.threads is not None:
        whole_between("threads", recipe.threads, 1, 1024)
    check_watching(recipe)
    if recipe.tokens_per_step % (recipe.batch_size * recipe.context):
        raise ConfigError(
            f"tokens_per_step must be a multiple of --batch-size * --context = "
            f"{recipe.batch_size} * {recipe.context} = {recipe.batch_size * recipe.context}: "
            f"found {recipe.tokens_per_step}"
        )
    ways = recipe.tf32, recipe.products, recipe.attention
    kernels.check_choice(recipe.ops, recipe.dtype, recipe.device, *ways)
    if recipe.device == "numpy":
        check_room(recipe)
    if recipe.order not in ORDERS:
        raise ConfigError(f"order must be {' or '.join(ORDERS)}: found {recipe.order!r}")
    if not isinstance(recipe.allow_changes, str | None):
        raise ConfigError(f"allow_changes must be names, with commas: found {recipe.allow_changes!r}")
    if recipe.data_format not in (None, "raw"):
        raise ConfigError(f"data_format must be raw, or left out: found {recipe.data_format!r}")
    if recipe.data_format and not recipe.data:
        raise ConfigError("data_format says what is in --data, which is missing: name the shards")
    return recipe


def usual_out(recipe):
    """The run's folder where --out names none: the one that holds the checkpoint to resume from, if any."""
    if recipe.resume in ("auto", "never"):
        return f"runs/{recipe.preset}"
    return os.path.normpath(os.path.join(recipe.resume, os.pardir))


def check_watching(recipe):
    """A ConfigError if there is no such way to watch a run."""
    if recipe.live not in live.CHOICES:
        raise ConfigError(f"live must be one of {', '.join(live.CHOICES)}: found {recipe.live!r}")
    if recipe.price is not None:
        number_between("price", recipe.price, 0, math.inf)
    check_boards(recipe)


def check_room(recipe):
    """A ConfigError if a step cannot fit into memory; a vocabulary not known yet counts as the least."""
    config = model_config(dataclasses.replace(recipe, n_vocab=recipe.n_vocab or LEAST_VOCAB))
    size = DTYPES[masters(recipe)]().itemsize
    room.check_step(config, recipe.batch_size, recipe.context, size, recipe.ops == "reference" or size == 8)


def dealt(recipe, ranks):
    """A rank's share of a step: how many parts, of how many windows each. Raises ConfigError.

    A part has batch_size windows, or a rank's whole share where that is less.
    """
    windows = recipe.tokens_per_step // recipe.context
    share = windows // ranks
    each = min(recipe.batch_size, share)
    if windows % ranks or share % each:
        raise ConfigError(
            f"ranks: a step of {windows} windows in batches of {recipe.batch_size} cannot be dealt to "
            f"{ranks} equally: change --tokens-per-step ({recipe.tokens_per_step}) or --batch-size"
        )
    return share // each, each


def masters(recipe):
    """The number type of parameters, gradients and moments."""
    return "float32" if recipe.dtype == "bfloat16" else recipe.dtype


def model_config(recipe):
    """The model's shape."""
    return GPTConfig(recipe.n_layer, recipe.n_head, recipe.n_embd, recipe.context, recipe.n_vocab)


def notes(recipe):
    """Yield a line about each wish that is granted, and perhaps was not meant."""
    if recipe.warmup > recipe.steps:
        highest = recipe.lr * recipe.steps / recipe.warmup
        yield (
            f"warmup: {recipe.warmup} steps are more than the run's {recipe.steps}: the rate climbs to "
            f"{highest:g}, and lr, {recipe.lr:g}, is not reached"
        )


def optimizer_config(recipe):
    """The optimizer's numbers."""
    fields = ("lr", "weight_decay", "clip", "warmup", "schedule", "steps", "final", "spike_guard")
    return OptimizerConfig(**{name: getattr(recipe, name) for name in fields})


def asked(recipe):
    """What all ranks must be told alike; files may lie elsewhere on other machines: settings has theirs."""
    return {name: value for name, value in dataclasses.asdict(recipe).items() if name not in LOCAL}


def settings(recipe, corpus):
    """What two runs must share for one to continue the other: bit for bit if SHARED_OUT is the same, too.

    A tokenizer that was learned follows from the rest; any other is named by what it is, not where it lies.
    """
    shared = {name: value for name, value in dataclasses.asdict(recipe).items() if name not in FREE}
    tokens = hashlib.sha256(repr(corpus.tokenizer.tokens).encode()).hexdigest()
    tokenizer = "train" if corpus.learned else f"sha256:{tokens}"
    return shared | {"tokenizer": tokenizer, "train_ids_sha256": corpus.fingerprint}
