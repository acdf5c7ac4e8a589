"""The same source on device arrays: every op, the model and a whole step, bit for bit as on NumPy."""

import importlib
import inspect
import sys

import numpy as np
import pytest
from hypothesis import given

from minigpt import ops
from minigpt.arrays import Flat
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.model import backward, forward, param_shapes
from minigpt.train import new_state, train_step
from tests.support.device_array import FUNCTIONS, UFUNCS, DeviceArray, on_device, on_host
from tests.support.examples import OPS, sizes
from tests.support.models import TINY, random_batch, random_params
from tests.support.proofs import check_device, snapshot
from tests.support.tables import reference_table

DTYPES = ("float32", "float64")


@pytest.mark.parametrize("op", OPS)
@given(s=sizes())
def test_every_op_gives_the_same_bits(op, s):
    check_device(op, ops, s)


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_model_gives_the_same_bits(dtype):
    params, (tokens, targets) = random_params(TINY, dtype=dtype), random_batch(TINY, B=3, T=5)
    expected = logits_and_gradients(params, tokens, targets)
    device = Flat(param_shapes(TINY), on_device(params.buffer))
    found = logits_and_gradients(device, on_device(tokens), on_device(targets))
    assert snapshot(on_host(found)) == snapshot(expected)


def logits_and_gradients(params, tokens, targets):
    """The logits, then every gradient in the order in which backward gives it."""
    table = reference_table()
    logits, tape = forward(TINY, table, params, tokens)
    _, tail = table.cross_entropy_forward(logits, targets)
    dlogits = table.cross_entropy_backward(1.0, tail)
    return logits, *(grad for _, grad in backward(TINY, table, dlogits, tape))


@pytest.mark.parametrize("clip", [None, 0.1])
@pytest.mark.parametrize("dtype", DTYPES)
def test_training_steps_give_the_same_bits(dtype, clip):
    params, parts = random_params(TINY, dtype=dtype), [random_batch(TINY, 2, 4, seed) for seed in range(2)]
    expected = after_three_steps(params, parts, clip)
    device = Flat(param_shapes(TINY), on_device(params.buffer))
    found = after_three_steps(device, on_device(parts), clip)
    assert snapshot(on_host(found)) == snapshot(expected)


def after_three_steps(params, parts, clip):
    """Parameters, both moments and the gradient after three steps."""
    state, optimizer = new_state(params), OptimizerConfig(clip=clip)
    for _ in range(3):
        state, report = train_step(TINY, optimizer, reference_table(), Alone(), state, parts)
        assert report.verdict.accepted
    return state.params.buffer, state.first, state.second, state.grads.buffer


def test_an_array_made_on_the_host_is_caught():
    x = on_device(np.ones(3))
    with pytest.raises(TypeError, match="host array"):
        x + np.ones(3)
    with pytest.raises(TypeError, match="host array"):
        np.where(np.tri(3, dtype=bool), x, 0.0)  # a forgotten like=


def test_a_way_back_to_the_host_by_accident_is_caught():
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.asarray(on_device(np.ones(3)))
    with pytest.raises(TypeError, match="Implicit conversion"):
        np.ones(3)[:] = on_device(np.ones(3))


def test_what_cupy_lacks_is_caught():
    x = on_device(np.ones((2, 2)))
    with pytest.raises(TypeError, match="no implementation found"):
        np.block([x])
    with pytest.raises(TypeError, match="NotImplemented"):
        np.multiply.at(x, on_device(np.array([0])), x)
    with pytest.raises(TypeError, match="unexpected keyword"):
        np.zeros_like(x, device="cpu")


def test_the_list_of_functions_is_cupy_s_own():
    cupy = importlib.import_module("cupy") if sys.platform == "linux" else pytest.importorskip("cupy")
    for name, stand_in in FUNCTIONS.items():
        theirs = [(p.name, p.kind) for p in inspect.signature(getattr(cupy, name)).parameters.values()]
        assert theirs == [(p.name, p.kind) for p in inspect.signature(stand_in).parameters.values()], name
    for name in UFUNCS:
        assert callable(getattr(cupy, name)), name
    for name in vars(DeviceArray):
        assert name.startswith("_") or hasattr(cupy.ndarray, name), name
