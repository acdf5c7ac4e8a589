"""How much memory a training step takes on cores, part by part; minigpt/memory.py is the same for a GPU.

Counted from what the kernels of kernels/cpu, or the operations of ops/, keep and make. Each of a step's
moments that may be the largest is added up; the peak is the largest of them.

B batch, T time, C channels, H heads, V vocabulary, N the model's longest sequence, L layers, P parameters. An
x is one (B, T, C). Sizes in bytes; `size`: of a number, 4 or 8.
"""

from minigpt.kernels.cpu.attention import TILE, UNIT_BYTES
from minigpt.kernels.cpu.team import WORTHWHILE
from minigpt.room import params_bytes

ID = 8  # bytes of a token's id
END = 12  # x that block_backward holds as it ends: dx in, between and out, dwide (4), dmixed, dqkv (3), dn
END_OF_REFERENCE = 18  # dactive (4), and dn before and after layernorm, twice, too
TILES = 2  # of a unit's scores that a tile's backward holds: probabilities and their gradient
SLICES = 3  # and of its (T, D): two factors that were scaled, and a product


def step_bytes(config, batch_size, context, size=4, ops="fast", threads=1, parts=1):
    """Bytes at the peak of Trainer.step_in_parts, as part -> bytes; their sum is all.

    Work is what there is at the peak besides what is always there, and besides what forward keeps.
    """
    always = resident_bytes(config, size) | {"tokens and targets": parts * 2 * batch_size * context * ID}
    kept = tape_bytes(config, batch_size, context, size, ops)
    peak = max(moments(config, batch_size, context, size, ops, threads).values())
    return always | kept | {"work": peak - sum(kept.values())}


def resident_bytes(config, size):
    """What is there from the first step to the last."""
    one = params_bytes(config, size)
    return {"weights": one, "gradients": one, "moments": 2 * one}


def layer_bytes(config, batch_size, context, size=4, ops="fast"):
    """What forward keeps of one block: name -> bytes. Names are those of model.py; ln_1, ln_2: normalised."""
    B, T, C, H = batch_size, context, config.n_embd, config.n_head
    x, rstd = B * T * C * size, B * T * size
    if ops == "reference":
        scores, wide = {"probs": B * H * T * T * size}, {"wide": 4 * x, "squash": 4 * x}
    else:
        scores, wide = {"lse": B * H * T * size}, {"slope": 4 * x}  # GELU's, in wide's place
    return {
        "ln_1": x + rstd, "n_1": x, "qkv": 3 * x, **scores, "mixed": x,
        "ln_2": x + rstd, "n_2": x, **wide, "active": 4 * x,
    }  # fmt: skip


def tape_bytes(config, batch_size, context, size=4, ops="fast"):
    """What forward keeps, name -> bytes: of all blocks, of what follows them, and the logits."""
    x, rstd = batch_size * context * config.n_embd * size, batch_size * context * size
    layer = layer_bytes(config, batch_size, context, size, ops)
    blocks = {f"{config.n_layer} x {name}": config.n_layer * n for name, n in layer.items()}
    return blocks | {"ln_f": 2 * x + rstd, "logits": batch_size * context * config.n_vocab * size}


def moments(config, batch_size, context, size, ops, threads):
    """moment -> bytes, of those at which most may be held, without what is always there."""
    C, rows = config.n_embd, batch_size * context
    x, logits, table = rows * C * size, rows * config.n_vocab * size, config.n_vocab * C * size
    grads = (12 * C * C + 13 * C) * size  # of one block
    kept = sum(tape_bytes(config, batch_size, context, size, ops).values())
    above = kept - tape_bytes(config, batch_size, context, size, ops)["ln_f"]
    layer = sum(layer_bytes(config, batch_size, context, size, ops).values())
    shape = batch_size, context, size
    if ops == "reference":  # logits, probabilities and their difference; where the difference is made, more
        copies, loss, update = 2, 3 * logits + rows * config.n_vocab, update_bytes(config, size)
        end, attention = END_OF_REFERENCE * x, reference_attention_bytes(config, *shape)
    else:
        copies, loss, update = 0, 0, 0
        end, attention = END * x, tile_bytes(config, *shape, threads)
    block = max(end + grads, attention + 3 * grads // 4)  # the gradient of c_attn is made after attention's
    held = above + copies * logits + table
    return {
        "the loss": kept + loss,
        "the head's gradient": kept + copies * logits + table + x,
        "the last block's gradient": held + block,
        "one block below": held - layer + grads + block,  # the last block's gradients are still there
        "the update": update,
    }


def tile_bytes(config, batch_size, context, size, threads):
    """While attention's gradient is made, in tiles: what block_backward and threads hold."""
    x = batch_size * context * config.n_embd * size
    rows, head = min(context, TILE), config.n_embd // config.n_head
    at_work = heads_at_work(batch_size, config.n_head, context, threads)
    return (END - 2) * x + at_work * (TILES * rows + SLICES * head) * context * size


def heads_at_work(B, H, T, threads):
    """Heads of all sequences that threads have in hand at once; kernels/cpu/attention.py, units_of."""
    count = max(1, UNIT_BYTES // (4 * min(T, TILE) * T))
    heads, sequences = min(H, count), min(max(1, count // H), -(-B // threads))
    unit, units = sequences * heads, -(-B // sequences) * -(-H // heads)
    return unit * (min(threads, units) if units * T * T * H >= WORTHWHILE else 1)


def reference_attention_bytes(config, batch_size, context, size):
    """The same of the reference: dq, dk, dv three times while they are put together, and two of scores."""
    x = batch_size * context * config.n_embd * size
    return 22 * x + 2 * batch_size * config.n_head * context**2 * size


def update_bytes(config, size):
    """Arrays of P numbers that the reference's AdamW holds at once, and one of a byte each."""
    return params_bytes(config, 8 * size + 1)
