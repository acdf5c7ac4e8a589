"""How much of a GPU's memory a training step takes, part by part, and what to say when it does not suffice.

Counted from what kernels/cuda keeps (operations.py, block.py, attention.py, and what may be chosen instead),
at the moment when most is held at once: in backward, when the last block's is nearly done.

B batch, T time, C channels, H heads, F = 4C, V vocabulary, L layers, P parameters.
"""

import contextlib
import math
import traceback
from bisect import bisect_right

from minigpt.arrays import gpu_memory
from minigpt.model import param_shapes

WIDE = 4  # bytes of a float32, and of a token's id
TILES = 64  # the head size for which attention keeps no scores; kernels/cuda/attention_forward.py, HEAD
PAD = 64  # logits have room for a multiple of so many; kernels/cuda/operations.py
MOST_ROWS = 528  # float32 rows of partial sums in a layernorm's backward; kernels/cuda/layernorm.py, STRIPS
MOST_STRIPS = 64  # and in GELU's, of 8 positions at least; kernels/cuda/column_sum.py, STRIPS
LT_WORKSPACE = 2**25  # bytes that cublasLt may work in; kernels/cuda/cublaslt.py, WORKSPACE
CUDNN_HEADS = range(8, 129, 8)  # that cuDNN knows, for two positions or more; cudnn_attention.py
OTHERS = 2**28  # bytes that cuBLAS, kernels and blocks that do not fit into gaps may take besides
MOST = 2**20  # the largest batch that is looked at


