"""What the stages measure: GPT-2's own sizes on a GPU, or all of it in miniature on the stand-in for CuPy."""

import contextlib
import importlib
from typing import NamedTuple

import numpy as np

import minigpt
from bench.gpu import question
from reference.llmc import Sizes

SMALL = minigpt.GPTConfig(n_layer=4, n_head=4, n_embd=256, n_ctx=128, n_vocab=4096)
NARROW = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=16, n_ctx=8, n_vocab=67)
TINY = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=64, n_ctx=16, n_vocab=67)


class Setting(NamedTuple):
    """Sizes, and how often."""

    stand_in: bool
    model: minigpt.GPTConfig  # whose steps are timed
    batches: tuple  # of them, the most telling two first
    large: minigpt.GPTConfig  # at the largest batch that fits
    most: int  # of that batch
    turns: int  # rounds through all that is compared, and in each
    steps: int  # so many timed steps
    question: Sizes  # for gradients
    curve: minigpt.GPTConfig
    curve_batch: tuple  # B, T
    curve_steps: int
    exact_steps: int  # of which NumPy takes so many as well
    message: int  # numbers that ranks exchange: the gradients of 124M
    product: int  # rows and columns of the product that says what the GPU can do
    copy: int  # bytes of the copy that says so

    @property
    def device(self):
        """Where torch works."""
        return "cpu" if self.stand_in else "cuda"


GPU = Setting(
    stand_in=False, model=minigpt.PRESETS["gpt2"], batches=(64, 32, 8, 16),
    large=minigpt.PRESETS["gpt2-xl"], most=64, turns=3, steps=3, question=question.GPT2,
    curve=SMALL, curve_batch=(8, 128), curve_steps=200, exact_steps=100,
    message=124_475_904, product=8192, copy=2**31,
)  # fmt: skip
MINIATURE = Setting(
    stand_in=True, model=NARROW, batches=(2,), large=NARROW, most=2, turns=1, steps=1,
    question=question.SMALL,
    curve=NARROW, curve_batch=(1, 8), curve_steps=2, exact_steps=2,
    message=128, product=16, copy=64,
)  # fmt: skip


@contextlib.contextmanager
def surroundings(setting):
    """In which `import cupy` gives CuPy, or the stand-in."""
    if not setting.stand_in:
        yield importlib.import_module("cupy")
        return
    from tests.support.cuda import emulated_cupy

    with emulated_cupy() as cupy:
        yield cupy


def batch(config, B, T, seed=0):
    """Random tokens, and the ones that follow them."""
    ids = np.random.default_rng(seed).integers(0, config.n_vocab, (B, T + 1))
    return ids[:, :-1], ids[:, 1:]


def trainer(config, device="cupy", dtype="bfloat16", params=None, **options):
    """A model with its optimizer, always from the same weights."""
    params = minigpt.init_params(config) if params is None else params
    return minigpt.Trainer(config, params, lr=1e-3, device=device, dtype=dtype, **options)


def quick_params(config):
    """Parameters of the right size in seconds, of which only the speed matters."""
    params = minigpt.model.Flat.zeros(minigpt.model.param_shapes(config))
    numbers = np.random.default_rng(0).normal(0, 0.02, 2**20).astype(np.float32)
    for start in range(0, params.buffer.size, numbers.size):
        part = params.buffer[start : start + numbers.size]
        part[:] = numbers[: part.size]
    return params
