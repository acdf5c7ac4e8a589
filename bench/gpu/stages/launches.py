"""Where a step's time goes: every launch of a kernel and every product between two events of CUDA.

The launchers are wrapped from outside; what CuPy launches by itself (copies, the sort) is in the rest.
"""

import contextlib
import sys
from collections import defaultdict

import cupy
from cupy.cuda import cublas

from bench.gpu.setting import batch
from bench.gpu.tables import TABLES, trainer_of
from bench.gpu.timing import between_events
from minigpt.memory import largest_batch

BATCH = 16  # or what fits


def run(setting, part, put):
    config = setting.model
    free = cupy.cuda.runtime.memGetInfo()[0]
    B = min(setting.most, BATCH, largest_batch(config, config.n_ctx, "bfloat16", free, **TABLES[part]))
    one, pair = trainer_of(part, config), batch(config, B, config.n_ctx)
    one.step(*pair)
    alone = between_events(lambda: one.step(*pair))
    with recorded() as launches:
        whole = between_events(lambda: one.step(*pair))
    times = by_name(launches)
    for name, (count, ms, flops) in sorted(times.items(), key=lambda item: -item[1][1]):
        row = {"name": name, "launches": count, "ms": ms, "share": ms / whole}
        put(row | ({"TFLOP/s": flops / ms / 1e9} if flops and ms else {}))
    inside = sum(ms for _, ms, _ in times.values())
    row = {"name": f"step of B {B}", "ms": alone, "ms with events": whole, "ms in launches": inside}
    put(row | {"ok": bool(times) and inside <= whole * 1.01, "launches": len(launches)})


@contextlib.contextmanager
def recorded():
    """A list of (name, operations, start, end) that grows with each launch inside."""
    from minigpt.kernels.cuda.module import Kernel

    launches = []
    wrapped = [
        (Kernel, "__call__", lambda kernel, *_, **__: (kernel.function.name, 0)),
        (cublas, "gemmEx", lambda handle, ta, tb, m, n, k, *_: product(m, n, k, 1)),
        (cublas, "gemmStridedBatchedEx", lambda handle, ta, tb, m, n, k, *rest: product(m, n, k, rest[-3])),
    ]
    for name, function, label in (
        ("epilogues", "product", finished_product),
        ("cudnn_attention", "run", attention),
    ):
        if module := sys.modules.get(f"minigpt.kernels.cuda.{name}"):  # loaded for the tables that use it
            wrapped.append((module, function, label))
    before = [getattr(owner, name) for owner, name, _ in wrapped]
    for (owner, name, label), function in zip(wrapped, before, strict=True):
        setattr(owner, name, watched(function, label, launches))
    try:
        yield launches
    finally:
        for (owner, name, _), function in zip(wrapped, before, strict=True):
            setattr(owner, name, function)


def product(m, n, k, count):
    """A product's name, rows first as minigpt has it, and its operations."""
    return f"{f'{count} x ' if count > 1 else ''}product {n} x {k} x {m}", 2 * m * n * k * count


def finished_product(a, b, out, *, epilogue, **others):
    """The same of one by cublasLt, which does more besides."""
    name, flops = product(b.shape[1], *a.shape[::-1], 1)
    return f"{name} {epilogue}", flops


def attention(graph, addresses):
    """cuDNN's attention: forward has five arrays, backward nine."""
    return f"cudnn attention, {'forward' if len(addresses) == 5 else 'backward'}", 0


def watched(function, label, launches):
    """The function between two events."""

    def launch(*arguments, **options):
        start, end = cupy.cuda.Event(), cupy.cuda.Event()
        start.record()
        result = function(*arguments, **options)
        end.record()
        launches.append((*label(*arguments, **options), start, end))
        return result

    return launch


def by_name(launches):
    """name -> [how many, milliseconds in all, operations in all]"""
    times = defaultdict(lambda: [0, 0.0, 0])
    for name, flops, start, end in launches:
        entry = times[name]
        end.synchronize()
        entry[0] += 1
        entry[1] += cupy.cuda.get_elapsed_time(start, end)
        entry[2] += flops
    return times
