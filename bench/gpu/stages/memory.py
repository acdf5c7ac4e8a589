"""The peak of a step's memory against minigpt/memory.py, and what cuBLAS and gaps take besides."""

import cupy

from bench.gpu.setting import batch
from bench.gpu.tables import TABLES, trainer_of
from bench.gpu.watching import Peak
from minigpt.arrays import gpu_memory
from minigpt.memory import OTHERS, step_bytes

NEAR = 0.01  # of the prediction, for arrays


def run(setting, part, put):
    _, B, _, count, table = part.split(maxsplit=4)
    B, count, config = int(B), int(count), setting.model
    before = gpu_memory()
    with Peak() as peak:
        one = trainer_of(table, config)
        one.step_in_parts([batch(config, B, config.n_ctx)] * count)
    predicted = sum(step_bytes(config, B, config.n_ctx, parts=count, **TABLES[table]).values())
    ratio = peak.most / predicted
    row = {
        "name": part,
        "ok": abs(ratio - 1) <= NEAR,
        "predicted": predicted,
        "seen": peak.most,
        "ratio": ratio,
    }
    held = cupy.get_default_memory_pool().total_bytes()
    outside = before.available - gpu_memory().available  # cuBLAS, kernels
    besides = held - peak.most + outside
    put(row | {"pool": held, "outside": outside, "besides": besides, "allowed": OTHERS})
