"""The operations of ops/ on a GPU, each made of a few launches; every one under the name of its reference.

Gradients of parameters come as Gradient, not as arrays: see gradient.py. What an argument held is overwritten
where the model reads it no more (`donated`, said in each docstring).
"""

from functools import partial
from typing import NamedTuple

import cupy

from minigpt.kernels.cuda import adamw as flat
from minigpt.kernels.cuda import bias, cast, classifier, embedding, gelu, layernorm
from minigpt.kernels.cuda.column_sum import column_sum
from minigpt.kernels.cuda.gemm import gemm, product
from minigpt.kernels.gradient import Gradient, together

PAD = 64  # logits have room for a multiple of so many columns: cuBLAS is fastest on rows that begin aligned


def embedding_forward(tokens, wte, wpe):
    """x[b, t] = wte[tokens[b, t]] + wpe[t].

    tokens (B, T), wte (V, C), wpe (N, C) -> x (B, T, C)
    """
    return embedding.embedding_forward(tokens, wte, wpe), tokens


def embedding_backward(dx, tokens):
    """dwte[v] = sum of dx over the places of v, dwpe[t] = sum of dx over the batch.

    dx (B, T, C) -> dwte (V, C), dwpe (N, C)
    """

    def dwte(out, add):
        embedding.embedding_backward_tokens(dx, tokens, out=out, add=add)

    def dwpe(out, add):
        embedding.embedding_backward_positions(dx, out=out, add=add)

    return Gradient(dwte), Gradient(dwpe)


def layernorm_forward(x, gain, bias):
    """y = gain * n + bias, n being x with mean 0 and variance 1.

    x (B, T, C), gain (C), bias (C) -> y (B, T, C)
    """
    _, y, mean, rstd = layernorm.layernorm_forward(x, gain, bias)
    return y, (x, gain, mean, rstd)


def layernorm_backward(dy, cache):
    """dx, and dgain and dbias, which one launch writes.

    dy (B, T, C) -> dx (B, T, C), dgain (C), dbias (C)
    """
    x, gain, mean, rstd = cache
    dx, finish = layernorm.layernorm_backward(dy, x, gain, mean, rstd)
    return dx, *together(finish, 2)


def linear_forward(x, weight, offset, *, compute):
    """y = x @ weight + bias.

    x (B, T, I), weight (I, O), offset (O) -> y (B, T, O)
    """
    y = matmul(x, weight, compute)
    return bias.bias_add(y, offset), (x, weight)


def linear_backward(dy, cache, *, compute):
    """dx = dy @ weight', dweight = x' @ dy, dbias = column sums of dy.

    dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)
    """
    x, weight = cache
    return matmul(dy, weight.T, compute), weight_gradient(x, dy, compute), sum_of_rows(dy)


def matmul(x, weight, compute):
    """x @ weight, row by row.

    x (B, T, I), weight (I, O) -> y (B, T, O)
    """
    return product(rows(x), weight, compute=compute).reshape(*x.shape[:-1], weight.shape[1])


def weight_gradient(x, dy, compute):
    """x' @ dy, added up where it belongs.

    x (B, T, I), dy (B, T, O) -> dweight (I, O)
    """

    def write(out, add):
        gemm(rows(x).T, rows(dy), out, beta=float(add), compute=compute)

    return Gradient(write)


def sum_of_rows(dy):
    """The gradient of a bias.

    dy (B, T, O) -> dbias (O)
    """
    return Gradient(lambda out, add: column_sum(dy, out=out, add=add))


def rows(x):
    """All positions below one another.

    x (B, T, C) -> rows (R, C)
    """
    return x.reshape(-1, x.shape[-1])


def gelu_forward(x):
    """y = x/2 * (1 + tanh(...)).

    x (B, T, F) -> y (B, T, F)
    """
    return gelu.bias_gelu_forward(x), x


def gelu_backward(dy, x):
    """dx = dy times the slope at x. dy is donated.

    dy (B, T, F) -> dx (B, T, F)
    """
    return gelu.bias_gelu_backward(dy, x)[0]


