"""The functions that other programs call, and what they say to bad input."""

from decimal import Decimal

import numpy as np
import pytest

import minigpt

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
TOKENS = np.arange(10).reshape(2, 5)


@pytest.fixture
def params():
    return minigpt.init_params(CONFIG, dtype="float64")


def test_loss_and_grads_has_names_shapes_and_order_of_params(params):
    loss, grads = minigpt.loss_and_grads(CONFIG, params, TOKENS, TOKENS)
    assert isinstance(loss, float)
    assert list(grads) == list(params)
    assert all(grads[name].shape == params[name].shape for name in params)


def test_a_plain_dict_of_float32_runs_the_kernels_and_agrees_with_the_reference(params):
    single = {name: param.astype(np.float32) for name, param in params.items()}
    fast, fast_grads = minigpt.loss_and_grads(CONFIG, single, TOKENS, TOKENS)
    plain, plain_grads = minigpt.loss_and_grads(CONFIG, single, TOKENS, TOKENS, ops="reference")
    assert fast == pytest.approx(plain, rel=1e-6)
    for name in params:
        assert isinstance(fast_grads[name], np.ndarray), name
        np.testing.assert_allclose(fast_grads[name], plain_grads[name], atol=1e-6)
    logits = minigpt.logits(CONFIG, single, TOKENS)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, minigpt.logits(CONFIG, params, TOKENS), atol=1e-5)


def test_one_token_is_a_sequence(params):
    loss, _ = minigpt.loss_and_grads(CONFIG, params, [[3]], [[4]])
    assert np.isfinite(loss)
    assert minigpt.logits(CONFIG, params, np.array([[3]], np.uint16)).shape == (1, 1, 11)


BAD_TOKENS = {
    "too large": (np.array([[0, 11]]), r"tokens\[0, 1\] is 11: ids must be from 0 to 10"),
    "negative": (np.array([[0, -1]]), r"tokens\[0, 1\] is -1"),
    "1-D": (np.arange(5), r"shape \(B, T\).*found shape \(5,\)"),
    "empty": (np.zeros((0, 5), int), r"found shape \(0, 5\)"),
    "no time": (np.zeros((2, 0), int), r"found shape \(2, 0\)"),
    "too long": (np.zeros((1, 7), int), "up to n_ctx=6 tokens: found T=7"),
    "float": (np.zeros((1, 2)), "integers: found dtype float64"),
    "bool": (np.zeros((1, 2), bool), "integers: found dtype bool"),
    "text": ([["a", "b"]], "integers: found dtype <U1"),
    "ragged": ([[1, 2], [3]], "rectangular"),
    "none": (None, "integers: found dtype object"),
}


@pytest.mark.parametrize("case", BAD_TOKENS)
def test_bad_tokens_are_named(params, case):
    tokens, message = BAD_TOKENS[case]
    for call in (
        lambda: minigpt.logits(CONFIG, params, tokens),
        lambda: minigpt.loss_and_grads(CONFIG, params, tokens, tokens),
        lambda: minigpt.Trainer(CONFIG, params).step(tokens, tokens),
    ):
        with pytest.raises(minigpt.DataError, match=message):
            call()


BAD_TARGETS = {
    "shape": (TOKENS[:1], r"shape of tokens, \(2, 5\): found \(1, 5\)"),
    "too large": (TOKENS + 2, r"targets\[1, 4\] is 11"),
    "below -1": (TOKENS - 2, r"targets\[0, 0\] is -2: ids must be from -1"),
    "all ignored": (np.full((2, 5), -1), "all are -1"),
    "float": (TOKENS.astype(float), "integers: found dtype float64"),
}


@pytest.mark.parametrize("case", BAD_TARGETS)
def test_bad_targets_are_named(params, case):
    targets, message = BAD_TARGETS[case]
    with pytest.raises(minigpt.DataError, match=message):
        minigpt.loss_and_grads(CONFIG, params, TOKENS, targets)


def without(params, name):
    return {key: value for key, value in params.items() if key != name}


BAD_PARAMS = {
    "missing": (lambda p: without(p, "wpe.weight"), "1 of 28 missing, first 'wpe.weight'"),
    "unknown": (lambda p: {**p, "lm_head.weight": p["wte.weight"]}, "1 unknown.*'lm_head.weight'"),
    "shape": (
        lambda p: {**p, "ln_f.bias": np.zeros(9)},
        r"'ln_f.bias'\]: expected shape \(8,\), found \(9,\)",
    ),
    "mixed types": (lambda p: {**p, "ln_f.bias": np.zeros(8, np.float32)}, "float32, float64; convert"),
    "half": (lambda p: {k: v.astype(np.float16) for k, v in p.items()}, "found float16"),
    "lists": (lambda p: {k: v.tolist() for k, v in p.items()}, "found list"),
}


