"""The ops tables: what the model and the training step call for each operation."""

import contextlib
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt import kernels
from minigpt.kernels.cpu import attention, crew, team


def reference_table(**replacements):
    """The reference's functions, some of them replaced by name."""
    return SimpleNamespace(**(kernels.REFERENCE | replacements))


def table_of(model):
    """The reference with the blocks of a module, which may be a mutant of minigpt.model."""
    return reference_table(block_forward=model.block_forward, block_backward=model.block_backward)


def cpu_table(threads):
    """The CPU kernels in the reference's places."""
    return kernels.table("fast", "float32", threads)


@contextlib.contextmanager
def small_blocks():
    """Blocks, tiles and shares of a few numbers, so that small arrays take every path of the kernels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(team, "BLOCK_BYTES", 32)
        patch.setattr(team, "WORTHWHILE", 0)
        patch.setattr(team, "WORTHWHILE_PRODUCT", 0)
        patch.setattr(team, "ALIGN", 2)
        patch.setattr(team, "PIECE", 4)
        patch.setattr(crew, "ROWS", 2)
        patch.setattr(attention, "TILE", 2)
        patch.setattr(attention, "UNIT_BYTES", 32)
        patch.setattr(attention, "HIDDEN", np.array([[0, -np.inf], [0, 0]], np.float32))
        yield
