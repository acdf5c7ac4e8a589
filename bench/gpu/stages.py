"""python -m bench.gpu.stages NAME [tiny]: one stage; its last line of output is what it found, as JSON."""

import contextlib
import importlib
import json
import os
import statistics
import subprocess
import sys
import time

import numpy as np

import minigpt
from minigpt.flops import flops_per_token
from minigpt.gpus import machine_called
from minigpt.memory import step_bytes

GPT2 = minigpt.PRESETS["gpt2"]
SMALL = minigpt.GPTConfig(n_layer=4, n_head=4, n_embd=256, n_ctx=128, n_vocab=4096)
TINY = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=64, n_ctx=16, n_vocab=67)
ROUNDS = 7


def smoke(tiny):
    """Versions, the GPU, and one step of a small model."""
    cupy = importlib.import_module("cupy")
    runtime = cupy.cuda.runtime
    found = {"gpu": minigpt.arrays.gpu_name(), "numpy": np.__version__}
    if not tiny:
        versions = {"cuda": runtime.runtimeGetVersion(), "driver": runtime.driverGetVersion()}
        found |= versions | {"cupy": cupy.__version__}
    loss = trainer(TINY, "bfloat16").step(*batch(TINY, 2, 16))
    return found | {"loss of one step": loss, "log V": float(np.log(TINY.n_vocab))}


def kernels(tiny):
    """Every kernel, gemm, whole steps within the oracle's budgets, commands: the tests, on the GPU."""
    command = [sys.executable, "-m", "pytest", "-q", "tests/kernels/cuda" + "/test_sums.py" * tiny]
    environment = os.environ | ({} if tiny else {"MINIGPT_TEST_GPU": "1"})
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    found = {"summary": ran.stdout.splitlines()[-1:], "exit code": ran.returncode}
    return found | {"failed": [line for line in ran.stdout.splitlines() if line.startswith("FAILED")][:50]}


def curves(tiny):
    """Losses of equal batches: NumPy; float32 and bfloat16 on the GPU; whether two runs are the same bits."""
    config, steps, shape = (TINY, 3, (2, 16)) if tiny else (SMALL, 200, (8, 128))
    batches = [batch(config, *shape, seed=i % 20) for i in range(steps)]
    ways = {"numpy": ("numpy", "float32"), "float32": ("cupy", "float32"), "bfloat16": ("cupy", "bfloat16")}
    ways["bfloat16 again"] = ways["bfloat16"]
    losses = {}
    for name, (device, dtype) in ways.items():
        one = trainer(config, dtype, device)
        losses[name] = [one.step(*pair) for pair in batches]
    apart = {name: max(map(abs, np.subtract(losses[name], losses["numpy"]).tolist())) for name in losses}
    first = max(map(abs, np.subtract(losses["float32"], losses["numpy"])[:100].tolist()))
    same = losses["bfloat16"] == losses["bfloat16 again"]
    return {"apart from numpy": apart, "float32, first 100": first, "two runs equal": same, "losses": losses}


def steps(tiny):
    """A step of GPT-2 124M at T = 1024: milliseconds, tokens/s, MFU, memory; against torch where it is."""
    config, sizes, T = (TINY, (2,), 16) if tiny else (GPT2, (8, 16, 32, 64), 1024)
    machine = machine_called(minigpt.arrays.gpu_name())
    peak = machine.peak if machine else None
    found = {}
    for B in sizes:
        pair = batch(config, B, T)
        runs = {dtype: ours(config, dtype, pair) for dtype in ("bfloat16", *(["float32"] if B <= 8 else []))}
        runs |= {} if tiny else theirs(config, pair)
        found[f"B {B}"] = {name: rates(config, B * T, T, run, peak) for name, run in timed(runs).items()}
        predicted = sum(step_bytes(config, B, T).values())
        found[f"B {B}"]["bytes predicted in bfloat16"] = predicted
        runs.clear()
        empty_pools()
    return found


def timed(runs):
    """name -> median seconds of a call, the runs in turn, after two rounds to warm up; or how it failed."""
    seconds = {name: [] for name in runs}
    for place in range(2 + ROUNDS):
        for name, run in list(runs.items()):
            try:
                began = time.perf_counter()
                run()
                seconds[name] += [time.perf_counter() - began] if place > 1 else []
            except Exception as error:
                seconds[name] = f"{type(error).__name__}: {error}"[:500]
                del runs[name]
    return {name: s if isinstance(s, str) else statistics.median(s) for name, s in seconds.items()}


def rates(config, tokens, T, seconds, peak):
    """What a median means."""
    if isinstance(seconds, str):
        return {"error": seconds}
    achieved = flops_per_token(config, T) * tokens / seconds
    mfu = achieved / peak if peak else None
    return {"ms": round(seconds * 1e3, 2), "tokens_per_second": round(tokens / seconds), "mfu": mfu}


def ours(config, dtype, pair):
    """A step of our own; it ends with a number on the host, so nothing is left to wait for."""
    one = trainer(config, dtype)
    return lambda: one.step(*pair)


def theirs(config, pair):
    """Steps of the torch twin on the GPU, eager and compiled, bfloat16 by autocast as nanoGPT has it."""
    with contextlib.suppress(ImportError):
        from bench.gpu.torch_peers import peers

        return peers(config, pair)
    return {}


def trainer(config, dtype, device="cupy"):
    """A model with its optimizer, always from the same weights."""
    return minigpt.Trainer(config, minigpt.init_params(config), lr=1e-3, device=device, dtype=dtype)


def batch(config, B, T, seed=0):
    """Random tokens, and the ones that follow them."""
    ids = np.random.default_rng(seed).integers(0, config.n_vocab, (B, T + 1))
    return ids[:, :-1], ids[:, 1:]


def empty_pools():
    """Give back what the last size has left."""
    importlib.import_module("cupy").get_default_memory_pool().free_all_blocks()


STAGES = {"smoke": smoke, "kernels": kernels, "steps": steps, "curves": curves}

if __name__ == "__main__":
    tiny = sys.argv[2:] == ["tiny"]
    print(json.dumps(STAGES[sys.argv[1]](tiny)))
