"""python -m bench.step: one training step of minigpt beside the torch twin's, taken in turn in one run.

Prints tokens/s, share of the matrix-product peak measured in the same run, peak memory and torch's time
over minigpt's, for GPT-2 124M at three batch shapes and for a small model; --save keeps a record. The time
over the other's is given twice: of the medians, and the median over turns, which a machine that is slow for
some turns disturbs less.
"""

import dataclasses
import statistics
import time
from pathlib import Path

import tyro

import minigpt
from bench.peers import Peer, minigpt_trainer, torch_trainer
from bench.record import save_record
from minigpt.flops import flops_per_token

GPT2 = minigpt.PRESETS["gpt2"]
SMALL = minigpt.GPTConfig(n_layer=4, n_head=4, n_embd=128, n_ctx=64, n_vocab=65)
SETTINGS = {
    "124M B4 T64": (GPT2, 4, 64),
    "124M B4 T256": (GPT2, 4, 256),
    "124M B1 T1024": (GPT2, 1, 1024),
    "small B12 T64": (SMALL, 12, 64),
}
MAKERS = {"minigpt": minigpt_trainer, "torch": torch_trainer}
HEAD = "setting        trainer        ms  spread    tok/s  of peak  of median     MB  torch/minigpt  by turns"
REST = 0.3  # seconds between two trainers: the threads of the one before stay awake for a while


@dataclasses.dataclass(frozen=True)
class Options:
    """Time training steps against torch."""

    repeats: int = 7
    """Timed turns of each trainer: a step, of the small model ten."""
    threads: int = 2
    """Threads of each trainer."""
    save: bool = False
    """Keep the result in bench/records."""


def measure(config, B, T, options):
    """Rows of one setting, by trainer, and the losses of both for a check that they do the same work."""
    steps = 1 if config is GPT2 else 10
    peers = {name: Peer(make, config, B, T, options.threads, steps) for name, make in MAKERS.items()}
    seconds, losses, peaks = {name: [] for name in peers}, {name: [] for name in peers}, []
    for turn in range(2 + options.repeats):
        peaks.append(peers["minigpt"].ask("peak"))
        for name in sorted(peers, reverse=turn % 2):  # who goes first changes
            time.sleep(REST)
            elapsed, loss = peers[name].ask("step")
            losses[name].append(loss)
            if turn >= 2:  # the first two warm up
                seconds[name].append(elapsed)
    memory = {name: peer.ask("memory") for name, peer in peers.items()}
    for peer in peers.values():
        peer.close()
    assert_same_work(losses)
    return {name: row(config, B, T, seconds[name], peaks, memory[name]) for name in peers}


def row(config, B, T, seconds, peaks, memory):
    """The figures of one trainer. Shares are of the best peak, and of the median one, as the step is."""
    median, rate = statistics.median(seconds), flops_per_token(config, T) * B * T
    return {
        "ms": 1e3 * median,
        "spread_ms": 1e3 * (max(seconds) - min(seconds)),
        "tokens_per_second": B * T / median,
        "best_ms": 1e3 * min(seconds),
        "share_of_peak": rate / median / max(peaks),
        "share_of_median_peak": rate / median / statistics.median(peaks),
        "peak_gflops": max(peaks) / 1e9,
        "median_peak_gflops": statistics.median(peaks) / 1e9,
        "memory_mb": memory / 1e6,
        "turns_ms": [1e3 * one for one in seconds],
    }


def ratios(ours, theirs):
    """Their time over ours: of the medians, and the median of the turns' own."""
    turns = zip(theirs["turns_ms"], ours["turns_ms"], strict=True)
    return theirs["ms"] / ours["ms"], statistics.median(a / b for a, b in turns)


def assert_same_work(losses):
    """Both trainers start from the same weights on the same batch: their first losses must agree."""
    for step, (ours, theirs) in enumerate(zip(*losses.values(), strict=True)):
        if step < 3 and abs(ours - theirs) > 1e-3 * theirs:
            raise RuntimeError(
                f"step {step}: minigpt has loss {ours}, torch {theirs}: they do not train the same"
            )


def main():
    options = tyro.cli(Options, description=__doc__)
    print(HEAD)
    results = {}
    for name, (config, B, T) in SETTINGS.items():
        rows = results[name] = measure(config, B, T, options)
        for trainer, r in rows.items():
            of_medians, by_turns = ratios(r, rows["torch"])
            shares = f"{r['share_of_peak']:9.0%}{r['share_of_median_peak']:11.0%}"
            print(
                f"{name:15s}{trainer:9s}{r['ms']:8.1f}{r['spread_ms']:8.1f}{r['tokens_per_second']:9.0f}{shares}"
                f"{r['memory_mb']:7.0f}{of_medians:15.2f}{by_turns:10.2f}",
                flush=True,
            )
    if options.save:
        print(save_record(Path(__file__).parent / "records", "step", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