def unembedding_forward(x, wte, *, compute):
    """logits = x @ wte'. Where the buffer goes on behind wte, some more columns are made and not shown.

    x (B, T, C), wte (V, C) -> logits (B, T, V)
    """
    V = wte.shape[0]
    logits = cupy.empty((*x.shape[:-1], -(-V // PAD) * PAD), x.dtype)
    table = with_rows_behind(wte, logits.shape[-1])
    gemm(rows(x), table.T, rows(logits)[:, : len(table)], compute=compute)
    return logits[..., :V], (x, wte)


def unembedding_backward(dlogits, cache, *, compute):
    """dx = dlogits @ wte, dwte = dlogits' @ x.

    dlogits (B, T, V) -> dx (B, T, C), dwte (V, C)
    """
    (x, wte), (gradient, times) = cache, dlogits
    V, table = wte.shape[0], with_rows_behind(wte, gradient.shape[-1])
    dx = cupy.empty(x.shape, x.dtype)
    gemm(rows(gradient)[:, : len(table)], table, rows(dx), alpha=times, compute=compute)

    def dwte(out, add):
        gemm(rows(gradient)[:, :V].T, rows(x), out, alpha=times, beta=float(add), compute=compute)

    return dx, Gradient(dwte)


def with_rows_behind(table, count):
    """The table with what lies behind it in its buffer, count rows in all; itself if too little does.

    Nobody sees the products with those rows: the loss passes over them, and their gradients are 0.

    table (V, C) -> longer (W, C)
    """
    owner = table.base
    if owner is None or table.data.ptr + count * table.strides[0] > owner.data.ptr + owner.nbytes:
        return table
    return cupy.lib.stride_tricks.as_strided(table, (count, table.shape[1]), table.strides)


class Scaled(NamedTuple):
    """A gradient at the logits, in all columns of the buffer, and what it is still to be multiplied by."""

    gradient: cupy.ndarray
    times: float


def cross_entropy_forward(logits, targets):
    """The mean of -log p[target]; its gradient is made on the way, over the logits, which are donated.

    logits (B, T, V), targets (B, T) -> loss ()
    """
    V, whole = logits.shape[-1], whole_rows(logits)
    return classifier.classifier(whole, targets, V, dloss=1.0), whole


def cross_entropy_backward(dloss, dlogits):
    """dloss * (p - [token = target]) / number of scored targets.

    dloss () -> dlogits (B, T, V)
    """
    return Scaled(dlogits, float(dloss))


def whole_rows(logits):
    """Logits with the columns that their buffer has room for.

    logits (B, T, V) -> whole (B, T, P)
    """
    width = logits.strides[-2] // logits.itemsize
    return cupy.lib.stride_tricks.as_strided(logits, (*logits.shape[:-1], width), logits.strides)


class ClipScale(NamedTuple):
    """min(1, clip / (norm + 1e-6)), made in the kernel that multiplies by it: the norm stays on the GPU."""

    norm: cupy.ndarray
    clip: float | None


def adamw(params, grads, first, second, *, scale, **settings):
    """AdamW. params, first and second are donated. A norm that is no number changes nothing.

    params (P), grads (P), first (P), second (P) -> params (P), first (P), second (P)
    """
    return flat.adamw(params, grads, first, second, scale.norm, clip=scale.clip, **settings)


def weights(params, *, dtype):
    """The parameters as the operations read them: float32 as they are, or a copy rounded to bfloat16."""
    if dtype == "float32":
        return params
    return params.like(cast.cast(params.buffer, dtype))


def bound(compute, dtype):
    """name -> function, for the table: products made in this way, weights in this number type."""
    products = (linear_forward, linear_backward, unembedding_forward, unembedding_backward)
    plain = (
        embedding_forward, embedding_backward, layernorm_forward, layernorm_backward,
        gelu_forward, gelu_backward, cross_entropy_forward, cross_entropy_backward, adamw,
    )  # fmt: skip
    return {
        **{function.__name__: function for function in plain},
        **{function.__name__: partial(function, compute=compute) for function in products},
        "clip_scale": ClipScale,
        "global_norm": flat.global_norm,
        "weights": partial(weights, dtype=dtype),
    }
