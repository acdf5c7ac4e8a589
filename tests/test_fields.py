"""Every field of every configuration that programs give, with values of every wrong kind: a ConfigError.

The fields are those of the dataclasses and signatures themselves, so a new one is tried too.
"""

import dataclasses
import inspect
import math
import typing

import numpy as np
import pytest

import minigpt
from minigpt import GPTConfig, MinigptError, Trainer, generate, init_params, room
from minigpt.config import OptimizerConfig
from minigpt.options import Recipe
from minigpt.recipe import resolved
from tests.support.models import TINY

NOTHING = object()
NO_NUMBER = ["1", b"1", [], [1], {}, (), 1j, NOTHING, np.array([1, 2]), np.array(["a"]), int, True, np.True_]
BAD = {
    int: [*NO_NUMBER, 1.5, math.nan, math.inf, -math.inf, np.float32(1), -1, -(10**30), 10**30],
    float: [*NO_NUMBER, math.nan, math.inf, -math.inf, np.float32("nan"), -1.0, -1e-300, -(10**400), 10**400],
    bool: [0, 1, "True", None, [], math.nan, NOTHING],
    str: ["nonsense", "", 3, 1.5, b"x", [], (), NOTHING, math.nan, True],
    tuple: [0.9, "ab", (0.9,), (0.9, 0.95, 0.99), (0.9, math.nan), (-0.1, 0.9), (0.9, 1.0), ("a", "b"), {}],
}
# looked for later
FREE = ("out", "data", "val_data", "tokenizer", "init_from", "resume", "allow_changes", "wandb")


def kinds_of(field):
    kinds = typing.get_args(field.type) if typing.get_origin(field.type) is not tuple else ()
    return set(kinds) or {typing.get_origin(field.type) or field.type}


def bad_values(field):
    """What a field must refuse."""
    kinds = kinds_of(field)
    for kind in (int, float, bool, str, tuple):
        if kind in kinds:
            free = kind is str and field.name in FREE
            empty_too = field.name == "allow_changes"
            fine = [value for value in BAD[kind] if free and isinstance(value, str) and (value or empty_too)]
            yield from (value for value in BAD[kind] if not any(value is one for one in fine))
    if type(None) not in kinds:
        yield None


def cases(kind):
    return [(field.name, value) for field in dataclasses.fields(kind) for value in bad_values(field)]


def short(value):
    return f"{value!r:.20}" if value is not NOTHING else "object"


@pytest.mark.parametrize(("name", "value"), cases(GPTConfig), ids=short)
def test_a_model_s_shape(name, value):
    with pytest.raises(minigpt.ConfigError, match=name):
        GPTConfig(**{name: value})


@pytest.mark.parametrize(("name", "value"), cases(OptimizerConfig), ids=short)
def test_an_optimizer_s_numbers(name, value):
    params = init_params(TINY)
    for make in (OptimizerConfig, lambda **options: Trainer(TINY, params, **options)):
        with pytest.raises(minigpt.ConfigError, match=name):
            make(**{name: value})


# clip=None is no clipping, as OptimizerConfig has it
RECIPES = [(name, value) for name, value in cases(Recipe) if name != "clip" or value is not None]


@pytest.mark.parametrize(("name", "value"), RECIPES, ids=short)
def test_a_recipe(name, value):
    with pytest.raises(minigpt.ConfigError, match=name.replace("_", "[_-]")):
        resolved(dataclasses.replace(Recipe(), **{name: value}))


TRAINER = {
    "ops": BAD[str], "threads": BAD[int], "device": ["nonsense", 3, b"numpy", []],
    "dtype": ["nonsense", 3, [], "float64", "bfloat16", np.float32], "tf32": [*BAD[bool], True],
    "products": [*BAD[str], "cublaslt"], "attention": [*BAD[str], "cudnn", "scores"],
}  # fmt: skip
GENERATE = {
    "max_new_tokens": [None, *BAD[int]], "temperature": [None, *BAD[float]], "top_k": BAD[int],
    "top_p": [*BAD[float], 0, 1.5], "seed": [None, *BAD[int]], "top_p_rule": [None, *BAD[str]],
    "ops": [None, *BAD[str]], "slide": [None, 0, 7, *BAD[int]],
    "stop": ["1", 1.5, -1, 7, [1, 7], [[1], [2, 3]], {}, NOTHING, math.nan, ["a"]],
    "prompt_ids": ["ab", 3, None, [7], [-1], [[1]], [1.0], ["a"], NOTHING, {1: 2}, [10**30]],
    "config": [None, {}, "gpt2", NOTHING], "params": [None, [], {}, "gpt2", NOTHING],
}  # fmt: skip


