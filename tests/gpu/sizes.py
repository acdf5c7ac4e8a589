"""GPT-2's own sizes, and small ones for the stand-in for CuPy."""

from typing import NamedTuple

import minigpt


class Sizes(NamedTuple):
    rows: tuple  # B, T, C of a layernorm, C of 1558M
    wide: tuple  # B, T, 4C
    attention: tuple  # B, T, H
    scores: tuple  # B, H, T
    classes: tuple  # rows, vocabulary, columns with padding
    embedding: tuple  # B, T, V, C, positions
    products: tuple  # (M, K, N)
    flat: int  # parameters
    config: minigpt.GPTConfig
    batch: tuple  # B, T
    steps: int
    busy: int  # rows of a product that keeps the GPU at work for a while


LARGE = Sizes(
    rows=(2, 1024, 1600), wide=(1, 1024, 3072), attention=(1, 1024, 4), scores=(1, 4, 1024),
    classes=(64, 50257, 50304), products=((4096, 768, 2304), (2048, 3072, 768), (512, 768, 50304)),
    embedding=(4, 1024, 8192, 768, 1024), flat=2_000_003,
    config=minigpt.GPTConfig(4, 4, 256, 128, 4096), batch=(8, 128), steps=50, busy=8192,
)  # fmt: skip
STAND_IN = Sizes(
    rows=(1, 3, 40), wide=(1, 3, 72), attention=(1, 17, 1), scores=(1, 2, 9),
    classes=(3, 67, 72), products=((5, 7, 3),),
    embedding=(2, 9, 67, 40, 11), flat=1003,
    config=minigpt.GPTConfig(1, 2, 16, 8, 67), batch=(2, 8), steps=2, busy=8,
)  # fmt: skip
