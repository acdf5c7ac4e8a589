"""Whole steps by cublasLt and by cuDNN's attention, on stand-ins for both: the budgets of test_step.py."""

import dataclasses

import ml_dtypes
import numpy as np
import pytest

import minigpt
from minigpt import kernels
from minigpt.errors import ConfigError
from tests.kernels.cuda.test_step import OF_64, OTHERS, PLAIN_BLOCKS, Given, launches, within_budget
from tests.support.cuda import fake_cublaslt, fake_cudnn
from tests.support.device_array import LAUNCHES

LT, CUDNN = {"products": "cublaslt"}, {"attention": "cudnn"}
NARROW = dataclasses.replace(OTHERS, D=1)  # three channels: nothing is aligned as cublasLt wants it
CASES = [
    *(("bf16", OF_64, "fused", parts, LT | CUDNN) for parts in (1, 2)),
    *((mode, OTHERS, "fused", parts, LT) for mode in ("fp32", "tf32", "bf16") for parts in (1, 2)),
    *((mode, OTHERS, "plain", 1, LT) for mode in ("fp32", "bf16")),
    *(("bf16", OTHERS, "fused", 1, CUDNN), ("bf16", NARROW, "fused", 1, LT | CUDNN)),
    *(
        ("fp32", OTHERS, "fused", 1, {"attention": "scores"}),
        ("bf16", OF_64, "fused", 1, {"attention": "scores"}),
    ),
]


@pytest.mark.parametrize(("mode", "sizes", "blocks", "parts", "ways"), CASES)
def test_loss_and_gradients_are_within_the_budget_of_their_precision(bench, mode, sizes, blocks, parts, ways):
    given = Given(bench, sizes, mode, **ways, **(PLAIN_BLOCKS if blocks == "plain" else {}))
    within_budget(given, mode, parts)
