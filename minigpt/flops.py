"""How much arithmetic a training step is, and how much of it a machine can do."""

import math
import time

import numpy as np

from minigpt.arrays import gpu_name
from minigpt.gpus import machine_called
from minigpt.model import param_shapes


def flops_per_token(config, context):
    """Floating-point operations a trained token costs, forward and backward: 6 (N - wpe) + 12 L C T.

    The convention of PaLM (arXiv:2204.02311, appendix B) and nanoGPT: attention counts the full square.
    """
    shapes = param_shapes(config)
    weights = sum(math.prod(shape) for name, shape in shapes.items() if name != "wpe.weight")
    return 6 * weights + 12 * config.n_layer * config.n_embd * context


def llmc_flops_per_token(config, context):
    """The same by llm.c's convention: 6 N + 6 L C T, N with wpe and the vocabulary padded to 128s.

    Attention counts the half of the square that a causal mask leaves (karpathy/llm.c, train_gpt2.cu).
    """
    return 6 * llmc_params(config) + 6 * config.n_layer * config.n_embd * context


def llmc_params(config):
    """N of llm.c: every parameter, its table of tokens padded to a multiple of 128 rows."""
    weights = sum(math.prod(shape) for shape in param_shapes(config).values())
    return weights + -config.n_vocab % 128 * config.n_embd


def matmul_peak(dtype="float32", size=2048, tries=4):
    """Floating-point operations a second of a large matrix product, the best of a few tries (~0.3 s)."""
    a = np.ones((size, size), dtype)
    out, best = np.empty_like(a), math.inf
    for _ in range(tries):
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * size**3 / best


def peak_of(recipe, ops):
    """(floating-point operations a second, what does them): measured on cores, on a GPU as it is published.

    The published share of a GPU is one of its bfloat16 peak, whatever is computed in.
    """
    if recipe.device == "numpy":
        return matmul_peak(recipe.dtype) * ops.threads, f"{ops.threads} threads"
    name = gpu_name()
    machine = machine_called(name)
    return (machine.peak if machine else math.nan), name