def step_bytes(
    config, batch_size, context, dtype="bfloat16", *, attention="tiles", products="cublas", parts=1
):
    """Bytes at the peak of Trainer.step_in_parts with the CUDA kernels, as part -> bytes; their sum is all.

    attention, products: as kernels.table takes them.
    """
    rows, V = batch_size * context, -(-config.n_vocab // PAD) * PAD
    stored = 2 if dtype == "bfloat16" else WIDE
    logits = rows * V * stored
    layer = layer_bytes(config, batch_size, context, dtype, attention)
    activations = {f"{config.n_layer} x {name}": config.n_layer * n for name, n in layer.items()}
    work = work_bytes(config, batch_size, context, dtype, attention, products)
    always = resident_bytes(config, dtype) | {"tokens and targets": parts * 2 * rows * WIDE}
    always |= {"cublasLt's workspace": LT_WORKSPACE} if products == "cublaslt" else {}
    return always | activations | {"logits": logits, "work": work}


def resident_bytes(config, dtype):
    """What is there from the first step to the last; the copy of the weights, during a step."""
    P = sum(math.prod(shape) for shape in param_shapes(config).values())
    always = {"weights": P * WIDE, "gradients": P * WIDE, "moments": 2 * P * WIDE}
    return always | ({"weights in bfloat16": 2 * P} if dtype == "bfloat16" else {})


def layer_bytes(config, batch_size, context, dtype, attention="tiles"):
    """What forward keeps of one block: name -> bytes. Names are those of kernels/cuda/block.py."""
    B, T, C, H = batch_size, context, config.n_embd, config.n_head
    stored = 2 if dtype == "bfloat16" else WIDE
    x, stats = B * T * C * stored, 2 * B * T * WIDE  # (B, T, C); mean and rstd
    if how(config, T, dtype, attention) == "scores":
        scores = {"probs": B * H * T * T * stored}
    else:
        scores = {"lse": B * H * T * WIDE}
    return {
        "x": x, "n_1": x + stats, "qkv": 3 * x, **scores, "mixed": x,
        "middle": x, "n_2": x + stats, "wide": 4 * x, "active": 4 * x,
    }  # fmt: skip


def work_bytes(config, batch_size, context, dtype, attention="tiles", products="cublas"):
    """What is held at the peak besides what forward keeps of the blocks, and the logits."""
    B, T, C = batch_size, context, config.n_embd
    x = B * T * C * (2 if dtype == "bfloat16" else WIDE)
    norm = min(B * T, MOST_ROWS) * 4 * C * WIDE  # a layernorm's partial sums: of dgain, dbias and two more
    gelu = min(-(-B * T // 8), MOST_STRIPS) * 4 * C * WIDE if products == "cublas" else 0
    layer = layer_bytes(config, B, T, dtype, attention)
    # dx on the way in, dwide, dx between, dmixed, dqkv, dn, and dx on the way out
    block = (1 + 4 + 1 + 1 + 3 + 1 + 1) * x + 2 * norm + gelu
    if "probs" in layer:  # while dqkv is put together of its three parts, dy is there by heads, and dprobs
        block = max(block, (1 + 4 + 1 + 1 + 3 + 1 + 1 + 3) * x + layer["probs"] + norm + gelu)
    if how(config, T, dtype, attention) == "cudnn":  # dqkv is there, dn is still the other
        block = max(block, (1 + 4 + 1 + 1 + 1 + 3) * x + cudnn_bytes(config, B, T) + norm + gelu)
    return x + block  # x: what the gradient of the head is still to be made of


def cudnn_bytes(config, B, T):
    """What cuDNN's attention works in backwards: by head a number a row, and a dq for each 128 keys.

    As cuDNN 9.28 plans it for an H100, for heads of any size (tests/kernels/cuda/plans.py).
    """
    dq = -(-T // 128) * (-(-T // 64) * 64) * 64
    return B * config.n_head * (dq + T) * WIDE + 256


def how(config, context, dtype, attention="tiles"):
    """How attention goes when asked for in this way: in tiles, by cuDNN, or by scores written out."""
    head = config.n_embd // config.n_head if dtype == "bfloat16" else None
    if attention == "cudnn" and head in CUDNN_HEADS and context > 1:
        return "cudnn"
    return "tiles" if head == TILES and attention != "scores" else "scores"


def largest_batch(config, context, dtype, available, **options):
    """The largest batch size whose step leaves some of the available bytes; 0 if there is none."""
    sizes = range(1, MOST + 1)
    return bisect_right(
        sizes,
        available - OTHERS,
        key=lambda B: sum(step_bytes(config, B, context, dtype, **options).values()),
    )


# When it does not suffice ----------------------------------------------------------------------------------


@contextlib.contextmanager
def explained(config, dtype, device, batches=(), ops="fast", **ways):
    """A GPU that has run out of memory inside ends in a MemoryError of one line: what was needed and used.

    ops: the name of the table in use. ways: attention and products.
    """
    said = None
    try:
        yield
    except MemoryError as error:
        if device == "numpy":
            raise
        # while the error's frames hold their arrays
        said = line(config, dtype, gpu_memory(), batches, ops, **ways)
        traceback.clear_frames(error.__traceback__)
    if said:
        raise MemoryError(said)  # out here it does not carry the other, and what that holds, along


def line(config, dtype, memory, batches, ops="fast", **ways):
    """Predicted and seen peak, what there is, and the largest batch that fits. The plain operations' peak is
    not predicted: they keep more than the kernels do, of which the line then speaks.
    """
    B, T, parts = 1, config.n_ctx, max(1, len(batches))
    if batches:
        B, T = batches[0][0].shape
    predicted = sum(step_bytes(config, B, T, dtype, parts=parts, **ways).values())
    fits = largest_batch(config, T, dtype, memory.available, parts=parts, **ways)
    largest = f"the largest batch that fits is {fits}" if fits else "not even a batch of 1 fits"
    batch, peak = f"a batch of {B} x {T} tokens in {dtype}", gigabytes(predicted)
    seen = (
        f"seen: {gigabytes(memory.used)} in use when no more could be had; "
        f"of {gigabytes(memory.total)} on the GPU {gigabytes(memory.available)} are ours"
    )
    if ops == "reference":
        fast = f"with ops fast it takes {peak} at its peak as predicted, and {largest}"
        return f"{batch} is too large for the reference operations; {seen}; {fast}"
    return f"{batch} takes {peak} at its peak as predicted; {seen}; {largest}"


def gigabytes(n):
    """For people."""
    return f"{n / 1e9:.2f} GB"
