"""python -m bench.weights: how long GPT-2 124M takes to load from each format, and how much memory.

The yardstick is reading the same bytes with open(path, "rb").read(), in turn, in processes of their own.
"""

import dataclasses
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

import minigpt
from bench.record import save_record

ROUNDS = 7


@dataclasses.dataclass(frozen=True)
class Bench:
    """Time loading against reading."""

    rounds: int = ROUNDS
    """Measurements of each, in turn."""
    save: bool = False
    """Keep the result in bench/records."""

    def run(self):
        """Print a line a format."""
        results = {}
        with tempfile.TemporaryDirectory() as folder:
            for name, path in written(Path(folder)).items():
                results[name] = row = measured(path, self.rounds)
                print(f"{name:12} {row}", flush=True)
        if self.save:
            save_record(Path("bench/records"), "weights", {"rounds": self.rounds, "model": "gpt2"}, results)


def written(folder):
    """name -> path of one random model of GPT-2 124M's shape, in every format that is read."""
    from tests.support import bundles

    config, params = minigpt.PRESETS["gpt2"], minigpt.init_params(minigpt.PRESETS["gpt2"])
    bundles.write_bundle(folder / "openai" / "model.ckpt", bundles.openai_names(params))
    (folder / "openai" / "hparams.json").write_text(json.dumps(dataclasses.asdict(config)))
    for format in minigpt.weights.FORMATS:
        minigpt.save_weights(folder / format, config, params, format=format)
    return {path.name: path for path in sorted(folder.iterdir())}


def measured(path, rounds):
    """Seconds to read and to load, their ratio, and the memory that loading takes at most."""
    files = [path] if path.is_file() else [file for file in path.iterdir() if file.suffix != ".json"]
    runs = [(once("read", *files), once("load", path)) for _ in range(rounds)]
    size = sum(file.stat().st_size for file in files)
    row = {"bytes": size}
    for clock in ("seconds", "cpu"):
        ratio = statistics.median(load[clock] / read[clock] for read, load in runs)
        row[f"read_{clock}"] = round(statistics.median(read[clock] for read, _ in runs), 3)
        row[f"load_{clock}"] = round(statistics.median(load[clock] for _, load in runs), 3)
        row[f"load_over_read_{clock}"] = round(ratio, 2)
    peak = max(load["peak"] for _, load in runs)
    return row | {"peak_mb": round(peak / 1e6), "peak_over_file": round(peak / size, 2)}


def once(what, *paths):
    """{seconds, cpu, peak} of one measurement in a process of its own."""
    command = [sys.executable, "-m", "bench.weights", what, *map(str, paths)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def child(what, paths):
    """Print one measurement. peak: the most memory above what was in use before, mapped pages included."""
    load = minigpt.load_weights  # what it needs is imported by now
    before = memory("VmRSS")
    began, worked = time.perf_counter(), time.process_time()
    if what == "read":
        kept = []
        for path in paths:
            with open(path, "rb") as file:
                kept.append(file.read())
    else:
        kept = load(paths[0], n_head=12)
    seconds, cpu = time.perf_counter() - began, time.process_time() - worked
    peak = memory("VmHWM") - before
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak": peak, "kept": len(kept)}))


def memory(kind):
    """Bytes of this process in memory: now (VmRSS) or at most so far (VmHWM)."""
    with open("/proc/self/status") as file:
        return next(1024 * int(line.split()[1]) for line in file if line.startswith(kind))


if __name__ == "__main__":
    if sys.argv[1:2] in (["read"], ["load"]):
        child(sys.argv[1], sys.argv[2:])
    else:
        tyro.cli(Bench).run()
