"""Choosing tokens: greedy, temperature, top-k, top-p, and the window."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt.choice import Choice, Dice

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)


@pytest.fixture(scope="module")
def params():
    params = minigpt.init_params(CONFIG, dtype="float64")
    params.buffer[:] *= 20  # far from uniform
    return params


def test_greedy_takes_the_likeliest_token_of_the_last_n_ctx(params):
    ids = [1, 2, 3]
    for _ in range(10):
        ids.append(int(minigpt.logits(CONFIG, params, [ids[-6:]])[0, -1].argmax()))
    assert minigpt.generate(CONFIG, params, [1, 2, 3], 10) == ids[3:]


def test_empty_prompt_is_end_of_text(params):
    assert minigpt.generate(CONFIG, params, [], 5) == minigpt.generate(CONFIG, params, [10], 5)


def test_seeds_decide(params):
    def run(seed):
        return minigpt.generate(CONFIG, params, np.array([1]), 30, temperature=1.5, seed=seed)

    assert run(1) == run(1)
    assert run(1) != run(2)


def test_stop_ends_with_the_stop_id(params):
    ids = minigpt.generate(CONFIG, params, [1], 30, temperature=2.0)
    stop = ids[7]
    assert (
        minigpt.generate(CONFIG, params, [1], 30, temperature=2.0, stop=[stop]) == ids[: ids.index(stop) + 1]
    )


def test_stop_may_be_one_id_or_an_array(params):
    ids = minigpt.generate(CONFIG, params, [1], 30)
    until = ids[: ids.index(ids[3]) + 1]
    for stop in (ids[3], [ids[3]], {ids[3]}, np.array([ids[3]]), np.int64(ids[3])):
        assert minigpt.generate(CONFIG, params, [1], 30, stop=stop) == until


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_weights_that_are_not_finite_are_named(params, temperature):
    broken = {name: np.full_like(param, np.nan) for name, param in params.items()}
    with pytest.raises(minigpt.NumericsError, match="NaN or infinite"):
        minigpt.generate(CONFIG, broken, [1], temperature=temperature)


@pytest.mark.parametrize("temperature", [5e-324, 1e-300, 1e-6])
def test_the_coldest_temperatures_are_greedy(params, temperature):
    assert minigpt.generate(CONFIG, params, [1], 8, temperature=temperature) == minigpt.generate(
        CONFIG, params, [1], 8
    )


logits_lists = st.lists(st.floats(-30, 30), min_size=1, max_size=12)


@given(logits_lists, st.floats(0.1, 3))
def test_temperature_divides_the_logits(logits, temperature):
    logits = np.array(logits)
    expected = np.exp(logits / temperature - (logits / temperature).max())
    np.testing.assert_allclose(Choice(temperature).probs(logits), expected / expected.sum(), rtol=1e-12)


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.integers(1, 12))
def test_top_k_keeps_the_k_likeliest_and_all_ties_at_the_kth(logits, k):
    probs = Choice(1.0, top_k=k).probs(np.array(logits, float))
    kth = sorted(logits, reverse=True)[min(k, len(logits)) - 1]
    assert [p > 0 for p in probs] == [x >= kth for x in logits]
    assert probs.sum() == pytest.approx(1)


@given(st.lists(st.integers(1, 50), min_size=1, max_size=12, unique=True), st.floats(0.01, 0.99))
def test_top_p_keeps_the_smallest_set_that_reaches_p(weights, p):
    total = sum(weights)
    kept, reached = set(), 0.0
    for weight in sorted(weights, reverse=True):
        if reached / total >= p:
            break
        kept.add(weight)
        reached += weight
    probs = Choice(1.0, top_p=p).probs(np.log(np.array(weights, float)))
    found = {weight for weight, prob in zip(weights, probs, strict=True) if prob > 0}
    exact = [sum(sorted(weights, reverse=True)[:i]) / total for i in range(len(weights) + 1)]
    if min(abs(p - x) for x in exact) > 1e-9:  # at a tie rounding decides
        assert found == kept


def test_openai_rule_leaves_out_the_token_that_crosses_p():
    logits = np.log([0.5, 0.3, 0.2])
    assert (Choice(1.0, top_p=0.7).probs(logits) > 0).tolist() == [True, True, False]
    assert (Choice(1.0, top_p=0.7, top_p_rule="openai").probs(logits) > 0).tolist() == [True, False, False]
    assert (Choice(1.0, top_p=0.1, top_p_rule="openai").probs(logits) > 0).tolist() == [True, False, False]


def test_draws_follow_the_distribution():
    logits, n = np.log([0.5, 0.25, 0.15, 0.1]), 20_000
    dice, choice = Dice(0), Choice(1.0)
    counts = np.bincount([choice.draw(logits, dice) for _ in range(n)], minlength=4)
    expected = n * choice.probs(logits)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 16.27  # 3 degrees of freedom: exceeded once in a thousand seeds


BAD = {
    "temperature": ({"temperature": -1}, minigpt.ConfigError, "temperature must be at least 0"),
    "temperature NaN": ({"temperature": float("nan")}, minigpt.ConfigError, "temperature must be"),
    "top_k": ({"top_k": -1}, minigpt.ConfigError, "top_k must be between 0"),
    "top_p": ({"top_p": 1.1}, minigpt.ConfigError, "top_p must be at least 0 and at most 1"),
    "rule": ({"top_p_rule": "best"}, minigpt.ConfigError, "top_p_rule must be one of smallest, openai"),
    "count": ({"max_new_tokens": -1}, minigpt.ConfigError, "max_new_tokens must be between 0"),
    "seed": ({"seed": -1}, minigpt.ConfigError, "seed must be between 0"),
    "prompt": ({"prompt_ids": [1, 11]}, minigpt.DataError, r"prompt_ids\[1\] is 11"),
    "float prompt": ({"prompt_ids": [1.5]}, minigpt.DataError, "prompt_ids must be integers"),
    "2-D prompt": ({"prompt_ids": [[1]]}, minigpt.DataError, "prompt_ids must be one row"),
    "stop": ({"stop": [11]}, minigpt.DataError, r"stop\[0\] is 11"),
    "float stop": ({"stop": [1.5]}, minigpt.DataError, "stop must be integers"),
    "text stop": ({"stop": "."}, minigpt.DataError, "stop must be integers"),
    "no prompt": ({"prompt_ids": None}, minigpt.DataError, "prompt_ids must be integers"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(params, case):
    arguments, error, message = BAD[case]
    with pytest.raises(error, match=message):
        minigpt.generate(CONFIG, params, **{"prompt_ids": [1], **arguments})
