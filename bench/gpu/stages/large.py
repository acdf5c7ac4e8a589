"""GPT-2 1558M at the largest batch that fits: milliseconds and MFU, against llm.c's 46%."""

import statistics

from bench.gpu.setting import batch, quick_params
from bench.gpu.stages.steps import Ours, llmc_flops, mfu
from bench.gpu.tables import TABLES, trainer_of
from bench.gpu.timing import clock_ms
from minigpt.arrays import gpu_memory
from minigpt.memory import largest_batch

LEAST_MFU = 0.46
TRIES = 3


def run(setting, part, put):
    config = setting.large
    available = gpu_memory().available
    fits = largest_batch(config, config.n_ctx, "bfloat16", available, **TABLES[part])
    predicted = min(setting.most, fits)
    one = trainer_of(part, config, quick_params(config))
    for B in range(predicted, max(0, predicted - TRIES), -1):
        peer = Ours(one, batch(config, B, config.n_ctx))
        try:
            peer.step()
            break
        except MemoryError as error:
            put({"name": f"B {B} fits as predicted", "ok": False, "error": str(error)})
            peer.free()
    else:
        put({"name": "a batch that fits", "ok": False, "predicted": predicted})
        return
    times = [clock_ms(peer.step) for _ in range(setting.steps)]
    tokens, ms = B * config.n_ctx, statistics.median(times)
    share = mfu(llmc_flops(config), tokens, ms)
    row = {"name": f"step of B {B}", "ok": share >= LEAST_MFU, "predicted B": predicted, "ms": ms}
    put(row | {"tokens/s": tokens / ms * 1e3, "mfu llm.c": share})
