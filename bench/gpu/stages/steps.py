"""A training step of GPT-2 124M: each table against torch, eager and compiled, in turn in one process.

MFU twice: as llm.c counts it, 6 N + 6 L C T operations a token with all parameters and its padded vocabulary
(karpathy/llm.c, train_gpt2.cu, gpt2_estimate_mfu), and as minigpt/flops.py does.
"""

import functools
import math
import statistics
import sys

import cupy

import minigpt
from bench.gpu.setting import batch
from bench.gpu.tables import chosen, trainer_of
from bench.gpu.timing import in_turn
from minigpt.arrays import gpu_name
from minigpt.errors import ConfigError
from minigpt.flops import flops_per_token, llmc_flops_per_token
from minigpt.gpus import machine_called

LEAST_MFU = 0.38  # llm.c's published share on an H100


class Ours:
    """A trainer on one batch. step() ends with the loss on the host."""

    def __init__(self, one, pair):
        self.one, self.pair = one, pair

    def step(self):
        return self.one.step(*self.pair)

    def free(self):
        cupy.get_default_memory_pool().free_all_blocks()


class Theirs:
    """The same of torch."""

    def __init__(self, peer, pair):
        self.peer, self.pair = peer, peer.upload(*pair)

    def step(self):
        return self.peer.step(*self.pair)

    def free(self):
        self.peer.free()


def run(setting, part, put):
    B, config = int(part.split()[1]), setting.model
    pair, peers = batch(config, B, config.n_ctx), {}
    params = minigpt.init_params(config)
    peak()  # while the GPU answers
    for name in chosen(smallest=min(setting.batches) == B):
        try:
            peers[name] = Ours(trainer_of(name, config, params), pair)
        except (ConfigError, MemoryError) as reason:
            put({"name": f"{part} {name}", "error": str(reason)})
    theirs = torch_peers(setting, pair)
    if not theirs:
        put({"name": f"{part} torch", "error": "not installed"})

    def watch(name, turn, times):
        put({"name": f"{part} {name}", "turn": turn, "ms": times})

    found = in_turn(most_telling_first(peers, theirs), setting.turns, setting.steps, watch)
    for name, (times, failed) in found.items():
        row = {"name": f"{part} {name}"} | ({"error": failed} if failed else {})
        put(row | (figures(config, pair[0].size, times) if times else {}))
    put({"name": f"{part} cublasLt has no algorithm", "for": refused()})
    verdicts(config, pair[0].size, part, found, put)


def most_telling_first(ours, theirs):
    """The usual table, torch, the others: a kernel that loses the GPU takes all that come later along."""
    first = dict(list(ours.items())[:1])
    return first | theirs | ours


def refused():
    """The products that cublasLt would not do, so that the first table did them."""
    module = sys.modules.get("minigpt.kernels.cuda.cublaslt")
    kinds = module.REFUSED if module else []
    return [f"{kind.epilogue} {' x '.join(map(str, kind.shape))} {kind.out.kind}" for kind in kinds]


def torch_peers(setting, pair):
    """torch as it is, and compiled; none without torch."""
    try:
        from bench.gpu.torch_peers import TorchPeer
    except ImportError:
        return {}
    backend = "aot_eager" if setting.stand_in else "inductor"
    eager = TorchPeer(setting.model, setting.device)
    compiled = TorchPeer(setting.model, setting.device, backend)
    return {"torch eager": Theirs(eager, pair), "torch.compile": Theirs(compiled, pair)}


def figures(config, tokens, times):
    """What a median means."""
    ms = statistics.median(times)
    spread = max(times) - min(times)
    rates = {"tokens/s": tokens / ms * 1e3, "mfu llm.c": mfu(llmc_flops(config), tokens, ms)}
    rates["mfu"] = mfu(flops_per_token(config, config.n_ctx), tokens, ms)
    return {"ms": ms, "spread ms": spread, "times": times} | rates


def mfu(flops, tokens, ms):
    """Of the GPU's published bfloat16 peak; not a number on a GPU that minigpt/gpus.py does not know."""
    return flops * tokens / ms * 1e3 / peak()


@functools.cache
def peak():
    """Operations a second that the GPU is sold with."""
    machine = machine_called(gpu_name())
    return machine.peak if machine else math.nan


def llmc_flops(config):
    """Operations a token of a whole window, as llm.c counts them."""
    return llmc_flops_per_token(config, config.n_ctx)


def verdicts(config, tokens, part, found, put):
    """The best of ours in bfloat16 against torch.compile, and its MFU against llm.c's."""
    ms = {name: statistics.median(times) for name, (times, _) in found.items() if times}
    ours = {name: ms[name] for name in chosen(smallest=False) if name in ms}
    if not ours:
        put({"name": f"{part} best of ours", "ok": False, "error": "none made a step"})
        return
    best = min(ours, key=ours.get)
    share = mfu(llmc_flops(config), tokens, ours[best])
    put({"name": f"{part} best of ours", "ok": share >= LEAST_MFU, "table": best, "mfu llm.c": share})
    for name in ("torch eager", "torch.compile"):
        if name in ms:
            ratio = ms[name] / ours[best]
            target = {"ok": ratio >= 1} if name == "torch.compile" else {}
            put({"name": f"{part} {name} / {best}", "ratio": ratio} | target)
