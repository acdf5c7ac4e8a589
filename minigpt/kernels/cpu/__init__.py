"""Kernels for NumPy on CPU cores: the operations of ops/ in blocks that stay in cache, on every core.

Three rules make them fast. Blocks: a chain of elementwise operations runs over a few rows at a time, so that
its intermediates stay in the caches. Threads: NumPy releases Python's lock inside an operation,
so plain threads share the work, and matrix products are cut between them with BLAS itself at one thread;
where parts can be small, whoever is free takes the next. Memory: what an argument held is overwritten where
the model reads it no more (`donated`, said in each docstring), and freed memory stays with the process.
"""

import functools

from minigpt.config import whole_between
from minigpt.cores import available_cores
from minigpt.kernels import Table
from minigpt.kernels.cpu import (
    attention,
    block,
    cross_entropy,
    embedding,
    gelu,
    layernorm,
    linear,
    optim,
    reading,
    unembedding,
)
from minigpt.kernels.cpu.memory import keep_freed_memory
from minigpt.kernels.cpu.team import Team
from minigpt.kernels.gradient import collect

KERNELS = {
    "attention_backward": attention.attention_backward,
    "attention_forward": attention.attention_forward,
    "block_backward": block.block_backward,
    "block_forward": block.block_forward,
    "block_read": reading.block_read,
    "cross_entropy_backward": cross_entropy.cross_entropy_backward,
    "cross_entropy_forward": cross_entropy.cross_entropy_forward,
    "embedding_backward": embedding.embedding_backward,
    "gelu_backward": gelu.gelu_backward,
    "gelu_forward": gelu.gelu_forward,
    "layernorm_backward": layernorm.layernorm_backward,
    "layernorm_forward": layernorm.layernorm_forward,
    "linear_backward": linear.linear_backward,
    "linear_forward": linear.linear_forward,
    "unembedding_backward": unembedding.unembedding_backward,
    "unembedding_forward": unembedding.unembedding_forward,
    "adamw": optim.adamw,
    "global_norm": optim.global_norm,
}


def table(functions, threads=None):
    """The reference's functions with the kernels in their places, all sharing one team of threads."""
    keep_freed_memory()
    team = Team(available_cores() if threads is None else whole_between("threads", threads, 1, 1024))
    kernels = {name: functools.partial(kernel, team=team) for name, kernel in KERNELS.items()}
    return Table(
        **functions | kernels | {"collect": collect}, name="fast", threads=team.size, session=team.session
    )