@pytest.mark.parametrize("case", BAD_PARAMS)
def test_bad_params_are_named(params, case):
    spoil, message = BAD_PARAMS[case]
    for call in (
        lambda p: minigpt.logits(CONFIG, p, TOKENS),
        lambda p: minigpt.Trainer(CONFIG, p),
        lambda p: minigpt.generate(CONFIG, p, [1]),
    ):
        with pytest.raises(minigpt.CheckpointError, match=message):
            call(spoil(params))


BAD_CONFIGS = {
    "n_embd not divisible": ({"n_embd": 10, "n_head": 4}, "n_embd must be divisible by n_head.*leave 2 over"),
    "zero": ({"n_layer": 0}, "n_layer must be between 1 and .*: found 0"),
    "negative": ({"n_head": -1}, "n_head must be between 1"),
    "float": ({"n_ctx": 8.0}, "n_ctx must be a whole number: found 8.0 of type float"),
    "NaN": ({"n_ctx": float("nan")}, "n_ctx must be a whole number: found nan"),
    "bool": ({"n_layer": True}, "n_layer must be a whole number: found True"),
    "text": ({"n_vocab": "50257"}, "n_vocab must be a whole number: found '50257' of type str"),
    "huge": ({"n_vocab": 10**30}, "n_vocab must be between 1 and 16777216"),
    "none": ({"n_embd": None}, "n_embd must be a whole number: found None"),
}


@pytest.mark.parametrize("case", BAD_CONFIGS)
def test_bad_configs_are_named(case):
    fields, message = BAD_CONFIGS[case]
    with pytest.raises(minigpt.ConfigError, match=message):
        minigpt.GPTConfig(**fields)


def test_numpy_integers_are_whole_numbers():
    config = minigpt.GPTConfig(n_layer=np.int64(2), n_head=np.uint8(2))
    assert config == minigpt.GPTConfig(n_layer=2, n_head=2)
    assert type(config.n_layer) is int


BAD_OPTIMIZERS = {
    "lr": (-1, "lr must be at least 0"),
    "betas": (0.9, "betas must be two numbers"),
    "eps": (float("nan"), "eps must be at least 0"),
    "weight_decay": ("0.1", "weight_decay must be a number: found '0.1'"),
    "clip": (0, "clip must be above 0, .*: found 0; for no clipping give a large one, such as 1e9"),
    "warmup": (1.5, "warmup must be a whole number"),
    "schedule": ("cos", "schedule must be one of cosine, linear, constant, wsd: found 'cos'"),
    "steps": (0, "steps must be between 1"),
    "final": (2.0, "final must be at least 0 and at most 1"),
}


@pytest.mark.parametrize("field", BAD_OPTIMIZERS)
def test_bad_optimizers_are_named(params, field):
    value, message = BAD_OPTIMIZERS[field]
    with pytest.raises(minigpt.ConfigError, match=message):
        minigpt.Trainer(CONFIG, params, **{field: value})


class NoNumber:
    """What float() has no answer for."""


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), 10**400, None, NoNumber(), 1j, b"1", "1"])
def test_what_is_no_number_is_named(params, value):
    with pytest.raises(minigpt.ConfigError, match="lr must be a number: found "):
        minigpt.Trainer(CONFIG, params, lr=value)


def test_numpy_and_decimal_numbers_do_not_change_the_number_type():
    params = minigpt.init_params(CONFIG)
    for ops in ("fast", "reference"):
        trainer = minigpt.Trainer(
            CONFIG, params, ops=ops, lr=np.float64(0.1), betas=[np.float64(0.9), Decimal("0.5")]
        )
        for _ in range(2):
            trainer.step(TOKENS, TOKENS)
        assert {trainer.params.buffer.dtype, trainer.state.first.dtype} == {np.dtype(np.float32)}


@pytest.mark.parametrize("batches", [None, [], 3, [TOKENS], [(TOKENS,)], [None]])
def test_bad_batches_are_named(params, batches):
    with pytest.raises(minigpt.DataError, match=r"batches(\[0\])? must be"):
        minigpt.Trainer(CONFIG, params).step_in_parts(batches)


