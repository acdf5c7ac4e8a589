"""A whole block whose products finish what follows them. Reference: minigpt/model.py; compare block.py.

A branch is added to the stream by the product that ends it, so layernorm finds the sum ready.
"""

from functools import partial

from minigpt.kernels.cuda import epilogues, layernorm
from minigpt.kernels.cuda.operations import matmul, weight_gradient
from minigpt.kernels.gradient import together


def block_forward(ops, p, x, n_head, *, compute):
    """x + attention(layernorm(x)), then that + mlp(layernorm(that)).

    x (B, T, C) -> x (B, T, C)
    """

    def given(name):
        return p[f"{name}.weight"], p[f"{name}.bias"]

    _, n_1, *stats_1 = layernorm.layernorm_forward(x, *given("ln_1"))  # (B, T, C)
    qkv = epilogues.linear(n_1, *given("attn.c_attn"), compute)  # (B, T, 3C)
    mixed, attn = ops.attention_forward(qkv, n_head)  # (B, T, C)
    middle = epilogues.linear_on_top(x, mixed, *given("attn.c_proj"), compute)  # (B, T, C)

    _, n_2, *stats_2 = layernorm.layernorm_forward(middle, *given("ln_2"))  # (B, T, C)
    active, wide = epilogues.linear_gelu(n_2, *given("mlp.c_fc"), compute)  # (B, T, F) each
    out = epilogues.linear_on_top(middle, active, *given("mlp.c_proj"), compute)  # (B, T, C)
    return out, (p, (x, n_1, stats_1), attn, mixed, (middle, n_2, stats_2), wide, active)


def block_backward(ops, dx, tape, *, compute):
    """block_forward, reversed. Nothing that a gradient is still to be made of is written over.

    dx (B, T, C) -> dx (B, T, C)
    """
    p, (x, n_1, stats_1), attn, mixed, (middle, n_2, stats_2), wide, active = tape
    g = {}
    g["mlp.c_proj.weight"] = weight_gradient(active, dx, compute)
    dwide = epilogues.linear_gelu_backward(dx, p["mlp.c_proj.weight"], wide, compute)  # (B, T, F)
    g["mlp.c_fc.weight"], g["mlp.c_fc.bias"] = epilogues.gradients(n_2, dwide, compute)
    dn = matmul(dwide, p["mlp.c_fc.weight"].T, compute)  # (B, T, C)
    dx, finish = layernorm.layernorm_backward(dn, middle, p["ln_2.weight"], *stats_2, dx)  # (B, T, C)
    # branches were added to the stream as they are: their biases receive the sums of the gradient there
    names = "ln_2.weight", "ln_2.bias", "attn.c_proj.bias", "mlp.c_proj.bias"
    g |= zip(names, together(finish, 4), strict=True)

    g["attn.c_proj.weight"] = weight_gradient(mixed, dx, compute)
    dmixed = matmul(dx, p["attn.c_proj.weight"].T, compute)  # (B, T, C)
    dqkv = ops.attention_backward(dmixed, attn)  # (B, T, 3C)
    g["attn.c_attn.weight"], g["attn.c_attn.bias"] = epilogues.gradients(n_1, dqkv, compute)
    dn = matmul(dqkv, p["attn.c_attn.weight"].T, compute)  # (B, T, C)
    dx, finish = layernorm.layernorm_backward(dn, x, p["ln_1.weight"], *stats_1, dx)  # (B, T, C)
    g["ln_1.weight"], g["ln_1.bias"] = together(finish, 2)
    return dx, g


def entries(compute):
    """name -> function, for the table: those that go by cublasLt."""
    functions = block_forward, block_backward, epilogues.linear_forward, epilogues.linear_backward
    return {function.__name__: partial(function, compute=compute) for function in functions}
