"""One forward and one backward pass that keep everything.

Where train_gpt2.c fuses two steps, both ends are still here. It leaves zeros in its gradients of probs
(softmax and cross-entropy go backward as one) and of the layernorms' mean and rstd (dx comes straight from
dout); here stand the true gradients: how the loss moves when that tensor is nudged at its place and all that
follows is computed anew. Everywhere else its buffers hold, once backward is over, exactly these: it adds into
buffers that start at zero, and the residual stream's hold both what came past a branch and through it.
"""

from functools import partial

from reference.llmc import ops


class Exact:
    """Sums and products as NumPy does them, and every tensor kept as it is."""

    def matmul(self, x, y):
        return x @ y

    def total(self, x, axis):
        return x.sum(axis=axis, keepdims=True)

    def load(self, key, parameter):
        return parameter

    def keep(self, key, tensor):
        return tensor


EXACT = Exact()


def run(inputs, arithmetic=EXACT, table=lambda layer: ops, backward=True):
    """Every tensor of a pass by key, in graph order: activations, loss, then gradients as they become known.

    table(layer) gives the operations of a layer, of what is outside the layers for None.
    """
    params = {key: arithmetic.load(key, param) for key, param in inputs.params.items()}
    tensors = {}

    def keep(name, tensor, layer=None):
        tensors[name, layer] = arithmetic.keep((name, layer), tensor)
        return tensors[name, layer]

    stage = Stage(inputs, params, arithmetic, table, keep, tensors)
    forward_pass(stage)
    if backward:
        backward_pass(stage)
    return tensors


class Stage:
    """What both passes work on: the inputs, how numbers round, the operations, the tensors so far."""

    def __init__(self, inputs, params, arithmetic, table, keep, tensors):
        self.inputs, self.params, self.a, self.table = inputs, params, arithmetic, table
        self.keep, self.tensors = keep, tensors
        self.targets = table(None).labels(inputs.tokens, inputs.targets)

    def at(self, layer):
        """The operations, the layer's parameters and tensors by name, and its keep."""
        prefix = partial(self.keep, layer=layer)
        return self.table(layer), Named(self.params, layer), Named(self.tensors, layer), prefix

    def stream(self, layer):
        """What layer reads: the residual stream below it."""
        return self.tensors["encoded", None] if layer == 0 else self.tensors["residual3", layer - 1]


class Named:
    """The tensors of one layer by attribute: Named(tensors, 3).ln1."""

    def __init__(self, tensors, layer):
        self.tensors, self.layer = tensors, layer

    def __getattr__(self, name):
        return self.tensors[name, self.layer]


def forward_pass(s):
    """tokens to loss"""
    op, p, _, keep = s.at(None)
    stream = keep("encoded", op.encoder_forward(s.a, s.inputs.tokens, p.wte, p.wpe))
    for layer in range(s.inputs.sizes.L):
        stream = block_forward(s, layer, stream)
    lnf = normalise(s, None, "lnf", stream, p.lnfw, p.lnfb)
    logits = keep("logits", op.matmul_forward(s.a, lnf, p.wte, 0))
    probs = keep("probs", op.softmax_forward(s.a, logits))
    losses = keep("losses", op.crossentropy_forward(probs, s.targets))
    keep("loss", op.mean_loss(s.a, losses, s.targets))


def block_forward(s, layer, stream):
    """stream (B, T, C) -> stream (B, T, C)"""
    op, p, _, keep = s.at(layer)
    H = s.inputs.sizes.H
    ln1 = normalise(s, layer, "ln1", stream, p.ln1w, p.ln1b)
    qkv = keep("qkv", op.matmul_forward(s.a, ln1, op.weight("qkvw", p.qkvw), p.qkvb))
    q, k, v = op.attention_split(qkv, H)
    seen, scale = op.attention_seen(q.shape[2]), op.attention_scale(stream.shape[-1], H)
    preatt = keep("preatt", op.attention_scores(s.a, q, k, seen, scale))
    att = keep("att", op.attention_softmax(s.a, preatt, seen))
    atty = keep("atty", op.attention_mix(s.a, att, v, seen))
    attproj = keep("attproj", op.matmul_forward(s.a, atty, op.weight("attprojw", p.attprojw), p.attprojb))
    residual2 = keep("residual2", op.residual_forward(stream, attproj))
    ln2 = normalise(s, layer, "ln2", residual2, p.ln2w, p.ln2b)
    fch = keep("fch", op.matmul_forward(s.a, ln2, op.weight("fcw", p.fcw), p.fcb))
    fch_gelu = keep("fch_gelu", op.gelu_forward(fch))
    fcproj = keep("fcproj", op.matmul_forward(s.a, fch_gelu, op.weight("fcprojw", p.fcprojw), p.fcprojb))
    return keep("residual3", op.residual_forward(residual2, fcproj))


