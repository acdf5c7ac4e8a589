"""How long one rank computes: the products of a step at a share of the peak, and the arrays that it moves.

C channels, V vocabulary. An array that one kernel writes and another reads crosses the memory twice; products
and memory take turns, none hides behind the other. Lengths of rows are in numbers, not bytes.
"""

import math

from minigpt.flops import llmc_flops_per_token
from minigpt.model import param_shapes

# What a block's kernels read and write for each token, forward and backward, in C (kernels/cuda/block.py)
BLOCK = {
    "products, forward": (1 + 3) + (1 + 1) + (1 + 4) + (4 + 1),
    "products, gradients of inputs": (3 + 1) + (1 + 1) + (4 + 1) + (1 + 4),
    "products, gradients of weights": (1 + 3) + (1 + 1) + (1 + 4) + (4 + 1),
    "attention": (3 + 1) + (3 + 1 + 1 + 3),  # qkv to y; qkv, y, dy to dqkv
    "two layernorms with the stream": 2 * ((2 + 2) + (3 + 1)),  # x, branch to x, n; x, dx, dn to dx
    "gelu": (4 + 4) + (4 + 4 + 4),  # x to y; x, dy to dx
    "gradients of biases": 3 + 1 + 4 + 1,
}
ENDS = 3 + 3 + (1 + 1) + (2 + 1) + 3  # in C: embedding and its gradient, the last layernorm and its, logits
LOGITS = 5  # in V: written, read by the classifier, written as their gradient, read by two products

MEMORY_SHARE = 2.7 / 3.35  # of the sheet's bandwidth: what fused kernels are taken to reach on an H100
LAUNCHES = 10 + 19  # of a block, forward and backward (DECISIONS.md, 2026-11-24)
LAUNCH = 10e-6  # seconds: a call from Python takes 5 to 15 microseconds
BACKWARD = 2 / 3  # of a micro-step: two products for each of forward's

WIDTHS = {"bfloat16": 2, "float32": 4}  # bytes of a number


def micro_step_seconds(config, tokens, machine, share, context):
    """Forward and backward of a micro-batch; share: of machine.peak, in products (llm.c's count)."""
    products = tokens * llmc_flops_per_token(config, context) / (share * machine.peak)
    memory = micro_step_bytes(config, tokens, machine.dtype) / (MEMORY_SHARE * machine.bandwidth)
    return max(products + memory, LAUNCHES * config.n_layer * LAUNCH)


def micro_step_bytes(config, tokens, dtype):
    """What crosses the memory: activations of every token; each weight twice, and its gradient."""
    channels = (config.n_layer * sum(BLOCK.values()) + ENDS) * config.n_embd
    return WIDTHS[dtype] * (tokens * (channels + LOGITS * config.n_vocab) + 3 * params(config))


def update_seconds(config, machine, gradients, shards=1):
    """The gradient's norm and AdamW, on one of so many shards."""
    g, masters = WIDTHS[gradients], 3 * 2 * WIDTHS["float32"]  # weight and two moments, read and written
    copy = WIDTHS[machine.dtype] if machine.dtype == "bfloat16" else 0
    return params(config) * (2 * g + masters + copy) / shards / (MEMORY_SHARE * machine.bandwidth)


def params(config):
    """P, the model's parameters."""
    return sum(math.prod(shape) for shape in param_shapes(config).values())
