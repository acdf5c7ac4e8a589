"""Losses on the same batches: float32 and bfloat16 on the GPU, NumPy, torch in bfloat16; two runs alike.

A part is a table for bfloat16; float32 is the usual one's.
"""

import hashlib

import numpy as np

import minigpt
from bench.gpu.setting import batch, trainer
from bench.gpu.tables import USUAL, trainer_of

DIFFERENT = 20  # batches, again and again, so that there is something to learn
EXACT = 1e-4  # float32 against NumPy
TIMES = 2  # bfloat16 may be so many times as far from float32, on average, as torch's bfloat16 is


def run(setting, part, put):
    seeds = [i % DIFFERENT for i in range(setting.curve_steps)]
    batches, found = [batch(setting.curve, *setting.curve_batch, seed=seed) for seed in seeds], {}
    for name in ("float32", "bfloat16", "bfloat16 again"):
        table = USUAL if name == "float32" else part
        found[name] = course(trainer_of(table, setting.curve, dtype=name.split()[0]), batches)
        losses, weights = found[name]
        put({"name": f"losses {name}, {table}", "last": losses[-1], "losses": losses, "weights": weights})
    same = found["bfloat16"] == found["bfloat16 again"]
    put({"name": f"two runs are the same bits, {part}", "ok": same})
    if part == USUAL:
        against_numpy(setting, batches, found["float32"][0], put)
    against_torch(setting, batches, part, found["float32"][0], found["bfloat16"][0], put)


def against_numpy(setting, batches, float32, put):
    """How far float32 is from NumPy's float32."""
    exact, _ = course(trainer(setting.curve, "numpy", "float32"), batches[: setting.exact_steps])
    put({"name": "losses numpy", "last": exact[-1], "losses": exact})
    apart = farthest(float32, exact)
    put({"name": f"float32 from numpy, {len(exact)} steps", "ok": apart <= EXACT, "apart": apart})


def course(one, batches):
    """All losses, and the SHA-256 of the weights in the end."""
    losses = [one.step(*pair) for pair in batches]
    buffer = one.params.buffer
    weights = buffer.get() if hasattr(buffer, "get") else buffer
    return losses, hashlib.sha256(weights.tobytes()).hexdigest()


def farthest(some, others):
    """The largest distance of two courses, as far as both go."""
    return max(abs(a - b) for a, b in zip(some, others, strict=False))


def distance(some, others):
    """The mean distance of two courses."""
    return float(np.mean(np.abs(np.subtract(some, others))))


def against_torch(setting, batches, table, float32, bfloat16, put):
    """How far bfloat16 leads from float32, here and in torch; signed: whether it learns less."""
    ours = distance(bfloat16, float32)
    row = {
        "name": f"bfloat16 from float32, {table}",
        "ours": ours,
        "signed": float(np.mean(np.subtract(bfloat16, float32))),
    }
    try:
        from bench.gpu.torch_peers import TorchPeer
    except ImportError as reason:
        put(row | {"torch": f"not installed: {reason}"})
        return
    params = minigpt.init_params(setting.curve)
    twin = TorchPeer(setting.curve, setting.device, padded=False, lr=1e-3, params=params)
    losses = [twin.step(*twin.upload(*pair)) for pair in batches]
    put({"name": "losses torch bfloat16", "last": losses[-1], "losses": losses})
    theirs = distance(losses, float32)
    put(row | {"ok": ours <= TIMES * theirs, "torch": theirs})
