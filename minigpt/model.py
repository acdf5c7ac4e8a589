"""PAGE 3. GPT-2: its parameters, its forward pass, and its backward pass, which is the forward's mirror.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners"; openai/gpt-2, src/model.py.
Each block reads the residual stream through a layernorm and adds to it, twice: once from attention,
which moves information between positions, once from the MLP, which works on each position alone.
"""

import math

import numpy as np

from minigpt.arrays import Flat, dtype_of


def param_shapes(config):
    """The name and shape of every parameter, in the order in which the forward pass meets them.

    Names are the Hugging Face hub's GPT-2 keys; weights are stored (in, out). The head has no entry:
    it is wte.weight again.
    """
    C, F = config.n_embd, 4 * config.n_embd
    block = {
        "ln_1.weight": (C,), "ln_1.bias": (C,),
        "attn.c_attn.weight": (C, 3 * C), "attn.c_attn.bias": (3 * C,),
        "attn.c_proj.weight": (C, C), "attn.c_proj.bias": (C,),
        "ln_2.weight": (C,), "ln_2.bias": (C,),
        "mlp.c_fc.weight": (C, F), "mlp.c_fc.bias": (F,),
        "mlp.c_proj.weight": (F, C), "mlp.c_proj.bias": (C,),
    }  # fmt: skip
    shapes = {"wte.weight": (config.n_vocab, C), "wpe.weight": (config.n_ctx, C)}
    for layer in range(config.n_layer):
        shapes |= {f"h.{layer}.{name}": shape for name, shape in block.items()}
    return shapes | {"ln_f.weight": (C,), "ln_f.bias": (C,)}


def init_params(config, seed=0, dtype="float32"):
    """Random parameters: matrices normal with standard deviation 0.02, gains 1, biases 0.

    The two projections that write to the residual stream are scaled by 1 / sqrt(2 L), so that the sum
    of L blocks' 2 L contributions does not grow with depth (the GPT-2 paper, section 2.3). wpe has 0.02
    like all others (nanoGPT, llm.c), where openai/gpt-2 has 0.01. Drawn in float64 and rounded to dtype,
    so both precisions start from the same model.
    """
    rng = np.random.default_rng(seed)
    params = Flat.zeros(param_shapes(config), dtype_of(dtype))
    for name, param in params.items():
        if name.endswith("c_proj.weight"):
            param[:] = rng.normal(0, 0.02 / math.sqrt(2 * config.n_layer), param.shape)
        elif param.ndim == 2:
            param[:] = rng.normal(0, 0.02, param.shape)
        elif "ln_" in name and name.endswith("weight"):
            param[:] = 1
    return params


def forward(config, ops, params, tokens):
    """The logits of every next token, and the tape: all caches, in the order in which they were made.

    tokens (B, T) -> logits (B, T, V)
    """
    x, embedding = ops.embedding_forward(tokens, params["wte.weight"], params["wpe.weight"])  # (B, T, C)
    tape = [embedding]
    for layer in range(config.n_layer):
        x, block = ops.block_forward(ops, within(params, f"h.{layer}."), x, config.n_head)  # (B, T, C)
        tape.append(block)
    x, ln_f = ops.layernorm_forward(x, params["ln_f.weight"], params["ln_f.bias"])  # (B, T, C)
    logits, head = ops.unembedding_forward(x, params["wte.weight"])  # (B, T, V)
    return logits, [*tape, ln_f, head]


def backward(config, ops, dlogits, tape):
    """forward, reversed: yield (name, gradient) for every parameter, the head's side first.

    Each gradient comes as soon as it is known, so that it can be laid into a flat buffer, or sent to
    other ranks, while the layers below are still being worked on. The tape is used up on the way.

    dlogits (B, T, V)
    """
    dx, dwte_head = ops.unembedding_backward(dlogits, tape.pop())  # (B, T, C), (V, C)
    dx, dgain, dbias = ops.layernorm_backward(dx, tape.pop())  # (B, T, C)
    yield from {"ln_f.weight": dgain, "ln_f.bias": dbias}.items()
    for layer in reversed(range(config.n_layer)):
        dx, grads = ops.block_backward(ops, dx, tape.pop())  # (B, T, C)
        yield from ((f"h.{layer}.{name}", grad) for name, grad in grads.items())
    dwte, dwpe = ops.embedding_backward(dx, tape.pop())  # (V, C), (N, C)
    yield "wpe.weight", dwpe
    yield "wte.weight", dwte_head + dwte  # tied: one table, used twice


def block_forward(ops, p, x, n_head):
    """x + attention(layernorm(x)), then that + mlp(layernorm(that)). p: the block's own parameters.

    forward and backward find both block functions in ops, as they find the operations: a table may fuse them.

    x (B, T, C) -> x (B, T, C)
    """
    n, ln_1 = ops.layernorm_forward(x, p["ln_1.weight"], p["ln_1.bias"])  # (B, T, C)
    qkv, c_attn = ops.linear_forward(n, p["attn.c_attn.weight"], p["attn.c_attn.bias"])  # (B, T, 3C)
    mixed, attn = ops.attention_forward(qkv, n_head)  # (B, T, C)
    branch, attn_proj = ops.linear_forward(mixed, p["attn.c_proj.weight"], p["attn.c_proj.bias"])
    x = x + branch  # (B, T, C)

    n, ln_2 = ops.layernorm_forward(x, p["ln_2.weight"], p["ln_2.bias"])  # (B, T, C)
    wide, c_fc = ops.linear_forward(n, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"])  # (B, T, F)
    active, gelu = ops.gelu_forward(wide)  # (B, T, F)
    branch, mlp_proj = ops.linear_forward(active, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"])
    return x + branch, (ln_1, c_attn, attn, attn_proj, ln_2, c_fc, gelu, mlp_proj)


def block_backward(ops, dx, tape):
    """block_forward, reversed. Where x fed both a branch and the sum, the two gradients add.

    dx (B, T, C) -> dx (B, T, C)
    """
    ln_1, c_attn, attn, attn_proj, ln_2, c_fc, gelu, mlp_proj = tape
    g = {}
    dactive, g["mlp.c_proj.weight"], g["mlp.c_proj.bias"] = ops.linear_backward(dx, mlp_proj)  # (B, T, F)
    dwide = ops.gelu_backward(dactive, gelu)  # (B, T, F)
    dn, g["mlp.c_fc.weight"], g["mlp.c_fc.bias"] = ops.linear_backward(dwide, c_fc)  # (B, T, C)
    dbranch, g["ln_2.weight"], g["ln_2.bias"] = ops.layernorm_backward(dn, ln_2)  # (B, T, C)
    dx = dx + dbranch  # (B, T, C)

    dmixed, g["attn.c_proj.weight"], g["attn.c_proj.bias"] = ops.linear_backward(dx, attn_proj)
    dqkv = ops.attention_backward(dmixed, attn)  # (B, T, 3C)
    dn, g["attn.c_attn.weight"], g["attn.c_attn.bias"] = ops.linear_backward(dqkv, c_attn)  # (B, T, C)
    dbranch, g["ln_1.weight"], g["ln_1.bias"] = ops.layernorm_backward(dn, ln_1)  # (B, T, C)
    return dx + dbranch, g


def within(params, prefix):
    """The parameters whose names start with prefix, without it: within(params, "h.0.")["ln_1.weight"]."""
    return {name.removeprefix(prefix): param for name, param in params.items() if name.startswith(prefix)}
