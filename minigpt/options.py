"""The flags of `minigpt train`."""

import dataclasses


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
    """The run's folder. None: runs/PRESET, or with --resume PATH the folder that holds the checkpoint."""
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
    """auto (the newest checkpoint in out), never (an older run is moved aside), or a checkpoint's folder:
    later checkpoints in out are then renamed, not deleted."""
    allow_changes: str | None = None
    """What a resumed run may have otherwise than its checkpoint: names, with commas, as lr,warmup; data for
    another text."""
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