@pytest.mark.parametrize("wrong", [None, [1], "params", 3])
def test_params_that_are_no_mapping_are_named(wrong):
    with pytest.raises(minigpt.CheckpointError, match="params must map names to arrays"):
        minigpt.logits(CONFIG, wrong, TOKENS)
    with pytest.raises(minigpt.CheckpointError, match="params must map names to arrays"):
        minigpt.Trainer(CONFIG, wrong)


def test_unknown_keywords_of_the_trainer_are_named(params):
    with pytest.raises(minigpt.ConfigError, match="Trainer has no learning_rate: expected some of lr, betas"):
        minigpt.Trainer(CONFIG, params, learning_rate=1.0)


def test_matrices_and_masked_arrays_are_taken_as_plain_arrays(params):
    want = minigpt.loss_and_grads(CONFIG, params, TOKENS, TOKENS)[0]
    for kind in (
        np.asmatrix,
        np.ma.masked_array,
        np.asfortranarray,
        lambda a: a.astype(">i4"),
        np.ndarray.tolist,
    ):
        assert minigpt.loss_and_grads(CONFIG, params, kind(TOKENS), kind(TOKENS))[0] == want


def test_betas_below_0_or_from_1_on_are_named(params):
    with pytest.raises(minigpt.ConfigError, match=r"betas\[1\] must be at least 0 and below 1: found 1.0"):
        minigpt.Trainer(CONFIG, params, betas=(0.9, 1.0))


def test_unknown_words_are_named(params):
    with pytest.raises(minigpt.ConfigError, match="ops must be fast or reference: found 'quick'"):
        minigpt.logits(CONFIG, params, TOKENS, ops="quick")
    with pytest.raises(minigpt.ConfigError, match="dtype must be one of float32, float64: found 'float16'"):
        minigpt.init_params(CONFIG, dtype="float16")
    with pytest.raises(minigpt.ConfigError, match=r"config must be a minigpt.GPTConfig: found dict"):
        minigpt.logits({"n_layer": 2}, params, TOKENS)
    with pytest.raises(minigpt.ConfigError, match=r"config must be a minigpt.GPTConfig: found NoneType"):
        minigpt.init_params(None)
    for seed in (-1, 1.5, "a"):
        with pytest.raises(minigpt.ConfigError, match="seed must be"):
            minigpt.init_params(CONFIG, seed=seed)
    with pytest.raises(minigpt.ConfigError, match="threads must be between 1"):
        minigpt.Trainer(CONFIG, minigpt.init_params(CONFIG), threads=0)


def test_trainer_copies_params_and_lowers_the_loss(params):
    before = params.buffer.copy()
    trainer = minigpt.Trainer(CONFIG, params, lr=1e-2)
    losses = [trainer.step(TOKENS, TOKENS) for _ in range(20)]
    assert losses[-1] < losses[0] / 2
    assert params.buffer.tobytes() == before.tobytes()
    assert list(trainer.params) == list(params)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_trainer_steps_in_parts_as_in_one(dtype):
    params = minigpt.init_params(CONFIG, dtype=dtype)
    whole, parts = minigpt.Trainer(CONFIG, params), minigpt.Trainer(CONFIG, params)
    one = whole.step_in_parts([(TOKENS, TOKENS)])
    two = parts.step_in_parts([(TOKENS[:1], TOKENS[:1]), (TOKENS[1:], TOKENS[1:])])
    tolerance = {"float32": 1e-6, "float64": 1e-14}[dtype]
    assert two.loss == pytest.approx(one.loss, rel=tolerance)
    assert two.norm == pytest.approx(one.norm, rel=tolerance)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_that_is_not_finite_changes_no_weight(dtype):
    params = minigpt.init_params(CONFIG, dtype=dtype)
    params["ln_f.weight"][0] = np.inf
    trainer = minigpt.Trainer(CONFIG, params)
    before = trainer.params.buffer.tobytes()
    with (
        np.errstate(invalid="ignore"),
        pytest.raises(minigpt.NumericsError, match="step 1 not applied: loss is nan"),
    ):
        trainer.step(TOKENS, TOKENS)
    assert trainer.params.buffer.tobytes() == before
    assert not trainer.state.first.any()
    assert (trainer.state.step, trainer.state.updates) == (1, 0)


def test_every_error_is_a_minigpt_error_and_input_errors_are_value_errors():
    for error in (minigpt.ConfigError, minigpt.DataError, minigpt.CheckpointError):
        assert issubclass(error, minigpt.MinigptError)
        assert issubclass(error, ValueError)
    for error in (minigpt.CommError, minigpt.NumericsError):
        assert issubclass(error, minigpt.MinigptError)


def test_every_public_name_is_there():
    for name in minigpt.__all__:
        assert hasattr(minigpt, name), name
