"""NCCL on one GPU: one rank, and two where NCCL lets them share it. What a step's exchanges would take.

`world` makes what ranks talk through. It stands here until minigpt has a communicator for GPUs of its
own: then that one is to be measured, through the same three calls.
"""

import multiprocessing
import os

import numpy as np

from bench.gpu.setting import GPU, MINIATURE, surroundings

PATIENCE = 45  # seconds that ranks have
SEVERAL = "NCCL_MULTI_RANK_GPU_ENABLE"  # NCCL 2.30 and later let ranks share a GPU


def run(setting, part, put):
    from cupy.cuda import nccl

    size, unique = int(part.split()[0]), nccl.get_unique_id()
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    ranks = [
        context.Process(target=rank, args=(setting.stand_in, size, i, unique, answers), daemon=True)
        for i in range(size)
    ]
    for process in ranks:
        process.start()
    for number, found in sorted(answers.get(timeout=PATIENCE) for _ in ranks):
        for row in found:
            put(row | {"name": f"{part}: {row['name']}, rank {number}"})
    for process in ranks:
        process.join()


def rank(stand_in, size, number, unique, answers):
    """A process that is one rank."""
    os.environ[SEVERAL] = "1"
    setting = MINIATURE if stand_in else GPU
    with surroundings(setting) as cupy:
        try:
            answers.put(
                (number, list(exchanges(cupy, world(cupy, size, number, unique), size, number, setting)))
            )
        except Exception as error:
            answers.put(
                (number, [{"name": "none", "ok": False, "error": f"{type(error).__name__}: {error}"}])
            )


def world(cupy, size, number, unique):
    """name -> function(source, target) that begins an exchange on the current stream."""
    from cupy.cuda import nccl

    talk = nccl.NcclCommunicator(size, unique, number)
    stream, kind, mean = cupy.cuda.get_current_stream().ptr, nccl.NCCL_FLOAT32, nccl.NCCL_AVG

    def all_reduce(source, target):
        talk.allReduce(source.data.ptr, target.data.ptr, source.size, kind, mean, stream)

    def reduce_scatter(source, target):
        talk.reduceScatter(source.data.ptr, target.data.ptr, target.size, kind, mean, stream)

    def all_gather(source, target):
        talk.allGather(source.data.ptr, target.data.ptr, source.size, kind, stream)

    return {"all_reduce": all_reduce, "reduce_scatter": reduce_scatter, "all_gather": all_gather}


def exchanges(cupy, ways, size, number, setting):
    """A row for each way: whether the numbers are right, and how long it takes."""
    from bench.gpu.timing import event_ms

    n = setting.message // size * size
    whole, share = (n, n), (n // size, n // size)
    shapes = {
        "all_reduce": (whole[0], whole[1]),
        "reduce_scatter": (whole[0], share[0]),
        "all_gather": (share[0], whole[0]),
    }
    for name, exchange in ways.items():
        given, taken = shapes[name]
        source, target = cupy.zeros(given, np.float32), cupy.zeros(taken, np.float32)
        source.fill(number + 1)
        ms = event_ms(lambda exchange=exchange, a=source, b=target: exchange(a, b))
        expected = np.full(n // size, (size + 1) / 2) if name != "all_gather" else np.arange(1, size + 1)
        found = target.get().reshape(-1, n // size)
        right = found == (expected[:, None] if name == "all_gather" else expected)
        yield {"name": name, "ok": bool(right.all()), "ms": ms, "GB/s": 4 * n / ms / 1e6}
