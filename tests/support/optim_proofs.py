"""What is claimed of minigpt.optim. tests/test_optim applies it to the module, tests/mutants to broken ones.

Expected numbers come from plain Python, written from the equations one number at a time, or from pencil and
paper; nothing is shared with minigpt.optim.
"""

import math
from types import SimpleNamespace

import numpy as np

from tests.support.device_array import on_device, on_host
from tests.support.proofs import snapshot

# A handful of roundings on numbers near 1, each relative: 20 u = 2.2e-15
CLOSE = 20 * 2.0**-53

# large eps and decay, so that an error in them shows; three of five parameters decay
ADAMW = {"scale": 0.3, "n_decayed": 3, "lr": 0.01, "betas": (0.8, 0.9), "eps": 0.2, "weight_decay": 0.5}


def five(seed):
    """Five numbers for each of: parameters, gradients, first moments, second moments."""
    params, grads, first, second = np.random.default_rng(seed).normal(size=(4, 5))
    return params, grads, first, second * second


def adamw_of_one(p, g, m, v, *, step, scale, decays, lr, betas, eps, weight_decay):
    """AdamW for one parameter; Loshchilov & Hutter, algorithm 2, with eta = 1 and lr for alpha."""
    m = betas[0] * m + (1 - betas[0]) * (scale * g)
    v = betas[1] * v + (1 - betas[1]) * (scale * g) ** 2
    m_hat, v_hat = m / (1 - betas[0] ** step), v / (1 - betas[1] ** step)
    return p - lr * m_hat / (math.sqrt(v_hat) + eps) - lr * weight_decay * (p if decays else 0), m, v


def adamw_error(optim, step, seed, **changes):
    """How far adamw is from its equation, relative to the largest value of each result."""
    numbers, options = five(seed), ADAMW | changes
    found = optim.adamw(*numbers, step=step, **options)
    n_decayed = options.pop("n_decayed")
    columns = [
        adamw_of_one(*column, step=step, decays=place < n_decayed, **options)
        for place, column in enumerate(zip(*numbers, strict=True))
    ]
    expected = [np.array(values) for values in zip(*columns, strict=True)]
    assert [array.shape for array in found] == [(5,)] * 3
    return max(np.max(np.abs(f - e)) / np.max(np.abs(e)) for f, e in zip(found, expected, strict=True))


def check_adamw(optim):
    """AdamW is its equation: at the first step and later, with some, all and no parameters decaying."""
    for step in (1, 2, 7):
        for n_decayed in (0, 3, 5):
            assert adamw_error(optim, step, seed=step, n_decayed=n_decayed) <= CLOSE


def check_adamw_is_pure(optim):
    """AdamW writes to none of its arguments."""
    numbers = five(0)
    before = snapshot(numbers)
    optim.adamw(*numbers, step=1, **ADAMW)
    assert snapshot(numbers) == before


def check_float32(optim):
    """float32 in, float32 out."""
    numbers = [array.astype(np.float32) for array in five(0)]
    results = *optim.adamw(*numbers, step=2, **ADAMW), optim.global_norm(numbers[1])
    assert {result.dtype for result in results} == {np.dtype(np.float32)}


def check_device(optim):
    """Device arrays in, the same bits out."""
    numbers = five(0)
    expected = optim.adamw(*numbers, step=2, **ADAMW), optim.global_norm(numbers[1])
    device = on_device(numbers)
    found = optim.adamw(*device, step=2, **ADAMW), optim.global_norm(device[1])
    assert snapshot(on_host(found)) == snapshot(expected)


def check_global_norm(optim):
    """The norm is the length of the vector."""
    assert optim.global_norm(np.array([3.0, -4.0, 12.0])) == 13
    grads = np.random.default_rng(0).normal(size=100)
    expected = math.sqrt(math.fsum(g * g for g in grads))
    assert abs(optim.global_norm(grads) / expected - 1) <= 100 * 2.0**-53


def check_clip_scale(optim):
    """clip / (norm + 1e-6), at most 1, and 1 without a limit."""
    assert optim.clip_scale(np.float64(2.0), None) == 1
    assert optim.clip_scale(np.float64(0.5), 1.0) == 1
    assert optim.clip_scale(np.float64(0.0), 1.0) == 1
    assert optim.clip_scale(np.float64(1.0), 1.0) == 1 / 1.000001
    assert optim.clip_scale(np.float64(4.0), 0.5) == 0.5 / 4.000001
    assert optim.clip_scale(np.float64(2e-6), 1e-6) == 1e-6 / (2e-6 + 1e-6)


# lr 2, warmup 4, steps 20, final 0.1: the highest is 2, the lowest 0.2, between them lies 1.8 * height
HEIGHTS = {
    "cosine": {4: 1, 8: (1 + math.sqrt(0.5)) / 2, 12: 0.5, 16: (1 - math.sqrt(0.5)) / 2, 20: 0, 23: 0, 36: 0},
    "linear": {4: 1, 5: 15 / 16, 8: 3 / 4, 12: 1 / 2, 19: 1 / 16, 20: 0, 23: 0},
    "constant": {4: 1, 12: 1, 20: 1, 23: 1},
    "wsd": {4: 1, 12: 1, 16: 1, 17: 1 / 2, 18: 1 - math.sqrt(1 / 2), 19: 1 - math.sqrt(3) / 2, 20: 0, 23: 0},
}


def schedule(name="linear", warmup=4, steps=20):
    """The fields of an OptimizerConfig that a learning rate depends on."""
    return SimpleNamespace(lr=2.0, final=0.1, warmup=warmup, steps=steps, schedule=name)


def check_learning_rate(optim):
    """Every schedule at its corners and between them."""
    for name, heights in HEIGHTS.items():
        for step, lr in {0: 0.5, 1: 1.0, 2: 1.5, 3: 2.0}.items():
            assert optim.learning_rate(step, schedule(name)) == lr
        for step, height in heights.items():
            assert abs(optim.learning_rate(step, schedule(name)) - (0.2 + 1.8 * height)) <= 2 * CLOSE


def check_short_schedules(optim):
    """No warmup, a warmup as long as the run or longer, one step: a learning rate, and no division by 0."""
    expected = {
        (0, 0, 1): 2.0, (1, 0, 1): 0.2,  # (step, warmup, steps)
        (0, 1, 1): 2.0, (1, 1, 1): 0.2, (2, 1, 1): 0.2,
        (3, 4, 2): 2.0, (4, 4, 2): 0.2, (5, 4, 5): 0.2,
    }  # fmt: skip
    for (step, warmup, steps), lr in expected.items():
        assert abs(optim.learning_rate(step, schedule("linear", warmup, steps)) - lr) <= 2 * CLOSE
    for step, height in {4: 1, 5: 1, 6: 1 - math.sqrt(1 / 2), 7: 0}.items():  # 4/5 of 7 is rounded down
        rate = optim.learning_rate(step, schedule("wsd", 0, 7))
        assert abs(rate - (0.2 + 1.8 * height)) <= 2 * CLOSE
    long = optim.learning_rate(850_000, schedule("wsd", 0, 1_000_000))  # a quarter of the last fifth is over
    assert abs(long - (0.2 + 1.8 / 2)) <= 2 * CLOSE


CHECKS = (
    check_global_norm,
    check_clip_scale,
    check_adamw,
    check_adamw_is_pure,
    check_float32,
    check_device,
    check_learning_rate,
    check_short_schedules,
)
