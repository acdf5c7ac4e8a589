"""Causal attention by cuDNN: the third choice, --attention cudnn. Reference: minigpt/ops/attention.py.

cuDNN takes a graph of one operation, plans it for the shapes and the GPU (about two seconds, then kept),
and runs it on addresses. Queries, keys and values stay side by side in qkv, as do their gradients: it is
told the strides.
https://docs.nvidia.com/deeplearning/cudnn/frontend, Attention; NVIDIA/cudnn-frontend
"""

import functools
import math
from typing import NamedTuple

import cudnn
import cupy
import ml_dtypes
import numpy as np

from minigpt.kernels.cuda import attention

LARGEST_HEAD, EIGHT = 128, 8  # channels of a head at most, and what they must be a multiple of
KEPT = 128  # graphs: validation meets other lengths than training
Q, K, V, Y, LSE, DY, DQ, DK, DV = range(1, 10)  # the names of arrays in graphs


class Shape(NamedTuple):
    """What a graph is made for."""

    B: int
    T: int
    H: int
    D: int

    def heads(self, width):
        """Dimensions and strides of heads (B, H, T, D) among rows of so many numbers."""
        B, T, H, D = self
        return {"dim": [B, H, T, D], "stride": [T * width, D, width, 1]}

    def rows(self):
        """Dimensions and strides of a number for each row of scores."""
        B, T, H, _ = self
        return {"dim": [B, H, T, 1], "stride": [H * T, T, 1, 1]}


class Cache(NamedTuple):
    """What the backward pass starts from."""

    qkv: cupy.ndarray  # (B, T, 3C)
    y: cupy.ndarray  # (B, T, C)
    lse: cupy.ndarray  # (B, H, T): the logarithm of each row's sum of exponentials


def supports(shape, dtype):
    """Whether cuDNN does this: bfloat16, heads of 8, 16 ... 128, two positions at least."""
    fits = shape.D % EIGHT == 0 and shape.D <= LARGEST_HEAD
    return fits and shape.T > 1 and np.dtype(dtype) == ml_dtypes.bfloat16


def attention_forward(qkv, n_head, *, compute):
    """Each position averages the values of itself and those before it. One position alone, float32 and heads
    that cuDNN does not do go the way of attention.py.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    B, T, C = qkv.shape[0], qkv.shape[1], qkv.shape[2] // 3
    shape = Shape(B, T, n_head, C // n_head)
    if not supports(shape, qkv.dtype):
        return attention.attention_forward(qkv, n_head, compute=compute)
    y, lse = cupy.empty((B, T, C), qkv.dtype), cupy.empty((B, n_head, T), "float32")
    addresses = dict(zip((Q, K, V), thirds(qkv), strict=True))
    run(forward_graph(shape), addresses | {Y: y.data.ptr, LSE: lse.data.ptr})
    return y, Cache(qkv, y, lse)


def attention_backward(dy, cache, *, compute):
    """The gradient at queries, keys and values, the same bits every time.

    dy (B, T, C) -> dqkv (B, T, 3C)
    """
    if not isinstance(cache, Cache):
        return attention.attention_backward(dy, cache, compute=compute)
    qkv, y, lse = cache
    dqkv = cupy.empty_like(qkv)
    B, H, T = lse.shape
    addresses = dict(zip((Q, K, V, DQ, DK, DV), thirds(qkv) + thirds(dqkv), strict=True))
    addresses |= {Y: y.data.ptr, LSE: lse.data.ptr, DY: dy.data.ptr}
    run(backward_graph(Shape(B, T, H, y.shape[-1] // H)), addresses)
    return dqkv


def thirds(qkv):
    """Where queries, keys and values begin: side by side in each row.

    qkv (B, T, 3C)
    """
    return [qkv.data.ptr + i * qkv.nbytes // (qkv.shape[0] * qkv.shape[1] * 3) for i in range(3)]


def run(graph, addresses):
    """Send a planned graph off, with memory to work in for as long as it needs it."""
    space = cupy.empty(max(1, graph.get_workspace_size()), "uint8")
    cudnn.set_stream(handle=handle(), stream=cupy.cuda.get_current_stream().ptr)
    graph.execute(addresses, space.data.ptr, handle=handle())


@functools.cache
def handle():
    """cuDNN itself."""
    return cudnn.create_handle()


@functools.lru_cache(KEPT)
def forward_graph(shape):
    """y and lse from q, k and v, planned."""
    graph, C = empty_graph(), shape.H * shape.D
    q, k, v = (given(graph, uid, shape.heads(3 * C)) for uid in (Q, K, V))
    y, lse = graph.sdpa(q=q, k=k, v=v, generate_stats=True, **masked_and_scaled(shape))
    result(y, Y, shape.heads(C))
    result(lse, LSE, shape.rows(), cudnn.data_type.FLOAT)
    return planned(graph)


@functools.lru_cache(KEPT)
def backward_graph(shape):
    """dq, dk and dv, planned. To be deterministic, cuDNN keeps a dq for each block of keys: memory.py."""
    graph, C = empty_graph(), shape.H * shape.D
    q, k, v = (given(graph, uid, shape.heads(3 * C)) for uid in (Q, K, V))
    y, dy = (given(graph, uid, shape.heads(C)) for uid in (Y, DY))
    lse = given(graph, LSE, shape.rows(), cudnn.data_type.FLOAT)
    gradients = graph.sdpa_backward(
        q=q, k=k, v=v, o=y, dO=dy, stats=lse, use_deterministic_algorithm=True, **masked_and_scaled(shape)
    )
    for gradient, uid in zip(gradients, (DQ, DK, DV), strict=True):
        result(gradient, uid, shape.heads(3 * C))
    return planned(graph)


def masked_and_scaled(shape):
    """Position t sees s <= t; scores are divided by sqrt(D)."""
    mask = {"diagonal_alignment": cudnn.diagonal_alignment.TOP_LEFT, "diagonal_band_right_bound": 0}
    return {"attn_scale": 1 / math.sqrt(shape.D), **mask}


def empty_graph():
    """bfloat16 in and out, float32 between."""
    wide = cudnn.data_type.FLOAT
    types = {"intermediate_data_type": wide, "compute_data_type": wide}
    return cudnn.pygraph(io_data_type=cudnn.data_type.BFLOAT16, **types, **machine())


def machine():
    """What graphs are planned for: the GPU in use."""
    return {"handle": handle()}


def given(graph, uid, where, kind=None):
    """An argument of a graph."""
    return graph.tensor(uid=uid, data_type=kind or cudnn.data_type.BFLOAT16, **where)


def result(tensor, uid, where, kind=None):
    """Have a graph's result stored."""
    tensor.set_uid(uid).set_output(True).set_data_type(kind or cudnn.data_type.BFLOAT16)
    tensor.set_dim(where["dim"]).set_stride(where["stride"])


def planned(graph):
    """The graph, checked, and its kernel chosen and built."""
    graph.validate()
    graph.build_operation_graph()
    graph.create_execution_plans([cudnn.heur_mode.A, cudnn.heur_mode.FALLBACK])
    graph.check_support()
    graph.build_plans()
    return graph
