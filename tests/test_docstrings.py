"""Every arrow line in a docstring is what happens, on one training step whose letters are all different."""

import functools
import inspect

import numpy as np
import pytest

from minigpt import api, data, decode, kernels, model, ops, optim, reading, train
from minigpt.choice import Choice
from minigpt.comm import Alone
from minigpt.config import GPTConfig, OptimizerConfig
from minigpt.kernels import cpu
from minigpt.kernels.cpu.team import Team
from minigpt.kernels.gradient import collect
from minigpt.ops import attention
from tests.support.shapes import ShapeError, arrow_line, held_to_its_arrow_line
from tests.support.tables import reference_table

# no letter, nor 3C or F = 4C, has another's value
CONFIG = GPTConfig(n_layer=2, n_head=3, n_embd=15, n_ctx=11, n_vocab=13)
B, T = 2, 7
LETTERS = {"B": B, "T": T, "C": 15, "H": 3, "D": 5, "F": 60, "V": 13, "N": 11}

MODEL = (model.forward, model.backward, model.block_forward, model.block_backward)
NO_ARRAYS = {model.init_params, model.param_shapes, model.within}
NO_ENTRY = ("collect", "upload", "weights")  # of the table, but for whole mappings or batches
READING = {"block_read", "cached_attention", "last_states"}  # what a training step has no use for
PARTS = (attention.softmax, attention.split_heads, attention.merge_heads)
OPTIM = (optim.global_norm, optim.clip_scale, optim.adamw)
TABLE = tuple(function for name, function in vars(reference_table()).items() if name not in NO_ENTRY)
DOCUMENTED = (*dict.fromkeys((*TABLE, *MODEL, *PARTS, *OPTIM)),)


def name_of(function):
    return f"{function.__module__}.{function.__name__}"


@pytest.mark.parametrize("function", DOCUMENTED, ids=name_of)
def test_every_array_function_has_an_arrow_line(function):
    arguments, results = arrow_line(function)
    assert arguments
    assert results or inspect.isgeneratorfunction(function)


def test_no_array_function_of_the_ops_was_forgotten():
    modules = {inspect.getmodule(function) for function in TABLE}
    public = {
        function
        for module in modules
        for _, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__
    }
    schedules = {optim.learning_rate, optim.progress, *optim.SHAPES.values()}  # numbers in, a number out
    held = {*TABLE, *MODEL, *PARTS, *OPTIM, reading.last_states}
    assert public - schedules - NO_ARRAYS == held


def test_every_arrow_line_is_what_happens_in_a_step(monkeypatch):
    params = model.init_params(CONFIG, dtype="float64")
    letters, seen = LETTERS | {"P": params.buffer.size}, set()

    def held(function):
        return held_to_its_arrow_line(function, letters, seen)

    for module, functions in ((model, MODEL), (attention, PARTS), (train, MODEL[:2])):
        for function in functions:
            monkeypatch.setattr(module, function.__name__, held(function))
    table = reference_table(**{function.__name__: held(function) for function in TABLE})
    tokens, targets = np.random.default_rng(0).integers(0, CONFIG.n_vocab, (2, B, T))
    state = train.new_state(params)
    train.train_step(CONFIG, OptimizerConfig(), table, Alone(), state, [(tokens, targets)])
    assert seen == {function.__name__ for function in DOCUMENTED} - READING


@pytest.mark.parametrize("ops", ["reference", "fast"])
def test_every_arrow_line_is_what_happens_where_there_is_no_way_back(monkeypatch, ops):
    params, seen = model.init_params(CONFIG), set()
    table = kernels.table(ops, "float32", threads=2)
    inner = held_to_its_arrow_line(getattr(table.block_read, "func", table.block_read), LETTERS, seen)
    table.block_read = functools.partial(inner, **getattr(table.block_read, "keywords", {}))
    cached = held_to_its_arrow_line(decode.cached_attention, LETTERS, seen)
    monkeypatch.setattr(decode, "cached_attention", cached)
    cache = decode.Cache(CONFIG, params.buffer, (0,) * B)
    decode.Decoder(CONFIG, table, params).read(cache, np.ones((B, T), int))
    held_to_its_arrow_line(reading.last_states, LETTERS, seen)(CONFIG, table, params, np.ones((B, T), int))
    assert seen == READING


