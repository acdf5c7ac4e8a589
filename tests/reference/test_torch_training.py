"""minigpt's AdamW and its training step in float64 against torch's AdamW, clipping and autograd."""

import functools
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt import optim
from minigpt.arrays import Flat
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.train import new_state, train_step
from reference import golden
from reference.compare import distance, distances
from reference.scalar import schedules
from tests.support.tables import reference_table

torch = pytest.importorskip("torch", reason="torch is not installed; test_golden.py has its answers")
torch_twin = pytest.importorskip("reference.torch_twin")

torch.set_num_threads(1)

ADAMW = {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}

# The optimizer, alone: both are fed the same gradients -------------------------------------------------

STEPS, WARMUP, LR, FINAL = 1000, 50, 1e-2, 0.1
SHAPES = {"matrix": (4, 6), "gain": (6,), "table": (5, 4), "bias": (3,)}


def gradients():
    """1,000 gradients, from far below the clipping norm to far above it; the bias's are as small as eps."""
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        size = 10 ** rng.uniform(-4, 1)
        grads = {name: size * rng.normal(size=shape) for name, shape in SHAPES.items()}
        yield grads | {"bias": 1e-7 * grads["bias"]}


def start():
    """All parameters at 0.5."""
    return Flat.pack({name: np.full(shape, 0.5) for name, shape in SHAPES.items()}, "float64")


def adamw_ours(wrong=None):
    """minigpt's parameters after 1,000 steps, and how many of them were clipped."""
    optimizer = OptimizerConfig(lr=LR, warmup=WARMUP, schedule="cosine", steps=STEPS, final=FINAL)
    params, clipped = start(), 0
    first = second = np.zeros_like(params.buffer)
    for step, grads in enumerate(gradients()):
        grads = Flat.pack(grads, "float64").buffer
        scale = optim.clip_scale(optim.global_norm(grads), 1.0)
        settings = ADAMW | {"step": step + 1, "scale": scale, "n_decayed": params.n_decayed} | (wrong or {})
        settings["lr"] = optim.learning_rate(step, optimizer)
        buffer, first, second = optim.adamw(params.buffer, grads, first, second, **settings)
        params, clipped = params.like(buffer), clipped + (scale < 1)
    return dict(params), clipped


@functools.cache
def adamw_torch():
    """torch's parameters after the same."""
    model = torch.nn.ParameterDict({name: torch.tensor(param) for name, param in start().items()})
    optimizer = torch_twin.adamw(model, LR, **ADAMW)
    for step, grads in enumerate(gradients()):
        for group in optimizer.param_groups:
            group["lr"] = schedules.cosine(step, LR, WARMUP, STEPS, FINAL)
        for name, param in model.items():
            param.grad = torch.tensor(grads[name])
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return torch_twin.arrays(model)


def test_adamw_over_a_thousand_steps():
    params, clipped = adamw_ours()
    assert 100 < clipped < STEPS - 100  # both branches of clipping were taken
    assert max(distances(params, adamw_torch()).values()) <= 1e-12


@pytest.mark.parametrize("wrong", [
    {"n_decayed": 53}, {"n_decayed": 0}, {"scale": 1.0}, {"eps": 1.00001e-8}, {"betas": (0.9, 0.9500001)},
    {"betas": (0.9000001, 0.95)}, {"weight_decay": 0.10000001}, {"step": 10**9},
], ids=str)  # fmt: skip
def test_wrong_adamw_is_noticed(wrong):
    params, _ = adamw_ours(wrong)
    assert max(distances(params, adamw_torch()).values()) > 5e-12


# Training: each side goes its own way from the same start ----------------------------------------------

CLAIM = 1e-11  # of a gradient's norm, as in test_torch_twin.py
SMALL = SimpleNamespace(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11, B=2, T=5)
OPS = reference_table()
ALONE = Alone()


def both(wrong):
    """Train 100 steps; yield each rate, and (loss, clipped gradients, parameters) of ours and of torch's."""
    course = {"lr": 1e-3, "warmup": 10, "steps": 100, "final": 0.1}
    optimizer = OptimizerConfig(schedule="cosine", **course | wrong)
    params = golden.weights(SMALL, 1)
    batches = [golden.batch(SMALL, seed) for seed in range(100)]
    rates = [schedules.cosine(step, **course) for step in range(100)]
    twin = torch_twin.training(SMALL, params, batches, rates, **ADAMW, clip=1.0)
    state = new_state(Flat.pack(params, "float64"))
    for batch, rate, theirs in zip(batches, rates, twin, strict=True):
        state, report = train_step(SMALL, optimizer, OPS, ALONE, state, [batch])
        scale = optim.clip_scale(report.norm, optimizer.clip)
        clipped = {name: scale * grad for name, grad in state.grads.items()}
        yield rate, (report.loss, clipped, dict(state.params)), theirs


def check_training(**wrong):
    """Every gradient within the claim, and the parameters no further apart than that explains.

    Adam divides by its gradients, so a difference d of two gradients may come out enlarged. Its update is
    m / (s + eps), with m a mean and s a root of a mean square of the gradients so far. If those differ by
    at most d, so do m and s, each; and |m| <= c s, where c^2 = sum of w^2 / v over both means' weights w
    and v (Cauchy and Schwarz), c <= 1.2 for betas (0.9, 0.95). Hence the two updates differ by at most

        d / (s + eps) + |m'| d / ((s' + eps) (s + eps)) <= 2.2 d / (s + eps)

    which adds up over the steps, with a few roundings of each. Decay only shrinks differences.
    """
    apart = {name: 0.0 for name in golden.shapes(SMALL)}
    squares, allowed = dict(apart), dict(apart)
    for step, (lr, (loss, grads, params), (loss_twin, grads_twin, params_twin)) in enumerate(both(wrong)):
        assert distance(loss, loss_twin) <= CLAIM
        assert max(distances(grads, grads_twin).values()) <= CLAIM
        for name, g in grads_twin.items():
            apart[name] = np.maximum(apart[name], np.abs(grads[name] - g))
            squares[name] = 0.95 * squares[name] + 0.05 * g * g
            size = np.sqrt(squares[name] / (1 - 0.95 ** (step + 1)))
            rounding = 8 * 2.0**-53 * (np.abs(params_twin[name]) + lr)
            allowed[name] = allowed[name] + 2.2 * lr * apart[name] / (size + ADAMW["eps"]) + rounding
            assert (np.abs(params[name] - params_twin[name]) <= allowed[name]).all()


def test_a_hundred_steps_of_training():
    check_training()


@pytest.mark.parametrize("wrong", [
    {"betas": (0.9, 0.9500000001)}, {"clip": 1.0000000001}, {"final": 0.1000000001},
    {"weight_decay": 0.1000000001},
], ids=str)  # fmt: skip
def test_training_that_is_off_by_a_part_in_1e9_is_noticed(wrong):
    with pytest.raises(AssertionError):
        check_training(**wrong)
