"""The kernels that training GPT-2 launches, compiled for an H100, which takes no GPU: registers, spills.

python -m tests.kernels.cuda.registers [--save]
"""

import importlib.metadata
import sys
from pathlib import Path

import ml_dtypes
import numpy as np

from bench.record import save_record
from tests.support.cuda import emulated_cupy, fake_cupy
from tests.support.cuda.nvrtc import ARCHITECTURE, compile_for_h100

RECORDS = Path(__file__).parents[3] / "bench" / "records"
SETTINGS = [  # channels, dtype: the four GPT-2, and the smallest in float32
    *((C, np.dtype(ml_dtypes.bfloat16)) for C in (768, 1024, 1280, 1600)),
    (768, np.dtype(np.float32)),
]


class Recorder:
    """In RawModule's place: notes what is launched, and runs nothing."""

    launched = set()  # noqa: RUF012 (source, options, kernel)
    max_dynamic_shared_size_bytes = 0

    def __init__(self, *, code=None, options=None, name=None):
        self.code, self.options, self.name = code, options, name

    def get_function(self, name):
        return Recorder(code=self.code, options=self.options, name=name)

    def __call__(self, grid, block, arguments, *, shared_mem=0):
        Recorder.launched.add((self.code, self.options, self.name))


def launched():
    """(source, options, kernel) of all that a training step of GPT-2 launches, as the launchers choose."""
    raw_module, fake_cupy.RawModule = fake_cupy.RawModule, Recorder
    Recorder.launched.clear()
    try:
        with emulated_cupy() as cupy:
            for C, dtype in SETTINGS:
                launch_all(cupy, C, dtype)
    finally:
        fake_cupy.RawModule = raw_module
    return sorted(Recorder.launched, key=lambda item: (item[2], item[1]))


def launch_all(cupy, C, dtype, B=1, T=1024, V=50304):
    """Every launcher once, on arrays of the sizes that decide how it is compiled."""
    from minigpt.kernels.cuda import (
        adamw,
        attention_backward,
        attention_forward,
        bias,
        cast,
        classifier,
        column_sum,
        embedding,
        gelu,
        layernorm,
        softmax,
    )

    def stored(*shape):
        return cupy.zeros(shape, dtype)

    def exact(*shape):
        return cupy.zeros(shape, "float32")

    few, H = 16, C // 64  # positions where their number does not matter
    x, wide, qkv = stored(B, few, C), stored(B, few, 4 * C), stored(B, few, 3 * C)
    tokens, vector, rows = cupy.zeros((B, few), "int32"), stored(C), exact(B, few)
    layernorm.layernorm_forward(x, vector, vector, x, vector)
    _, finish = layernorm.layernorm_backward(x, x, vector, rows, rows, x)
    finish([exact(C)] * 4, True)
    column_sum.column_sum(qkv, out=exact(3 * C), add=True)
    gelu.bias_gelu_forward(wide, stored(4 * C))
    gelu.bias_gelu_backward(wide, wide, stored(4 * C))
    bias.bias_add(qkv, stored(3 * C))
    bias.residual_add(x, x, vector)
    classifier.classifier(stored(B, few, V), tokens, 50257, 1.0)
    embedding.embedding_forward(tokens, stored(few, C), stored(few, C))
    embedding.embedding_backward_tokens(x, tokens, out=exact(few, C), add=True)
    embedding.embedding_backward_positions(x, out=exact(few, C), add=True)
    softmax.softmax_forward(stored(B, 1, T, T), 0.125)
    softmax.softmax_backward(stored(B, 1, T, T), stored(B, 1, T, T), 0.125)
    settings = {
        "step": 1,
        "clip": 1.0,
        "n_decayed": C,
        "lr": 1.0,
        "betas": (0.9, 0.95),
        "eps": 1e-8,
        "weight_decay": 0.1,
    }
    flat = [exact(C) for _ in range(4)]
    adamw.adamw(*flat, adamw.global_norm(flat[0]), **settings, copy=vector)
    cast.cast(exact(C), dtype)
    cast.cast(vector, "float32")
    if attention_forward.supports(64, dtype):
        attention_forward.attention_forward(qkv, H)
        attention_backward.attention_backward(x, qkv, x, exact(B, H, few))


def table():
    """A row for each kernel and way of compiling it."""
    builds = {}
    for source, options, kernel in launched():
        builds.setdefault((source, options), set()).add(kernel)
    rows = []
    for (source, options), kernels in builds.items():
        usages, _ = compile_for_h100(source, options)
        defines = {
            name: value
            for name, value in (option[2:].split("=") for option in options if option.startswith("-D"))
        }
        rows += [usage._asdict() | {"defines": defines} for usage in usages if usage.kernel in kernels]
    return sorted(rows, key=lambda row: (row["kernel"], str(row["defines"])))


def compiler():
    """What compiled."""
    wheel = "nvidia-cuda-nvrtc"
    return {"architecture": ARCHITECTURE, wheel: importlib.metadata.version(wheel)}


def main():
    rows = table()
    print(f"{'kernel':28s} registers spilled  shared  compiled with")
    for row in rows:
        defines = " ".join(f"{name}={value}" for name, value in row["defines"].items())
        print(f"{row['kernel']:28s} {row['registers']:9d} {row['spilled']:7d} {row['shared']:7d}  {defines}")
    if "--save" in sys.argv:
        print(save_record(RECORDS, "kernel-registers", compiler(), rows))


if __name__ == "__main__":
    main()
