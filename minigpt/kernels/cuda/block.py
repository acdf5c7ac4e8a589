"""A whole block with what lies between two products made in one launch. Reference: minigpt/model.py.

A bias waits for the next operation, which adds it as it reads: the sum with the residual stream, or GELU. In
backward, a layernorm adds the gradient that went past it, and on the way sums up what biases receive.
"""

from minigpt.kernels.cuda import bias, gelu, layernorm
from minigpt.kernels.cuda.operations import matmul, sum_of_rows, weight_gradient
from minigpt.kernels.gradient import together


def block_forward(ops, p, x, n_head, *, compute):
    """x + attention(layernorm(x)), then that + mlp(layernorm(that)).

    x (B, T, C) -> x (B, T, C)
    """
    _, n_1, *stats_1 = layernorm.layernorm_forward(x, p["ln_1.weight"], p["ln_1.bias"])  # (B, T, C)
    qkv = matmul(n_1, p["attn.c_attn.weight"], compute)  # (B, T, 3C)
    mixed, attn = ops.attention_forward(bias.bias_add(qkv, p["attn.c_attn.bias"]), n_head)  # (B, T, C)
    branch = matmul(mixed, p["attn.c_proj.weight"], compute)  # (B, T, C)

    middle, n_2, *stats_2 = layernorm.layernorm_forward(
        x, p["ln_2.weight"], p["ln_2.bias"], branch, p["attn.c_proj.bias"]
    )  # (B, T, C) each
    wide = matmul(n_2, p["mlp.c_fc.weight"], compute)  # (B, T, F)
    active = gelu.bias_gelu_forward(wide, p["mlp.c_fc.bias"])  # (B, T, F)
    branch = matmul(active, p["mlp.c_proj.weight"], compute)  # (B, T, C)
    out = bias.residual_add(middle, branch, p["mlp.c_proj.bias"])  # (B, T, C)
    return out, (p, (x, n_1, stats_1), attn, mixed, (middle, n_2, stats_2), wide, active)


def block_backward(ops, dx, tape, *, compute):
    """block_forward, reversed. Nothing that a gradient is still to be made of is written over.

    dx (B, T, C) -> dx (B, T, C)
    """
    p, (x, n_1, stats_1), attn, mixed, (middle, n_2, stats_2), wide, active = tape
    g = {}
    g["mlp.c_proj.weight"] = weight_gradient(active, dx, compute)
    dactive = matmul(dx, p["mlp.c_proj.weight"].T, compute)  # (B, T, F)
    dwide, finish = gelu.bias_gelu_backward(dactive, wide, p["mlp.c_fc.bias"])  # (B, T, F)
    g["mlp.c_fc.weight"], (g["mlp.c_fc.bias"],) = weight_gradient(n_2, dwide, compute), together(finish, 1)
    dn = matmul(dwide, p["mlp.c_fc.weight"].T, compute)  # (B, T, C)
    dx, finish = layernorm.layernorm_backward(dn, middle, p["ln_2.weight"], *stats_2, dx)  # (B, T, C)
    # branches were added to the stream as they are: their biases receive the sums of the gradient there
    names = "ln_2.weight", "ln_2.bias", "attn.c_proj.bias", "mlp.c_proj.bias"
    g |= zip(names, together(finish, 4), strict=True)

    g["attn.c_proj.weight"] = weight_gradient(mixed, dx, compute)
    dmixed = matmul(dx, p["attn.c_proj.weight"].T, compute)  # (B, T, C)
    dqkv = ops.attention_backward(dmixed, attn)  # (B, T, 3C)
    g["attn.c_attn.weight"], g["attn.c_attn.bias"] = weight_gradient(n_1, dqkv, compute), sum_of_rows(dqkv)
    dn = matmul(dqkv, p["attn.c_attn.weight"].T, compute)  # (B, T, C)
    dx, finish = layernorm.layernorm_backward(dn, x, p["ln_1.weight"], *stats_1, dx)  # (B, T, C)
    g["ln_1.weight"], g["ln_1.bias"] = together(finish, 2)
    return dx, g
