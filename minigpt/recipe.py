"""What `minigpt train` is asked to do: every flag of the command line, and the presets' values for them."""

import dataclasses
import hashlib
import math

from minigpt import kernels, live, room
from minigpt.arrays import DTYPES
from minigpt.boards import check_boards
from minigpt.config import LIMITS, PRESETS, GPTConfig, OptimizerConfig, number_between, whole_between
from minigpt.data import ORDERS
from minigpt.errors import ConfigError
from minigpt.flags import check_words, refuse_empty


@dataclasses.dataclass(frozen=True)
class Recipe:
    """Train a GPT-2. What is left out takes the preset's value; the run says which when it starts."""

    preset: str = "small"
    """small (the default run), gpt2, gpt2-medium, gpt2-large or gpt2-xl."""
    n_layer: int | None = None
    """Transformer blocks."""
    n_head: int | None = None
    """Attention heads a block."""
    n_embd: int | None = None
    """Channels; a multiple of n-head."""
    n_vocab: int | None = None
    """Tokens of the vocabulary to learn, <|endoftext|> included; a finished tokenizer brings its own."""
    context: int | None = None
    """Tokens in a training window, and the longest that the model can read."""
    data: str | None = None
    """A path or a quoted glob of text files, or of token shards (.bin, .npy), or a folder of shards.
    Shards with val in their names are for validation. None: the State of the Union addresses."""
    val_data: str | None = None
    """The same, for validation. None: shards with val in their names; of a text, a part is held out."""
    data_format: str | None = None
    """raw: shards are uint16 tokens without a header, as nanoGPT's. None: llm.c's .bin, or .npy."""
    tokenizer: str | None = None
    """train (learned from the text), gpt2, or a tokenizer's file or folder. None: what lies beside shards,
    else gpt2; for text, train in the preset small, gpt2 in the others."""
    order: str = "shuffled"
    """shuffled (anew in every epoch) or sequential (as the data stands)."""
    init_from: str | None = None
    """Weights to start from (fine-tuning), in any format that minigpt reads. Sizes and tokenizer must be
    theirs; the context may be shorter. None: random ones."""
    out: str | None = None
    """The run's folder. None: runs/PRESET."""
    steps: int | None = None
    """Optimizer steps in the whole run."""
    batch_size: int | None = None
    """Windows in one forward pass."""
    tokens_per_step: int | None = None
    """Tokens in one optimizer step; a multiple of batch-size times context."""
    lr: float | None = None
    """Peak learning rate."""
    warmup: int | None = None
    """Steps until the peak learning rate."""
    schedule: str | None = None
    """cosine, linear, constant or wsd."""
    final: float = 0.0
    """Where the schedule ends, as a share of lr."""
    weight_decay: float = 0.1
    """AdamW's pull of matrices towards 0, a step, times the learning rate."""
    clip: float = 1.0
    """Largest gradient norm; longer gradients are shortened to it."""
    spike_guard: float = 0.0
    """Standard deviations: a step whose loss or gradient norm is so far above the last 128 steps' mean is
    not applied; 6 is a good value. 0: only steps that are not finite are refused."""
    checkpoint_every: int = 300
    """Steps between checkpoints; one is always made at the end."""
    keep: int = 3
    """Newest checkpoints to keep; at least 1."""
    keep_every: int = 0
    """Keep those of every so many steps, too. 0: none."""
    eval_every: int = 200
    """Steps between looks at a part of the held-out text. 0: at the end only."""
    eval_tokens: int = 20 * 64 * 1024
    """Tokens of held-out text to score at the end, at most; 20 batches of 64 x 1,024 are llm.c's protocol."""
    sample_every: int = 20
    """Steps between samples. 0: none."""
    sample_tokens: int = 32
    """Tokens in a sample."""
    layers_every: int = 20
    """Steps between notes of how long gradient, weights and update of each layer are. 0: none."""
    resume: str = "auto"
    """auto (the newest checkpoint in out), never (an older run is moved aside), or a checkpoint's folder."""
    allow_changes: str | None = None
    """What a resumed run may have otherwise than its checkpoint: names, with commas, as lr,warmup."""
    device: str = "numpy"
    """numpy (this machine's cores), or cupy (an NVIDIA GPU)."""
    dtype: str = "float32"
    """float32, or float64 (the reference operations, slow), or on a GPU bfloat16: activations and the weights
    that they meet; parameters, moments, gradients and sums stay in float32."""
    tf32: bool = False
    """On a GPU in float32: products may cut their factors to 10 bits of fraction."""
    products: str = "cublas"
    """On a GPU: cublas, or cublaslt, whose products also add biases, apply GELU, sum up gradients."""
    attention: str = "tiles"
    """On a GPU: tiles (no scores are kept of heads of 64 in bfloat16), scores, or cudnn (in bfloat16)."""
    ops: str = "fast"
    """fast (kernels) or reference (plain array operations)."""
    threads: int | None = None
    """Threads of the kernels, in each rank. None: every core, shared among the ranks of a machine."""
    ranks: int | None = None
    """Processes that share each step, started by mpiexec. None: as many as a launcher started, else one."""
    zero: int = 0
    """1: each rank keeps the optimizer's moments for its share of the parameters only (ZeRO-1)."""
    compare_every: int = 100
    """Steps after which ranks make sure that their weights are the same, bit for bit. 0: never."""
    seed: int = 0
    """Of the weights, the order of the data and the samples."""
    live: str = "auto"
    """auto (on a terminal a view that is redrawn in its place, else a line a step), off (always lines), or on
    (the view even where no terminal seems to be, as behind mpiexec)."""
    price: float | None = None
    """Dollars an hour for each rank's machine: shown is what the run has cost since this process began."""
    tensorboard: bool = False
    """Write TensorBoard's event files, too, into out/tensorboard; needs the package tensorboard."""
    wandb: str | None = None
    """A project of Weights & Biases to write to, too; needs the package wandb."""


