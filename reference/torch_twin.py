"""GPT-2 in torch, by torch's own operations, autograd and optimizer: the second opinion on minigpt's.

Parameters go in and gradients come out as NumPy arrays under the Hugging Face hub's GPT-2 names. A config
is any object with n_layer, n_head, n_embd, n_ctx and n_vocab. The default is float64 and attention written
out, for comparison of numbers; float32 with torch's fused attention and fused AdamW is what to race against.

B batch, T time, C channels, H heads, D = C/H, V vocabulary, N positions in wpe.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

# Attention ---------------------------------------------------------------------------------------------


def explicit_attention(q, k, v):
    """softmax(q @ k' / sqrt(D)), masked above the diagonal, @ v: q, k, v (B, H, T, D) -> y (B, H, T, D)"""
    T, D = q.shape[-2:]
    scores = q @ k.transpose(-1, -2) / math.sqrt(D)  # (B, H, T, T)
    future = torch.ones(T, T, dtype=torch.bool, device=q.device).triu(1)  # (T, T)
    return scores.masked_fill(future, -math.inf).softmax(dim=-1) @ v


def fused_attention(q, k, v):
    """The same in one call: q, k, v (B, H, T, D) -> y (B, H, T, D)"""
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


ATTENTION = {"explicit": explicit_attention, "fused": fused_attention}

# The model: each module's attributes spell its parameters' names ---------------------------------------


class Projection(nn.Module):
    """x @ weight + bias, with the weight stored (in, out)."""

    def __init__(self, inputs, outputs):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(inputs, outputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x):
        return F.linear(x, self.weight.T, self.bias)


class Attention(nn.Module):
    """Project to queries, keys and values, attend in every head, project back."""

    def __init__(self, config, kind):
        super().__init__()
        self.n_head, self.attend = config.n_head, ATTENTION[kind]
        self.c_attn = Projection(config.n_embd, 3 * config.n_embd)
        self.c_proj = Projection(config.n_embd, config.n_embd)

    def forward(self, x):
        qkv = self.c_attn(x).unflatten(-1, (3, self.n_head, -1))  # (B, T, 3, H, D)
        q, k, v = qkv.transpose(1, 3).unbind(2)  # (B, H, T, D) each
        return self.c_proj(self.attend(q, k, v).transpose(1, 2).flatten(-2))  # (B, T, C)


class MLP(nn.Module):
    """Four times wider, GELU, back."""

    def __init__(self, config):
        super().__init__()
        self.c_fc = Projection(config.n_embd, 4 * config.n_embd)
        self.c_proj = Projection(4 * config.n_embd, config.n_embd)

    def forward(self, x):
        return self.c_proj(F.gelu(self.c_fc(x), approximate="tanh"))


class Block(nn.Module):
    """Two residual branches, each behind a layernorm."""

    def __init__(self, config, kind):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(config.n_embd), nn.LayerNorm(config.n_embd)
        self.attn, self.mlp = Attention(config, kind), MLP(config)

    def forward(self, x):
        x = x + self.attn(self.ln_1(x))
        return x + self.mlp(self.ln_2(x))


class TorchGPT(nn.Module):
    """tokens (B, T) -> logits (B, T, V)"""

    def __init__(self, config, attention="fused"):
        super().__init__()
        self.wte = nn.Embedding(config.n_vocab, config.n_embd)
        self.wpe = nn.Embedding(config.n_ctx, config.n_embd)
        self.h = nn.ModuleList(Block(config, attention) for _ in range(config.n_layer))
        self.ln_f = nn.LayerNorm(config.n_embd)

    def forward(self, tokens):
        x = self.wte(tokens) + self.wpe(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.h:
            x = block(x)
        return F.linear(self.ln_f(x), self.wte.weight)  # the head is the token table

    def loss(self, tokens, targets):
        """Mean negative log-likelihood of the targets that are not -1."""
        logits = self(tokens)
        return F.cross_entropy(logits.flatten(0, 1), targets.flatten(), ignore_index=-1)


def build(config, params, dtype=torch.float64, attention="explicit"):
    """A TorchGPT that holds a copy of params; a name too few or too many is an error."""
    model = TorchGPT(config, attention).to(dtype)
    model.load_state_dict({name: torch.tensor(np.asarray(param)) for name, param in params.items()})
    return model


def ids(tokens):
    """Tokens or targets, of any integer type or nested lists, as torch wants them."""
    return torch.tensor(np.asarray(tokens), dtype=torch.int64)


def arrays(model, of=lambda param: param):
    """The parameters, or what `of` makes of each, as NumPy arrays of their own."""
    return {name: of(param).detach().numpy().copy() for name, param in model.named_parameters()}


# The questions to ask it -------------------------------------------------------------------------------


def logits(config, params, tokens, **kind):
    """tokens (B, T) -> logits (B, T, V); kind: dtype and attention, as for build."""
    with torch.no_grad():
        return build(config, params, **kind)(ids(tokens)).numpy()


def loss_and_grads(config, params, tokens, targets, **kind):
    """tokens (B, T), targets (B, T) -> loss, and the gradient of every parameter by name."""
    model = build(config, params, **kind)
    loss = model.loss(ids(tokens), ids(targets))
    loss.backward()
    return loss.item(), arrays(model, of=lambda param: param.grad)


def adamw(model, lr, betas, eps, weight_decay, fused=False):
    """torch's AdamW, which decays matrices only."""
    matrices = [param for param in model.parameters() if param.ndim == 2]
    vectors = [param for param in model.parameters() if param.ndim != 2]
    groups = [{"params": matrices, "weight_decay": weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=lr, betas=betas, eps=eps, fused=fused)


def training(config, params, batches, rates, betas, eps, weight_decay, clip, **kind):
    """Train on each batch (tokens, targets) at its rate; yield (loss, clipped gradients, new parameters)."""
    model = build(config, params, **kind)
    optimizer = adamw(model, 0.0, betas, eps, weight_decay)
    for (tokens, targets), lr in zip(batches, rates, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = lr
        optimizer.zero_grad()
        loss = model.loss(ids(tokens), ids(targets))
        loss.backward()
        if clip is not None:
            nn.utils.clip_grad_norm_(model.parameters(), clip)
        optimizer.step()
        yield loss.item(), arrays(model, of=lambda param: param.grad), arrays(model)


def train(config, params, batches, rates, betas, eps, weight_decay, clip, **kind):
    """The losses of all steps, and the parameters after the last."""
    losses, trained = [], params
    for loss, _, after in training(config, params, batches, rates, betas, eps, weight_decay, clip, **kind):
        losses, trained = [*losses, loss], after
    return losses, trained
