"""python -m bench.threads: a training step on one thread and on more, in turn."""

import dataclasses
import statistics
from pathlib import Path

import tyro

from bench.peers import Peer, minigpt_trainer
from bench.record import save_record
from bench.step import GPT2, SETTINGS


@dataclasses.dataclass(frozen=True)
class Options:
    """Time training steps on several numbers of threads."""

    threads: tuple[int, ...] = (1, 2)
    """Numbers of threads."""
    settings: tuple[str, ...] = ("124M B4 T64", "124M B4 T256", "small B12 T64")
    """Which of bench.step's settings."""
    repeats: int = 5
    """Timed turns of each: a step, of the small model ten."""
    save: bool = False
    """Keep the result in bench/records."""


def measure(setting, options):
    """Threads -> median milliseconds of a step."""
    config, B, T = SETTINGS[setting]
    steps = 1 if config is GPT2 else 10
    peers = {n: Peer(minigpt_trainer, config, B, T, n, steps) for n in options.threads}
    seconds = {n: [] for n in peers}
    for turn in range(1 + options.repeats):
        for n, peer in peers.items():
            elapsed, _ = peer.ask("step")
            if turn:  # the first warms up
                seconds[n].append(elapsed)
    for peer in peers.values():
        peer.close()
    return {n: 1e3 * statistics.median(found) for n, found in seconds.items()}


def main():
    options = tyro.cli(Options, description=__doc__)
    results = {}
    for setting in options.settings:
        found = results[setting] = measure(setting, options)
        alone = found[options.threads[0]]
        print(
            f"{setting:15s}", *(f"{n}: {ms:.1f} ms ({alone / ms:.2f})" for n, ms in found.items()), flush=True
        )
    if options.save:
        print(save_record(Path(__file__).parent / "records", "threads", dataclasses.asdict(options), results))


if __name__ == "__main__":
    main()