SMALL = {
    "n_layer": 4, "n_head": 4, "n_embd": 256, "tokenizer": "train", "n_vocab": 16384, "context": 128,
    "steps": 600, "batch_size": 8, "tokens_per_step": 1024,
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

# what a resumed run may change: it decides what is shown and where it lies, not what is computed
FREE = ("out", "checkpoint_every", "sample_every", "sample_tokens", "layers_every", "resume", "threads")
FREE += ("ranks", "zero", "compare_every")
FREE += ("live", "price", "tensorboard", "wandb")
FREE += ("eval_every", "eval_tokens", "keep", "keep_every", "allow_changes")
FREE += ("data", "val_data", "data_format")  # where the tokens are from; settings compares the tokens
LOCAL = ("data", "val_data", "tokenizer", "threads")  # what is a machine's own
LEAST_VOCAB = 257  # the bytes and <|endoftext|>
LATER = ("tokenizer", "n_vocab")  # what is left out of these is known when the data is


def resolved(recipe):
    """The recipe with the preset's values in gaps, all but LATER, every field checked. Raises ConfigError."""
    check_words(recipe)
    if recipe.preset not in PRESET_RECIPES:
        raise ConfigError(f"preset must be one of {', '.join(PRESET_RECIPES)}: found {recipe.preset!r}")
    refuse_empty(recipe, ("data", "val_data", "tokenizer", "init_from", "out", "resume"))
    preset = PRESET_RECIPES[recipe.preset] | {"out": f"runs/{recipe.preset}"}
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
            f"tokens_per_step must be a multiple of batch_size * context = "
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
            f"{ranks} equally: change tokens_per_step ({recipe.tokens_per_step}) or batch_size"
        )
    return share // each, each


def masters(recipe):
    """The number type of parameters, gradients and moments."""
    return "float32" if recipe.dtype == "bfloat16" else recipe.dtype


def model_config(recipe):
    """The model's shape."""
    return GPTConfig(recipe.n_layer, recipe.n_head, recipe.n_embd, recipe.context, recipe.n_vocab)


def optimizer_config(recipe):
    """The optimizer's numbers."""
    fields = ("lr", "weight_decay", "clip", "warmup", "schedule", "steps", "final", "spike_guard")
    return OptimizerConfig(**{name: getattr(recipe, name) for name in fields})


def asked(recipe):
    """What all ranks must be told alike; files may lie elsewhere on other machines: settings has theirs."""
    return {name: value for name, value in dataclasses.asdict(recipe).items() if name not in LOCAL}


def settings(recipe, corpus):
    """What two runs must share for one to continue the other bit for bit.

    A tokenizer that was learned follows from the rest; any other is named by what it is, not where it lies.
    """
    shared = {name: value for name, value in dataclasses.asdict(recipe).items() if name not in FREE}
    tokens = hashlib.sha256(repr(corpus.tokenizer.tokens).encode()).hexdigest()
    tokenizer = "train" if corpus.learned else f"sha256:{tokens}"
    return shared | {"tokenizer": tokenizer, "train_ids_sha256": corpus.fingerprint}
