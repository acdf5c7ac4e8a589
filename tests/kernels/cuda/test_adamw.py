"""adamw.cu and cast.cu against minigpt/optim.py and astype."""

import ml_dtypes
import numpy as np
import pytest

from minigpt import optim
from tests.support.cuda.running_error import check, near

SIZES = [1, 3, 4, 1023, 4096 + 5]
SETTINGS = {"lr": 1e-2, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.1}


def near_norm(g):
    return (near(g) * g).sum().sqrt()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("place", ["put", "odd"])
@pytest.mark.parametrize("parts", [1, 2, 1024])
def test_norm(bench, draw, n, place, parts, monkeypatch):
    module = bench.module("adamw")
    monkeypatch.setattr(module, "PARTS", parts)
    g, g64 = draw(n, "float32")
    found = bench.run(lambda: {"norm": module.global_norm(getattr(bench, place)(g))})
    check("norm", found["norm"], optim.global_norm(g64), near_norm(g64))


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize(
    ("place", "copied"), [("put", None), ("put", "bfloat16"), ("odd", "bfloat16"), ("odd", "float32")]
)
@pytest.mark.parametrize(("step", "clip"), [(1, None), (7, 1.0), (1000, 1e6)])
def test_adamw(bench, draw, n, place, copied, step, clip):
    (p, p64), (g, g64), (m, m64), (v, v64) = (draw(n, "float32", scale) for scale in (1, 1, 0.1, 1))
    v, v64 = v * v, (v * v).astype(np.float64)
    norm32 = np.float32(np.sqrt((g64 * g64).sum()))
    n_decayed = n // 2

    def run():
        arrays = [getattr(bench, place)(a) for a in (p, g, m, v)]
        copy = None if copied is None else getattr(bench, place)(np.zeros(n, copied))
        done = bench.module("adamw").adamw(
            *arrays, bench.put(norm32), step=step, clip=clip, n_decayed=n_decayed, copy=copy, **SETTINGS
        )
        return dict(zip("pmv", done, strict=True)) | ({} if copy is None else {"copy": copy})

    found = bench.run(run)
    norm = float(norm32)
    expected = optim.adamw(
        p64, g64, m64, v64, step=step, scale=optim.clip_scale(norm, clip), n_decayed=n_decayed, **SETTINGS
    )
    for name, exact, bound in zip(
        "pmv", expected, near_adamw(p64, g64, m64, v64, norm, step, clip, n_decayed), strict=True
    ):
        check(name, found[name], exact, bound)
    if copied:
        assert (found["copy"] == found["p"].astype(np.float32).astype(copied).astype(np.float64)).all()


def near_adamw(p, g, m, v, norm, step, clip, n_decayed):
    """The equations of optim.adamw, every setting rounded to float32 on its way."""
    beta1, beta2 = SETTINGS["betas"]
    corrections = 1 - beta1**step, 1 - beta2**step
    c1, c2, beta1, rest1, beta2, rest2, lr, eps, decay = (
        near(setting).rounded()
        for setting in (
            *(*corrections, beta1, 1 - beta1, beta2, 1 - beta2),
            *(SETTINGS["lr"], SETTINGS["eps"], SETTINGS["weight_decay"]),
        )
    )
    scale = near(1.0)
    if clip is not None and clip < norm + 1e-6:
        scale = near(clip).rounded() / (near(norm) + near(1e-6).rounded())
    clipped = scale * g
    m = beta1 * m + rest1 * clipped
    v = beta2 * v + rest2 * clipped * clipped
    decays = decay * p * (np.arange(p.size) < n_decayed)
    p = p - lr * (m / c1 / ((v / c2).sqrt() + eps) + decays)
    return p, m, v


@pytest.mark.parametrize("norm", [np.inf, np.nan])
def test_a_norm_that_is_not_finite_changes_nothing(bench, draw, norm):
    arrays = [draw(9, "float32")[0] for _ in range(4)]

    def run():
        given = [bench.put(array) for array in arrays]
        settings = SETTINGS | {"step": 1, "clip": 1.0, "n_decayed": 9}
        done = bench.module("adamw").adamw(*given, bench.put(np.float32(norm)), **settings)
        return dict(zip("pmv", done, strict=True))

    found = bench.run(run)
    for name, before in zip("pmv", (arrays[0], arrays[2], arrays[3]), strict=True):
        assert (found[name] == before).all()


@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("place", ["put", "odd"])
def test_casts(bench, draw, n, place):
    x, _ = draw(n, "float32", 100)
    x[0] = 1 + 2.0**-8  # halfway: to even
    cast = bench.module("cast").cast
    found = bench.run(lambda: {"x": cast(getattr(bench, place)(x), ml_dtypes.bfloat16)})
    narrow = x.astype(ml_dtypes.bfloat16)
    assert (found["x"] == narrow.astype(np.float64)).all()
    found = bench.run(lambda: {"x": cast(getattr(bench, place)(narrow), np.float32)})
    assert (found["x"] == narrow.astype(np.float64)).all()
