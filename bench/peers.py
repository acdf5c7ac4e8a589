"""Two trainers behind one interface, each in a process of its own: minigpt, and the torch twin."""

import contextlib
import multiprocessing
import os
import resource
import time
from pathlib import Path

import numpy as np

BETAS, EPS, WEIGHT_DECAY, CLIP, LR = (0.9, 0.95), 1e-8, 0.1, 1.0, 6e-4


class Peer:
    """A process that makes training steps when told to, and sleeps in between."""

    def __init__(self, make, config, B, T, threads, steps=1):
        here, there = multiprocessing.Pipe()
        context = multiprocessing.get_context("spawn")  # nothing of this process, its memory above all
        work = there, make, config, B, T, threads, steps
        self._process = context.Process(target=serve, args=work, daemon=True)
        self._process.start()
        self._pipe = here

    def ask(self, what):
        """What is "step" (seconds of each of its steps, the last one's loss), "peak" (operations a second) or
        "memory" (bytes, so far).
        """
        self._pipe.send(what)
        answer = self._pipe.recv()
        if isinstance(answer, str):
            raise RuntimeError(answer)
        return answer

    def close(self):
        self._pipe.send("end")
        self._process.join()


def serve(pipe, make, config, B, T, threads, steps):
    """Answer what comes through the pipe."""
    step = make(config, threads)
    tokens, targets = np.random.default_rng(1).integers(0, config.n_vocab, (2, B, T))
    while (what := pipe.recv()) != "end":
        pipe.send(answer(what, step, tokens, targets, threads, steps))


def answer(what, step, tokens, targets, threads, steps):
    """The reply to one request."""
    if what == "memory":
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 + of_workers()
    if what == "peak":
        return peak(threads)
    start = time.perf_counter()
    for _ in range(steps):
        loss = step(tokens, targets)
    return (time.perf_counter() - start) / steps, loss


def of_workers():
    """Bytes that this process's own children have held at most; what they share with it is counted again."""
    held = 0
    for file in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):  # gone meanwhile
            facts = dict(line.split(":", 1) for line in file.read_text().splitlines())
            if int(facts["PPid"]) == os.getpid():
                held += 1024 * int(facts.get("VmHWM", "0 kB").split()[0])
    return held


def peak(threads):
    """The best of several large products by NumPy's BLAS on all threads."""
    from threadpoolctl import threadpool_limits

    from minigpt.flops import matmul_peak

    with threadpool_limits(threads, "blas"):
        return matmul_peak(tries=8)


def minigpt_trainer(config, threads):
    """One step of minigpt.Trainer."""
    import minigpt

    params = minigpt.init_params(config)
    options = {"lr": LR, "betas": BETAS, "eps": EPS, "weight_decay": WEIGHT_DECAY, "clip": CLIP}
    return minigpt.Trainer(config, params, threads=threads, **options).step


def torch_trainer(config, threads):
    """One step of the torch twin: fused attention, fused AdamW, as nanoGPT trains."""
    import torch

    import minigpt
    from reference import torch_twin

    torch.set_num_threads(threads)
    model = torch_twin.build(config, minigpt.init_params(config), torch.float32, "fused")
    optimizer = torch_twin.adamw(model, LR, BETAS, EPS, WEIGHT_DECAY, fused=True)

    def step(tokens, targets):
        optimizer.zero_grad(set_to_none=True)
        loss = model.loss(torch_twin.ids(tokens), torch_twin.ids(targets))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()
        return loss.item()

    return step