def normalise(s, layer, name, x, weight, bias):
    """A layernorm, which also keeps its mean and rstd: x (B, T, C), weight (C), bias (C) -> out (B, T, C)"""
    op, _, _, keep = s.at(layer)
    mean = keep(f"{name}_mean", op.layernorm_mean(s.a, x))
    rstd = keep(f"{name}_rstd", op.layernorm_rstd(s.a, x, mean))
    return keep(name, op.layernorm_forward(s.a, x, mean, rstd, weight, bias))


def backward_pass(s):
    """loss to the gradient of everything"""
    op, p, t, keep = s.at(None)
    dlosses = keep("dlosses", op.mean_loss_backward(s.targets, t.losses.dtype))
    keep("dprobs", op.probs_backward(dlosses, t.probs, s.targets))
    dlogits = keep("dlogits", op.crossentropy_softmax_backward(dlosses, t.probs, s.targets))
    dlnf, dwte_head, _ = op.matmul_backward(s.a, dlogits, t.lnf, p.wte)
    keep("dlnf", dlnf)
    dstream = normalise_backward(s, None, "lnf", s.stream(s.inputs.sizes.L), p.lnfw)
    for layer in reversed(range(s.inputs.sizes.L)):
        dstream = block_backward(s, layer, dstream)
    keep("dencoded", dstream)
    dwte, dwpe = op.encoder_backward(s.a, t.dencoded, s.inputs.tokens, p.wte, p.wpe)
    keep("dwpe", op.parameter_gradient("wpe", dwpe))
    keep("dwte", op.parameter_gradient("wte", op.tie(dwte_head, dwte)))


def block_backward(s, layer, dstream):
    """dstream (B, T, C) -> dstream (B, T, C), the stream's gradient below the block"""
    op, p, t, keep = s.at(layer)
    keep("dresidual3", dstream)
    past, dfcproj = op.mlp_residual_backward(t.dresidual3)
    keep("dfcproj", dfcproj)
    keep("dfch_gelu", product_backward(s, layer, "fcproj", t.dfcproj, t.fch_gelu))
    keep("dfch", op.gelu_backward(t.dfch_gelu, t.fch))
    keep("dln2", product_backward(s, layer, "fc", t.dfch, t.ln2))
    keep("dresidual2", op.join(past, normalise_backward(s, layer, "ln2", t.residual2, p.ln2w)))

    past, dattproj = op.attention_residual_backward(t.dresidual2)
    keep("dattproj", dattproj)
    keep("datty", product_backward(s, layer, "attproj", t.dattproj, t.atty))
    keep("dqkv", attention_backward(s, layer))
    keep("dln1", product_backward(s, layer, "qkv", t.dqkv, t.ln1))
    return op.join(past, normalise_backward(s, layer, "ln1", s.stream(layer), p.ln1w))


def product_backward(s, layer, name, dout, x):
    """Keep the gradients of weight and bias, return dx: dout (B, T, O), x (B, T, I) -> dx (B, T, I)"""
    op, p, _, keep = s.at(layer)
    weight = op.weight(f"{name}w", getattr(p, f"{name}w"))
    dx, dweight, dbias = op.matmul_backward(s.a, dout, x, weight)
    keep(f"d{name}w", op.parameter_gradient(f"{name}w", dweight))
    keep(f"d{name}b", op.parameter_gradient(f"{name}b", dbias))
    return dx


def normalise_backward(s, layer, name, x, weight):
    """Keep the gradients of mean, rstd, weight, bias, return dx: x (B, T, C), weight (C) -> dx (B, T, C)"""
    op, _, t, keep = s.at(layer)
    dout, mean, rstd = (getattr(t, part) for part in (f"d{name}", f"{name}_mean", f"{name}_rstd"))
    dmean, drstd = op.layernorm_statistics_backward(s.a, dout, x, mean, rstd, weight)
    keep(f"d{name}_rstd", drstd)
    keep(f"d{name}_mean", dmean)
    dweight, dbias = op.layernorm_parameters_backward(s.a, dout, x, mean, rstd)
    keep(f"d{name}w", op.parameter_gradient(f"{name}w", dweight))
    keep(f"d{name}b", op.parameter_gradient(f"{name}b", dbias))
    through_rstd = op.layernorm_rstd_backward(s.a, drstd, x, mean, rstd)
    return op.layernorm_input_backward(s.a, through_rstd, dout, dmean, rstd, weight)


def attention_backward(s, layer):
    """datty (B, T, C), from the tensors, -> dqkv (B, T, 3C)"""
    op, _, t, keep = s.at(layer)
    q, k, v = op.attention_split(t.qkv, s.inputs.sizes.H)
    seen, scale = op.attention_seen(q.shape[2]), op.attention_scale(t.atty.shape[-1], s.inputs.sizes.H)
    datt, dv = op.attention_mix_backward(s.a, t.datty, t.att, v, seen)
    keep("datt", datt)
    keep("dpreatt", op.attention_softmax_backward(s.a, t.datt, t.att))
    dq, dk = op.attention_scores_backward(s.a, t.dpreatt, q, k, scale)
    return op.attention_merge(dq, dk, dv)
