"""The flags of `minigpt plan`."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Plan:
    """What a training run needs and costs, before it is begun: memory, time, energy, money.

    The model and the run are a preset's, but for what is given. Of the figures
    that depend on each other (steps, tokens, tokens-per-step, tokens-per-second,
    mfu, hours) give those that you know: the others follow, and what contradicts
    the rest is said. Where no speed is given, it is forecast from steps that were
    measured, of llm.c on GPUs and of minigpt on cores. Nothing is run.
    """

    preset: str = "gpt2"
    """small, gpt2, gpt2-medium, gpt2-large or gpt2-xl."""
    n_layer: int | None = None
    """Transformer blocks."""
    n_head: int | None = None
    """Attention heads a block."""
    n_embd: int | None = None
    """Channels; a multiple of n-head."""
    n_vocab: int | None = None
    """Tokens of the vocabulary."""
    context: int | None = None
    """Tokens in a training window, and the longest that the model can read."""
    gpu: str = "h100"
    """h100, h200, a100, 4090, or cpu (this program's memory, the speed of two cores)."""
    gpus: int = 1
    """How many share each step; beyond one node, whole nodes."""
    price: float | None = None
    """Dollars an hour for one GPU. None: a published price, where there is one."""
    steps: int | None = None
    """Optimizer steps in the whole run."""
    tokens: float | None = None
    """Tokens in the whole run; 10e9 is ten billion."""
    tokens_per_step: int | None = None
    """Tokens in one optimizer step; a multiple of gpus times context."""
    tokens_per_second: float | None = None
    """The speed of all GPUs together, stated or measured."""
    mfu: float | None = None
    """The speed as a share of the published peak, above 0, at most 1; see convention."""
    convention: str = "llm.c"
    """Whose count of floating-point operations mfu is of: llm.c (attention's square halved by the mask, every
    parameter), or nanogpt (the full square, no table of positions; as PaLM's)."""
    hours: float | None = None
    """How long the run takes, or may take."""
    batch_size: int | None = None
    """Windows in one forward pass (a micro-batch). None: the most that fit and share out evenly."""
    dtype: str | None = None
    """bfloat16 or float32, on cores float64 too. None: bfloat16 on a GPU, float32 on cores."""
    attention: str = "tiles"
    """On a GPU: tiles, scores, or cudnn, as `minigpt train` takes them."""
    ops: str = "fast"
    """On cores: fast (kernels), or reference (plain array operations)."""
    recompute: bool = False
    """As if forward kept only each block's input and made the rest anew in backward. minigpt cannot do this:
    it is predicted only, with a third more arithmetic."""
    zero: int = 0
    """1: each GPU keeps the optimizer's moments for its share of the parameters only (ZeRO-1)."""
    json: bool = False
    """Print one JSON object: bytes, seconds, dollars, kilowatt hours."""
