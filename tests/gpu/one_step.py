"""python -m tests.gpu.one_step [--stand-in]: steps in both number types, with all kernels; prints losses."""

import sys

import minigpt
from bench.gpu.setting import GPU, MINIATURE, TINY, batch, surroundings, trainer

SCORES = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=48, n_ctx=16, n_vocab=67)  # no heads of 64: no tiles

ALL = [(TINY, "bfloat16"), (SCORES, "float32"), (TINY, "float32"), (SCORES, "bfloat16")]

if __name__ == "__main__":
    setting = MINIATURE if "--stand-in" in sys.argv else GPU
    with surroundings(setting):
        for config, dtype in ALL[:2] if setting.stand_in else ALL:
            loss = trainer(config, dtype=dtype).step(*batch(config, 2, config.n_ctx - 1))
            print(f"loss {loss:.4f}")
