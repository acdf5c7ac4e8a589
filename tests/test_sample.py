"""Choosing tokens: dice, greedy, temperature, top-k, top-p, and the window."""

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt import kernels, run
from minigpt.choice import Choice, Dice
from minigpt.comm import Alone

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


# The dice, as numerators over 2^53. A seed means the same texts for ever: this list never changes.
ROLLS = {
    0: (5737240835340368, 2430022687152954, 369056694262205, 148867706415198),
    2**63: (7307940481540815, 5372367742996462),
    (7, 20): (4736888413804872, 8284346091450763),  # a seed and a step, as training's samples have them
}


@pytest.mark.parametrize("seed", ROLLS)
def test_the_dice_are_the_same_for_ever_to_the_last_of_53_bits(seed):
    dice = Dice(list(seed) if isinstance(seed, tuple) else seed)
    assert [dice.roll() for _ in ROLLS[seed]] == [number / 2**53 for number in ROLLS[seed]]


def test_the_dice_are_pcg64_as_published():
    """O'Neill 2014, PCG XSL RR 128/64: step the state, fold its halves, rotate by its top six bits."""
    dice, bits = Dice(5), np.random.PCG64(5).state["state"]
    state = bits["state"]
    for _ in range(50):
        state = (state * 0x2360ED051FC65DA44385DF649FCCF645 + bits["inc"]) % 2**128
        folded, turn = (state >> 64) ^ (state % 2**64), state >> 122
        word = (folded >> turn | folded << (64 - turn)) % 2**64
        assert dice.roll() == (word >> 11) / 2**53


@pytest.mark.parametrize("roll", [0.0, 0.5, 1 - 2.0**-53])
def test_a_roll_on_a_border_takes_the_token_behind_it(roll):
    """Probabilities 0, 1/2, 0, 1/2: a token of none is never taken."""
    choice, dice = Choice(1.0, top_k=2), SimpleNamespace(roll=lambda: roll)
    assert choice.draw(np.array([-1.0, 2.0, -1.0, 2.0]), dice) == (1 if roll < 0.5 else 3)


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


@pytest.mark.parametrize(("p", "kept"), [(0.25, 1), (0.5, 2), (0.5 + 2.0**-52, 3), (0.75, 3), (1.0, 4)])
def test_a_set_that_reaches_p_exactly_is_enough(p, kept):
    """Four tokens of exactly 1/4 each."""
    assert (Choice(1.0, top_p=p).probs(np.zeros(4)) > 0).tolist() == [True] * kept + [False] * (4 - kept)


def test_openai_rule_keeps_the_token_that_reaches_p_exactly_and_its_equals():
    logits = np.log([0.5, 0.25, 0.125, 0.125])
    for p, kept in ((0.5, 1), (0.75, 2), (0.8, 2), (0.875, 4), (0.9, 4)):
        assert (Choice(1.0, top_p=p, top_p_rule="openai").probs(logits) > 0).sum() == kept, p


def openai_top_p(logits, p):
    """openai/gpt-2, src/sample.py, top_p_logits, for one row and in NumPy."""
    falling = np.sort(logits)[::-1]
    probs = np.exp(falling) / np.exp(falling).sum()
    last = max((np.cumsum(probs) <= p).sum() - 1, 0)
    return logits >= falling[last]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12), st.floats(0.01, 0.99))
def test_openai_rule_is_theirs(logits, p):
    logits = np.array(logits, float)
    reached = np.cumsum(np.sort(np.exp(logits) / np.exp(logits).sum())[::-1])
    if np.abs(reached - p).min() > 1e-9:  # at a tie rounding decides
        kept = Choice(1.0, top_p=p, top_p_rule="openai").probs(logits) > 0
        assert kept.tolist() == openai_top_p(logits, p).tolist()


@given(logits_lists)
def test_at_temperature_0_the_whole_distribution_of_the_model_is_told(logits):
    logits = np.array(logits)
    expected = np.exp(logits - logits.max())
    probs = Choice(0.0, top_k=1, top_p=0.1).probs(logits)
    np.testing.assert_allclose(probs, expected / expected.sum(), rtol=1e-12)


def test_draws_follow_the_distribution():
    logits, n = np.log([0.5, 0.25, 0.15, 0.1]), 20_000
    dice, choice = Dice(0), Choice(1.0)
    counts = np.bincount([choice.draw(logits, dice) for _ in range(n)], minlength=4)
    expected = n * choice.probs(logits)
    chi_square = ((counts - expected) ** 2 / expected).sum()
    assert chi_square < 16.27  # 3 degrees of freedom: exceeded once in a thousand seeds


NUMBERS = {
    "temperature": (-1, -1e-4, float("nan"), float("inf"), True, np.True_, "1", None, [], 1j, np.ones(2)),
    "top_k": (-1, 1.0, float("nan"), True, False, "", "5", [], [5], 2**31),
    "top_p": (0, 0.0, -0.1, 1.1, float("nan"), True, "0.5", [], 1j),
    "top_p_rule": ("best", None, 0, ["smallest"]),
    "seed": (-1, 2**63 + 1, 0.0, 1.5, True, "0", None, [1]),
    "max_new_tokens": (-1, 2**31, 1.0, True, "5", None, []),
    "slide": (0, 7, 1.0, True, "1", None),
    "ops": ("best", None, 1),
}


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, row in NUMBERS.items() for value in row])
def test_numbers_that_are_none_are_named(params, name, value):
    for generate, prompt in ((minigpt.generate, [1]), (minigpt.generate_batch, [[1]])):
        with pytest.raises(minigpt.ConfigError, match=rf"^{name} must be "):
            generate(CONFIG, params, prompt, **{name: value})


def test_the_numbers_at_the_ends_of_their_ranges_are_taken(params):
    for options in ({"seed": 2**63}, {"top_k": 0}, {"top_p": 1}, {"top_p": 5e-324}, {"top_k": np.int64(3)}):
        assert len(minigpt.generate(CONFIG, params, [1], 3, temperature=1.0, **options)) == 3
    assert minigpt.generate(CONFIG, params, [1], 0) == []
    assert minigpt.generate_batch(CONFIG, params, []) == []


BAD = {
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


# ---- during training ----------------------------------------------------------------------------------


def test_training_shows_what_the_model_writes_at_temperature_07_among_the_likeliest_50():
    """Held to a loop of its own: read all anew, keep 50, divide by 0.7, roll the dice of (seed, step)."""
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=8, n_ctx=6, n_vocab=200)
    params = minigpt.init_params(config, dtype="float64")
    params.buffer[:] *= 3  # so that temperature matters, and the 50th token as well
    said = []
    training = SimpleNamespace(
        config=config,
        recipe=SimpleNamespace(seed=3, sample_tokens=80),
        corpus=SimpleNamespace(tokenizer=SimpleNamespace(eot=199, decode=lambda ids: ids)),
        trainer=SimpleNamespace(state=SimpleNamespace(step=20), params=params),
        precise=kernels.table("reference", "float64"),
        log=SimpleNamespace(sample=lambda *what: said.append(what)),
        world=Alone(),
    )
    run.Run.sample(training)

    ids, dice = [199], Dice([3, 20])
    for _ in range(80):
        scores = minigpt.logits(config, params, [ids[-6:]])[0, -1]
        weights = np.where(scores >= np.sort(scores)[-50], np.exp(scores / 0.7), 0)
        ids.append(int(np.searchsorted(np.cumsum(weights) / weights.sum(), dice.roll(), side="right")))
    assert said == [(20, ids[1:])]
