"""GPT-2 in torch, every activation and its gradient kept by autograd, under llm.c's names.

In any precision, as people run it: weights and activations of one type, the loss in float32 or better. One of
FAULTS may be planted; gradients follow by autograd.
"""

import math

import torch
import torch.nn.functional as F


def run(inputs, dtype=torch.float64, fault=""):
    """{(name, layer): float64 array} of a pass; without the gradients of a layernorm's mean and rstd."""
    kept, params = {}, {}
    for key, param in inputs.params.items():
        params[key] = torch.tensor(param).to(dtype).requires_grad_()

    def keep(name, layer, tensor):
        if tensor.requires_grad and tensor.is_leaf is False:
            tensor.retain_grad()
        kept[name, layer] = tensor
        return tensor

    loss = forward(inputs, params, keep, fault)
    loss.backward()
    arrays = {key: array(tensor) for key, tensor in kept.items()}
    statistics = {f"{ln}_{part}" for ln in ("ln1", "ln2", "lnf") for part in ("mean", "rstd")}
    grads = {key: tensor.grad for key, tensor in kept.items() if key[0] not in (*statistics, "loss")}
    grads |= {key: param.grad for key, param in params.items()}
    for (name, layer), grad in grads.items():
        arrays[f"d{name}", layer] = array(grad)
    return arrays


def array(tensor):
    return tensor.detach().double().numpy()


def forward(inputs, params, keep, fault):
    """tokens to loss, with one fault, or none."""
    s, tokens = inputs.sizes, torch.tensor(inputs.tokens)
    at = lambda name, layer=None: params[name, layer]  # noqa: E731
    everything = torch.ones(s.T, s.T, dtype=torch.bool)
    seen = everything.tril(-1 if "early" in fault else int(fault == "mask"))
    seen[0, : {"mask early, itself": 1, "mask early, scores": s.T}.get(fault, 0)] = True
    fill = -1e10 if fault == "mask early" else -math.inf
    x = keep("encoded", None, F.embedding(tokens, at("wte")) + at("wpe")[: s.T])
    for l in range(s.L):  # noqa: E741
        n = layernorm(x, "ln1", l, params, keep, fault)
        qkv = keep("qkv", l, F.linear(n, at("qkvw", l), at("qkvb", l)))
        q, k, v = qkv.unflatten(-1, (3, s.H, s.D)).permute(2, 0, 3, 1, 4)
        q, k, v = (k, q, v) if fault == "order" else (q, k, v)
        scale = 1 if fault == "scale" else 1 / math.sqrt(s.D)
        scores = (q @ k.transpose(-1, -2)) * scale
        preatt = keep("preatt", l, scores if "mask" in fault else torch.where(everything.tril(), scores, 0))
        att = keep("att", l, preatt.masked_fill(~seen, fill).softmax(dim=-1))
        visible = att if "early" in fault else torch.where(seen, att, 0)
        atty = keep("atty", l, (visible @ v).transpose(1, 2).flatten(-2))
        weight = at("attprojw", l).T if fault == "transposed" else at("attprojw", l)
        attproj = keep("attproj", l, F.linear(atty, weight, at("attprojb", l)))
        past = x.detach() if fault == "residual" else x
        x = keep("residual2", l, past + attproj)
        n = layernorm(x, "ln2", l, params, keep, fault)
        fch = keep("fch", l, F.linear(n, at("fcw", l), at("fcb", l)))
        gelu = keep("fch_gelu", l, F.gelu(fch, approximate="none" if fault == "erf" else "tanh"))
        fcproj = keep("fcproj", l, F.linear(gelu, at("fcprojw", l), at("fcprojb", l)))
        x = keep("residual3", l, x + fcproj)
    n = layernorm(x, "lnf", None, params, keep, fault)
    table = at("wte").detach() if fault == "untied" else at("wte")
    logits = keep("logits", None, F.linear(n, table))
    return loss_of(logits, inputs, keep, fault)


def loss_of(logits, inputs, keep, fault):
    """logits to loss, in float32 or better."""
    targets = torch.tensor(inputs.targets)
    wide = logits if logits.dtype == torch.float64 else logits.float()
    probs = keep("probs", None, wide.softmax(dim=-1))
    chosen = probs.gather(-1, targets.clamp(min=0)[..., None])[..., 0]
    losses = keep("losses", None, torch.where(targets < 0, 0, -chosen.log()))
    total = losses[targets >= 0].sum()
    return keep("loss", None, total if fault == "sum" else total / (targets >= 0).sum())


def layernorm(x, name, layer, params, keep, fault):
    """torch's own where nothing is wrong; written out where something is."""
    weight, bias = params[f"{name}w", layer], params[f"{name}b", layer]
    wide = x if x.dtype == torch.float64 else x.float()
    mean, variance = wide.mean(-1), wide.var(-1, correction=1 if fault == "correction" else 0)
    rstd = 1 / (variance.sqrt() + 1e-5) if fault == "eps" else (variance + 1e-5).rsqrt()
    keep(f"{name}_mean", layer, mean)
    keep(f"{name}_rstd", layer, rstd)
    if fault in ("correction", "eps"):
        y = ((wide - mean[..., None]) * rstd[..., None]).to(x.dtype) * weight + bias
    else:
        y = F.layer_norm(x, x.shape[-1:], weight, bias)
    return keep(name, layer, y)


FAULTS = ("erf", "mask", "mask early", "mask early, -inf", "scale", "order", "transposed", "eps",
          "correction", "residual", "sum", "untied")  # fmt: skip