def test_no_argument_is_forgotten():
    optimizer = {field.name for field in dataclasses.fields(OptimizerConfig)}
    trainer = set(inspect.signature(Trainer).parameters) - {"config", "params", "world", "state", "optimizer"}
    assert trainer == set(TRAINER)
    assert not trainer & optimizer
    assert set(inspect.signature(generate).parameters) == set(GENERATE)


@pytest.mark.parametrize(("name", "value"), [(n, v) for n in TRAINER for v in TRAINER[n]], ids=short)
def test_a_trainer(name, value):
    with pytest.raises(minigpt.ConfigError, match=name):
        Trainer(TINY, init_params(TINY), **{name: value})


@pytest.mark.parametrize(("name", "value"), [(n, v) for n in GENERATE for v in GENERATE[n]], ids=short)
def test_generate(name, value):
    arguments = {"config": TINY, "params": init_params(TINY), "prompt_ids": [1]} | {name: value}
    with pytest.raises(MinigptError, match=name.replace("_", "[_ -]")):
        generate(**arguments)


CONTRADICTIONS = {
    "heads": {"n_head": 3},
    "part of a batch": {"tokens_per_step": 1000},
    "less than a batch": {"tokens_per_step": 512},
    "tf32 without a GPU": {"tf32": True},
    "bfloat16 without a GPU": {"dtype": "bfloat16"},
    "a format without data": {"data_format": "raw"},
}


@pytest.mark.parametrize("fields", CONTRADICTIONS.values(), ids=list(CONTRADICTIONS))
def test_fields_that_contradict_each_other(fields):
    with pytest.raises(minigpt.ConfigError):
        resolved(Recipe(**fields))


# memory


@pytest.mark.parametrize(
    ("fields", "advice"),
    [
        ({"n_layer": 10_000}, "a smaller model"),
        ({"n_embd": 2**20, "n_head": 1}, "a smaller model"),
        ({"batch_size": 10**6, "tokens_per_step": 128 * 10**6}, "a batch-size of at most [1-9]"),
        ({"context": 2**24, "batch_size": 1, "tokens_per_step": 2**24, "n_embd": 4}, "a shorter context"),
    ],
)
def test_what_cannot_fit_is_refused_with_what_is_needed_and_what_there_is(fields, advice, monkeypatch):
    monkeypatch.setattr(room, "available_bytes", lambda: 8e9)
    with pytest.raises(minigpt.ConfigError) as refusal:
        resolved(Recipe(**fields))
    assert pytest.approx(8e9) == 1e9 * float(str(refusal.value).split("available are ")[1].split(" GB")[0])
    assert refusal.match(r"needs [\d,.]+ GB of memory at least: weights, gradients and moments [\d,.]+ GB")
    assert refusal.match(advice)


def test_the_batch_size_that_is_named_fits_and_one_more_does_not(monkeypatch):
    monkeypatch.setattr(room, "available_bytes", lambda: 3e8)
    config = GPTConfig(n_layer=4, n_head=4, n_embd=64, n_ctx=128, n_vocab=300)
    with pytest.raises(minigpt.ConfigError) as refusal:
        room.check_step(config, 1000, 128, 4, False)
    fits = int(str(refusal.value).rsplit(" ", 1)[1])
    room.check_step(config, fits, 128, 4, False)
    with pytest.raises(minigpt.ConfigError, match=f"at most {fits}$"):
        room.check_step(config, fits + 1, 128, 4, False)


def test_the_copy_at_a_save_must_fit_too(monkeypatch):
    config = GPTConfig(n_layer=4, n_head=4, n_embd=64, n_ctx=128, n_vocab=300)
    P = room.params_bytes(config, 4)
    monkeypatch.setattr(room, "available_bytes", lambda: 7 * P - 1)
    with pytest.raises(minigpt.ConfigError, match=r"the copy at a save .* use a smaller model"):
        room.check_step(config, 1, 1, 4, False)
    monkeypatch.setattr(room, "available_bytes", lambda: 7 * P)
    room.check_step(config, 1, 1, 4, False)


def test_parameters_that_cannot_fit_are_not_drawn():
    huge = GPTConfig(n_layer=10_000, n_head=1, n_embd=2**20)
    with pytest.raises(minigpt.ConfigError, match=r"a model of 131,\d{3},[\d,]+ parameters needs"):
        init_params(huge)
    assert room.params_bytes(TINY, 1) == init_params(TINY).buffer.size
