"""NCCL on one GPU: one rank, and two where NCCL lets them share it. What a step's exchanges would take."""

import importlib
import multiprocessing
import os
import socket

import numpy as np

from bench.gpu.setting import GPU, MINIATURE, surroundings
from minigpt.ranks.gpus import SHARE, SHARES

PATIENCE = 45  # seconds that ranks have


def run(setting, part, put):
    size, port = int(part.split()[0]), free_port()
    version = importlib.import_module("cupy.cuda.nccl").get_version()
    if size > 1 and version < SHARES:
        put({"name": part, "error": f"NCCL {version} lets no two ranks share a GPU; {SHARES} does"})
        return
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    ranks = [
        context.Process(target=rank, args=(setting.stand_in, size, i, port, answers), daemon=True)
        for i in range(size)
    ]
    for process in ranks:
        process.start()
    for number, found in sorted((answers.get(timeout=PATIENCE) for _ in ranks), key=lambda one: one[0]):
        for row in found:
            put(row | {"name": f"{part}: {row['name']}, rank {number}"})
    for process in ranks:
        process.join()


def free_port():
    """A port for the ranks to meet at."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def rank(stand_in, size, number, port, answers):
    """A process that is one rank, as torchrun would start it."""
    place = {"RANK": number, "WORLD_SIZE": size, "LOCAL_RANK": number, "MASTER_PORT": port}
    os.environ.update(
        {SHARE: "1"}, MASTER_ADDR="127.0.0.1", **{name: str(value) for name, value in place.items()}
    )
    from minigpt.ranks.worlds import joined, met_alone

    setting = MINIATURE if stand_in else GPU
    try:
        begin = joined if size > 1 else met_alone
        with surroundings(setting) as cupy, begin("cupy", sharded=True) as world:
            answers.put((number, list(exchanges(cupy, world, setting))))
    except Exception as error:
        answers.put((number, [{"name": "none", "ok": False, "error": f"{type(error).__name__}: {error}"}]))


def exchanges(cupy, world, setting):
    """A row for each exchange of minigpt/ranks/nccl.py: whether its numbers are right, and its time."""
    from bench.gpu.timing import event_ms  # which imports CuPy

    array = cupy.zeros(setting.message // (4 * world.size) * 4 * world.size, np.float32)
    own, mean = world.shard_of(world.rank, array.size), (world.size + 1) / 2
    ways = {
        "all_reduce": (lambda: world.all_reduce(array), lambda: array, mean),
        "reduce_scatter": (lambda: world.reduce_scatter(array), lambda: array[own], mean),
        "all_gather": (lambda: world.all_gather(array[own], array), lambda: array, None),
    }
    for name, (exchange, place, expected) in ways.items():
        array.fill(world.rank + 1)
        exchange()
        found = place().get()
        if expected is None:  # every rank's number, in its shard
            expected = np.repeat(np.arange(1.0, world.size + 1), array.size // world.size)
        right = bool((found == expected).all())
        ms = event_ms(exchange)
        yield {"name": name, "ok": right, "ms": ms, "GB/s": array.nbytes / ms / 1e6}
