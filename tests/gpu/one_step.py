"""python -m tests.gpu.one_step [--stand-in]: steps in both number types, with all kernels; prints losses."""

import sys

import minigpt
from bench.gpu.setting import GPU, MINIATURE, TINY, batch, surroundings, trainer

SCORES = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=48, n_ctx=16, n_vocab=67)  # no heads of 64: no tiles

if __name__ == "__main__":
    with surroundings(MINIATURE if "--stand-in" in sys.argv else GPU):
        for config in (TINY, SCORES):
            for dtype in ("bfloat16", "float32"):
                loss = trainer(config, dtype=dtype).step(*batch(config, 2, config.n_ctx - 1))
                print(f"loss {loss:.4f}")
