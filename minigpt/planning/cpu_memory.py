"""How much memory a training step takes on cores, part by part; minigpt/memory.py is the same for a GPU.

Counted from what the kernels of kernels/cpu, or the operations of ops/, keep and make. Each of a step's
moments that may be the largest is added up; the peak is the largest of them.

B batch, T time, C channels, H heads, V vocabulary, N the model's longest sequence, L layers, P parameters. An
x is one (B, T, C). Sizes in bytes; `size`: of a number, 4 or 8.
"""

from minigpt.kernels.cpu.attention import TILE, unit_shape
from minigpt.kernels.cpu.crew import ROWS
from minigpt.kernels.cpu.team import BLOCK_BYTES, PIECE, WORTHWHILE
from minigpt.room import params_bytes

ID = 8  # bytes of a token's id
END = 10  # x that block_backward holds: dx in, active (4), dx between, dmixed or dx out, dqkv (3)
END_OF_REFERENCE = 18  # dx in, between and out, dactive, dwide (4 each), dmixed, dqkv (3), dn, twice
TILES = 2  # of a unit's scores that a tile's backward holds: probabilities and their gradient
SLICES = 5  # and of its (T, D): keys, what comes from above, dkeys, dvalues, a product


def step_bytes(config, batch_size, context, size=4, ops="fast", threads=1, parts=1):
    """Bytes at the peak of Trainer.step_in_parts, as part -> bytes; their sum is all.

    Work is what there is at the peak besides what is always there, and besides what forward keeps.
    """
    always = resident_bytes(config, size) | {"tokens and targets": parts * 2 * batch_size * context * ID}
    kept = tape_bytes(config, batch_size, context, size, ops)
    peak = max(moments(config, batch_size, context, size, ops, threads, parts).values())
    return always | kept | {"work": peak - sum(kept.values())}


def resident_bytes(config, size):
    """What is there from the first step to the last."""
    one = params_bytes(config, size)
    return {"weights": one, "gradients": one, "moments": 2 * one}


def layer_bytes(config, batch_size, context, size=4, ops="fast"):
    """What forward keeps of one block: name -> bytes. Names are those of model.py; ln_1, ln_2: normalised."""
    B, T, C, H = batch_size, context, config.n_embd, config.n_head
    x, rstd = B * T * C * size, B * T * size
    if ops == "fast":
        lse = B * H * T * size
        return {"ln_1": x + rstd, "qkv": 3 * x, "lse": lse, "mixed": x, "ln_2": x + rstd, "wide": 4 * x}
    return {
        "ln_1": x + rstd, "n_1": x, "qkv": 3 * x, "probs": B * H * T * T * size, "mixed": x,
        "ln_2": x + rstd, "n_2": x, "wide": 4 * x, "squash": 4 * x, "active": 4 * x,
    }  # fmt: skip


def tape_bytes(config, batch_size, context, size=4, ops="fast"):
    """What forward keeps, name -> bytes: of all blocks, of what follows them, and the logits."""
    x, rstd = batch_size * context * config.n_embd * size, batch_size * context * size
    layer = layer_bytes(config, batch_size, context, size, ops)
    blocks = {f"{config.n_layer} x {name}": config.n_layer * n for name, n in layer.items()}
    return blocks | {"ln_f": 2 * x + rstd, "logits": batch_size * context * config.n_vocab * size}


def moments(config, batch_size, context, size, ops, threads, parts=1):
    """moment -> bytes, of those at which most may be held, without what is always there."""
    shape = batch_size, context, size
    x, kept = batch_size * context * config.n_embd * size, sum(tape_bytes(config, *shape, ops).values())
    if ops == "reference":
        return reference_moments(config, shape, x, kept)
    blocks = threads * BLOCK_BYTES
    # products that are added to what an earlier part gave: of the table's rows, of a block's weights
    added = (x + threads * min(PIECE, config.n_vocab) * config.n_embd * size) if parts > 1 else 0
    summed = 4 * config.n_embd**2 * size if parts > 1 else 0
    return {
        "the loss": kept + min(2 * blocks, batch_size * context * config.n_vocab * size // 8),
        "the head's gradient": kept + x,
        "the last block's gradient": kept - x + END * x + max(work_bytes(config, *shape, threads), summed),
        "the table's gradient": tape_bytes(config, *shape, ops)["logits"] + 2 * x + added,
        "the update": min(blocks, params_bytes(config, size)),
    }


def reference_moments(config, shape, x, kept):
    """The same of the reference: logits, probabilities and their difference; a block's gradients twice."""
    batch_size, context, size = shape
    rows, C = batch_size * context, config.n_embd
    logits, table = rows * config.n_vocab * size, config.n_vocab * C * size
    grads = (12 * C * C + 13 * C) * size
    block = max(
        END_OF_REFERENCE * x + grads,
        # the gradient of c_attn is made after attention's
        reference_attention_bytes(config, *shape) + 3 * grads // 4,
    )
    above = kept - tape_bytes(config, *shape, "reference")["ln_f"]
    held, layer = above + 2 * logits + table, sum(layer_bytes(config, *shape, "reference").values())
    return {
        "the loss": kept + 3 * logits + rows * config.n_vocab,  # where the difference is made, more
        "the head's gradient": kept + 2 * logits + table + x,
        "the last block's gradient": held + block,
        "one block below": held - layer + grads + block,  # the last block's gradients are still there
        "the update": update_bytes(config, size),
    }


def work_bytes(config, batch_size, context, size, threads):
    """What threads hold besides in block_backward: rows on their way through the MLP, or tiles of scores."""
    C, rows = config.n_embd, batch_size * context
    threads = threads if rows * 4 * C >= WORTHWHILE else 1
    some = min(-(-rows // threads), ROWS)  # rows that go through together
    few = min(some, max(1, BLOCK_BYTES // (16 * C)))  # and through GELU
    mlp = threads * (some + 2 * few) * 4 * C * size  # dactive; for GELU x^2 and the gate
    tile, head = min(context, TILE), C // config.n_head
    heads = heads_at_work(batch_size, config.n_head, context, threads)
    return max(mlp, heads * (TILES * tile + SLICES * head) * context * size)


def heads_at_work(B, H, T, threads):
    """Heads of all sequences that threads have in hand at once; kernels/cpu/crew.py says who has which."""
    if B % threads == 0:
        sequences, lots = unit_shape(B // threads, H, T, 1)
        return threads * sequences * -(-H // lots)
    sequences, lots = unit_shape(B, H, T, threads)
    return sequences * -(-H // lots) * min(threads, -(-B // sequences) * lots)


def reference_attention_bytes(config, batch_size, context, size):
    """The same of the reference: dq, dk, dv three times while they are put together, and two of scores."""
    x = batch_size * context * config.n_embd * size
    return 22 * x + 2 * batch_size * config.n_head * context**2 * size


def update_bytes(config, size):
    """Arrays of P numbers that the reference's AdamW holds at once, and one of a byte each."""
    return params_bytes(config, 8 * size + 1)