def test_every_arrow_line_of_the_kernels_is_what_happens_in_a_step():
    params = model.init_params(CONFIG)
    letters, seen = LETTERS | {"P": params.buffer.size}, set()
    team = Team(2)
    held = {
        name: functools.partial(held_to_its_arrow_line(kernel, letters, seen), team=team)
        for name, kernel in cpu.KERNELS.items()
    }
    tokens, targets = np.random.default_rng(0).integers(0, CONFIG.n_vocab, (2, B, T))
    blocks = {name: held.pop(name) for name in ("block_forward", "block_backward")}
    for fused in ({}, blocks):  # the model's blocks, made of the other kernels; and the kernels' own
        table, state = reference_table(collect=collect, **held, **fused), train.new_state(params)
        train.train_step(CONFIG, OptimizerConfig(), table, Alone(), state, [(tokens, targets)])
    assert seen == set(cpu.KERNELS) - READING


def test_arrow_lines_of_data_and_api_are_what_happens():
    letters, seen = {"B": 3, "T": T, "V": 13, "M": 100}, set()
    ids, params = np.arange(100) % 13, model.init_params(CONFIG)
    shape = {"seed": 0, "context": T, "batch_size": 3, "rows_per_step": 6}
    tokens, _ = held_to_its_arrow_line(data.batch, letters, seen)([ids, ids], 0, 1, **shape)
    held_to_its_arrow_line(api.logits, letters, seen)(CONFIG, params, tokens)
    held_to_its_arrow_line(data.ordered_windows, {"T": T, "M": 100}, seen)(ids, T)
    held_to_its_arrow_line(Choice.probs, letters, seen)(Choice(1.0), np.zeros(13))
    held_to_its_arrow_line(Choice.nucleus, letters, seen)(Choice(1.0, top_p=0.5), np.ones(13) / 13)
    assert seen == {"batch", "logits", "ordered_windows", "probs", "nucleus"}


def with_docstring(function, docstring):
    """function under another docstring."""

    def renamed(dy, cache):
        return function(dy, cache)

    renamed.__doc__ = docstring
    return renamed


@pytest.mark.parametrize(
    "docstring",
    [
        "dy (B, T, O) -> dx (B, T, O), dweight (I, O), dbias (O)",  # a letter that means two things
        "dy (B, T, O) -> dx (B, T, I), dweight (O, I), dbias (O)",  # axes in the wrong order
        "dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (2O)",  # a wrong product
        "dy (B, T, O) -> dx (T, I), dweight (I, O), dbias (O)",  # an axis too few
        "dy (B, T, O) -> dx (B, T, I), dweight (I, O)",  # a result too few
        "dy (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O), more ()",  # a result too many
        "dz (B, T, O) -> dx (B, T, I), dweight (I, O), dbias (O)",  # no such argument
        "dy (B, T, O) -> dx (B, T, 6), dweight (I, O), dbias (O)",  # a wrong number
    ],
)
def test_a_wrong_arrow_line_is_caught(docstring):
    x, weight, bias = np.ones((2, 3, 4)), np.ones((4, 5)), np.ones(5)
    y, cache = ops.linear_forward(x, weight, bias)
    held_to_its_arrow_line(ops.linear_backward)(y, cache)
    with pytest.raises(ShapeError):
        held_to_its_arrow_line(with_docstring(ops.linear_backward, docstring))(y, cache)


@pytest.mark.parametrize("docstring", [None, "Only words.", "x (B) -> y (B)\n\nx (B) -> y (B)", "x (B -> y"])
def test_a_missing_or_broken_arrow_line_is_caught(docstring):
    with pytest.raises(ShapeError, match="arrow lines"):
        arrow_line(with_docstring(ops.linear_backward, docstring))


def test_an_arrow_line_may_run_over_several_lines():
    docstring = "Words.\n\n    dy (B, T),\n    n () -> dx (3C)\n"
    arguments, results = arrow_line(with_docstring(ops.gelu_backward, docstring))
    assert arguments == [("dy", "B, T"), ("n", "")]
    assert results == [("dx", "3C")]
