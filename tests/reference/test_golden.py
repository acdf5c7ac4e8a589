"""minigpt in float64 against torch's answers, kept in tests/golden so that torch is not needed."""

from types import SimpleNamespace

import numpy as np
import pytest

import minigpt
from minigpt.arrays import Flat
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.train import new_state, train_step
from reference import golden
from reference.compare import distance, distances
from tests.support.tables import reference_table

CLAIM = 1e-11
OPS = reference_table()
ALONE = Alone()
COURSE = {"lr": golden.LR, "warmup": golden.WARMUP, "steps": golden.STEPS, "final": golden.FINAL}

cases = pytest.mark.parametrize("case", golden.CASES)


def shape(case):
    """What the rules for weights and batches need to know."""
    return SimpleNamespace(**golden.CASES[case])


def config(case):
    """The same as minigpt's own config."""
    sizes = {name: size for name, size in golden.CASES[case].items() if name.startswith("n_")}
    return minigpt.GPTConfig(**sizes)


def worst(case):
    """The largest distance of logits, loss and all gradients."""
    want = golden.read(case)
    model = config(case), golden.weights(shape(case), case)
    logits = minigpt.logits(*model, want["tokens"])
    loss, grads = minigpt.loss_and_grads(*model, want["tokens"], want["targets"])
    apart = distances(grads, want["grads"])
    return max(*apart.values(), distance(logits, want["logits"]), distance(loss, want["loss"]))


def train(case, **changes):
    """50 steps from a case's weights: the losses, and the fingerprint of every parameter at the end."""
    optimizer = OptimizerConfig(schedule="cosine", **COURSE | golden.ADAMW | changes)
    state = new_state(Flat.pack(golden.weights(shape(case), case), "float64"))
    losses = []
    for step in range(golden.STEPS):
        batch = golden.batch(shape(case), f"{case} {step}")
        state, report = train_step(config(case), optimizer, OPS, ALONE, state, [batch])
        losses.append(report.loss)
    return losses, {name: golden.fingerprint(param) for name, param in state.params.items()}


def test_every_case_has_its_file_and_no_file_is_large():
    files = {path.stem: path.stat().st_size for path in golden.FOLDER.glob("*.json")}
    assert files.keys() == golden.CASES.keys()
    assert max(files.values()) < 300_000


@cases
def test_rules_still_yield_the_same_weights_and_batch(case):
    want = golden.read(case)
    weights = {name: golden.fingerprint(param) for name, param in golden.weights(shape(case), case).items()}
    tokens, targets = golden.batch(shape(case), case)
    assert want["config"] == golden.CASES[case]
    assert max(distances(weights, want["weights"]).values()) <= 1e-13  # the sums' own rounding
    np.testing.assert_array_equal(tokens, want["tokens"])
    np.testing.assert_array_equal(targets, want["targets"])
    assert (targets == -1).any()


@cases
def test_logits_loss_and_every_gradient(case):
    assert worst(case) <= CLAIM


@cases
@pytest.mark.parametrize(("constant", "wrong"), [
    ("layernorm.EPS", 1e-6), ("gelu.CUBIC", 0.044716), ("cross_entropy.IGNORED", -2),
])  # fmt: skip
def test_wrong_constant_is_noticed(monkeypatch, case, constant, wrong):
    monkeypatch.setattr(f"minigpt.ops.{constant}", wrong)
    assert worst(case) > 5 * CLAIM


def test_positions_that_were_never_used_have_gradients_of_exactly_zero():
    want = golden.read("three-narrow")
    _, T = want["tokens"].shape
    model = config("three-narrow"), golden.weights(shape("three-narrow"), "three-narrow")
    _, grads = minigpt.loss_and_grads(*model, want["tokens"], want["targets"])
    assert T < config("three-narrow").n_ctx
    assert not grads["wpe.weight"][T:].any()
    assert not want["grads"]["wpe.weight"][T:].any()


@cases
def test_fifty_steps_of_training(case):
    """Adam enlarges a difference of two gradients, all told, by 2.2 * sum(lr) / eps at most, as is shown in
    test_torch_training.py. At the golden run's eps that is 1,900, and gradients of norm 1 at most that
    differ by a few u = 1.1e-16 cannot bring the parameters further apart than about 1e-12.
    """
    (losses, trained), want = train(case), golden.read(case)
    assert 2.2 * sum(golden.rates()) / golden.ADAMW["eps"] < 1900
    assert distance(losses, want["losses"]) <= CLAIM
    assert max(distances(trained, want["trained"]).values()) <= CLAIM


@pytest.mark.parametrize("wrong", [
    {"betas": (0.9, 0.9500001)}, {"eps": 1.000001e-4}, {"decay_all": True}, {"clip": 1.000001}, {"warmup": 4},
], ids=str)  # fmt: skip
def test_wrong_optimizer_is_noticed(wrong):
    _, trained = train("two-layers", **wrong)
    assert max(distances(trained, golden.read("two-layers")["trained"]).values()) > 5 * CLAIM


@cases
def test_torch_still_says_the_same(case):
    torch = pytest.importorskip("torch", reason="torch is not installed; its kept answers stand")
    torch.set_num_threads(1)
    made, kept = golden.make(case), golden.read(case)
    assert made.keys() == kept.keys()
    for name, want in kept.items():
        tables = (made[name], want) if isinstance(want, dict) else ({name: made[name]}, {name: want})
        assert max(distances(*tables).values()) <= 1e-12
