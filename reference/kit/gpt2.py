"""GPT-2 out of the scalar operations: loss and gradients of a tiny model, written out.

Keys are the Hugging Face hub's; matrices are (in, out); the head is wte.weight.
"""

from reference import scalar


def shapes(config):
    """Every parameter's shape, in the order of the forward pass."""
    C, F = config["n_embd"], 4 * config["n_embd"]
    block = {"ln_1": (C,), "attn.c_attn": (C, 3 * C), "attn.c_proj": (C, C),
             "ln_2": (C,), "mlp.c_fc": (C, F), "mlp.c_proj": (F, C)}  # fmt: skip
    sizes = {"wte.weight": (config["n_vocab"], C), "wpe.weight": (config["n_ctx"], C)}
    for layer in range(config["n_layer"]):
        for name, size in block.items():
            sizes |= {f"h.{layer}.{name}.weight": size, f"h.{layer}.{name}.bias": size[-1:]}
    return sizes | {"ln_f.weight": (C,), "ln_f.bias": (C,)}


def is_gain(name):
    """Whether a vector is a layernorm's gain."""
    return "ln_" in name and name.endswith("weight")


def loss_and_grads(config, p, tokens, targets):
    """tokens (B, T), targets (B, T) -> logits (B, T, V), loss (), and gradients by name"""
    x = scalar.embedding_forward(tokens, p["wte.weight"], p["wpe.weight"])
    tape = []
    for layer in range(config["n_layer"]):
        x, seen = block_forward(config, p, f"h.{layer}.", x)
        tape.append(seen)
    n = scalar.layernorm_forward(x, p["ln_f.weight"], p["ln_f.bias"])
    logits = scalar.unembedding_forward(n, p["wte.weight"])
    loss = scalar.cross_entropy_forward(logits, targets)

    g = {}
    dlogits = scalar.cross_entropy_backward(1.0, logits, targets)
    dn, dhead = scalar.unembedding_backward(dlogits, n, p["wte.weight"])
    dx, g["ln_f.weight"], g["ln_f.bias"] = scalar.layernorm_backward(dn, x, p["ln_f.weight"], p["ln_f.bias"])
    for layer in reversed(range(config["n_layer"])):
        dx = block_backward(config, p, f"h.{layer}.", dx, tape.pop(), g)
    dwte, g["wpe.weight"] = scalar.embedding_backward(dx, tokens, p["wte.weight"], p["wpe.weight"])
    g["wte.weight"] = plus(dwte, dhead)  # one table, used twice
    return logits, loss, {name: g[name] for name in p}


def block_forward(config, p, h, x):
    """x (B, T, C) -> x (B, T, C), and what the way back needs"""
    n1 = scalar.layernorm_forward(x, *weights(p, h + "ln_1"))
    qkv = scalar.linear_forward(n1, *weights(p, h + "attn.c_attn"))
    mixed = scalar.attention_forward(qkv, config["n_head"])
    middle = plus(x, scalar.linear_forward(mixed, *weights(p, h + "attn.c_proj")))
    n2 = scalar.layernorm_forward(middle, *weights(p, h + "ln_2"))
    wide = scalar.linear_forward(n2, *weights(p, h + "mlp.c_fc"))
    active = scalar.gelu_forward(wide)
    out = plus(middle, scalar.linear_forward(active, *weights(p, h + "mlp.c_proj")))
    return out, (x, n1, qkv, mixed, middle, n2, wide, active)


def block_backward(config, p, h, dout, seen, g):
    """dout (B, T, C) -> dx (B, T, C); the parameters' gradients go to g"""
    x, n1, qkv, mixed, middle, n2, wide, active = seen

    def back(operation, name, dy, argument):
        dx, g[f"{h}{name}.weight"], g[f"{h}{name}.bias"] = operation(dy, argument, *weights(p, h + name))
        return dx

    dactive = back(scalar.linear_backward, "mlp.c_proj", dout, active)
    dwide = scalar.gelu_backward(dactive, wide)
    dn2 = back(scalar.linear_backward, "mlp.c_fc", dwide, n2)
    dmiddle = plus(dout, back(scalar.layernorm_backward, "ln_2", dn2, middle))
    dmixed = back(scalar.linear_backward, "attn.c_proj", dmiddle, mixed)
    dqkv = scalar.attention_backward(dmixed, qkv, config["n_head"])
    dn1 = back(scalar.linear_backward, "attn.c_attn", dqkv, n1)
    return plus(dmiddle, back(scalar.layernorm_backward, "ln_1", dn1, x))


def weights(p, name):
    """A layer's weight and bias."""
    return p[f"{name}.weight"], p[f"{name}.bias"]


def plus(a, b):
    """The sum of two tables, entry by entry."""
    if isinstance(a, list):
        return [plus(*pair) for pair in zip(a, b, strict=True)]
    return a + b
