"""python -m tests.fuzz_weights: damage weight files in 10,000 ways a format; only errors may come of it.

A damaged file must load as a valid model or raise a CheckpointError: no other exception, no warning, no
memory beyond twice the files' size (plus what Python needs to read anything at all). minigpt inspect must
report on it, too.
"""

import collections
import dataclasses
import json
import random
import sys
import tempfile
import time
import tracemalloc
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
import tyro
from safetensors.numpy import save_file

import minigpt
from bench.record import save_record
from minigpt import checkpoint
from minigpt.model import param_shapes
from minigpt.train import new_state
from minigpt.weights.inspect.kinds import report
from tests.support import bundles

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=16, n_ctx=6, n_vocab=300)
SLACK = 2**16  # bytes that reading any file at all may take: names, shapes, the first bytes
HASHING = 2**18  # and so many the buffer of hashlib.file_digest, where files are held to their SHA-256
EXTREMES = (
    0,
    1,
    2**7 - 1,
    2**8 - 1,
    2**15,
    2**16 - 1,
    2**31 - 1,
    2**31,
    2**32 - 1,
    2**63 - 1,
    2**63,
    2**64 - 1,
)


@dataclasses.dataclass(frozen=True)
class Fuzz:
    """Damage files of weights and try to load them."""

    count: int = 10_000
    """Damaged files of each format."""
    seed: int = 0
    """Equal seeds damage equally."""
    record: bool = False
    """Keep the result in bench/records."""

    def run(self):
        """Print a line a format; 1 if anything but a CheckpointError came of it."""
        began, results = time.perf_counter(), {}
        with ProcessPoolExecutor(2) as pool:
            jobs = {name: pool.submit(outcomes, name, self.count, self.seed) for name in FORMATS}
            for name, job in jobs.items():
                results[name] = job.result()
                print(f"{name:16} {results[name]}", flush=True)
        faults = sum(found["faults"] for found in results.values())
        seconds = round(time.perf_counter() - began)
        print(f"{self.count * len(FORMATS):,} damaged files in {seconds} s: {faults} faults")
        if self.record:
            options = {"count": self.count, "seed": self.seed}
            save_record(Path("bench/records"), "fuzz-weights", options, results | {"seconds": seconds})
        return 1 if faults else 0


def params_of():
    return minigpt.init_params(CONFIG, seed=1)


def safetensors(folder):
    minigpt.save_weights(folder, CONFIG, params_of())
    return folder


def safetensors_parts(folder):
    safetensors(folder).joinpath("model.safetensors").unlink()
    tensors, places = list(params_of().items()), {}
    for part in range(2):
        name = f"model-{part + 1:05d}-of-00002.safetensors"
        save_file(dict(tensors[part::2]), folder / name)
        places |= dict.fromkeys(dict(tensors[part::2]), name)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": places}))
    return folder


def openai(folder):
    bundles.write_bundle(folder / "model.ckpt", bundles.openai_names(params_of()))
    (folder / "hparams.json").write_text(json.dumps(dataclasses.asdict(CONFIG)))
    (folder / "checkpoint").write_text('model_checkpoint_path: "model.ckpt"\n')
    return folder


def openai_shards(folder):
    arrays = {name: array.astype(np.float16) for name, array in bundles.openai_names(params_of()).items()}
    bundles.write_bundle(folder / "model.ckpt", arrays, n_shards=2, block_bytes=400)
    return folder / "model.ckpt.index"


def run_checkpoint(folder):
    tokenizer = minigpt.Tokenizer.train(["the cat sat on the mat"], 260)
    return checkpoint.save(folder, CONFIG, new_state(params_of()), {}, tokenizer)


def as_file(format):
    def write(folder):
        minigpt.save_weights(folder / "model", CONFIG, params_of(), format=format)
        return folder / "model"

    return write


FORMATS = {
    "openai": openai,
    "openai-shards": openai_shards,
    "safetensors": safetensors,
    "safetensors-parts": safetensors_parts,
    "checkpoint": run_checkpoint,
    "llmc": as_file("llmc"),
    "llmc-bf16": as_file("llmc-bf16"),
    "npz": as_file("npz"),
}


def outcomes(name, count, seed):
    """How many of count damaged files loaded, were refused, or did anything else; the most memory it took."""
    dice, found, most = (
        random.Random(f"{name} {seed}"),
        dict.fromkeys(("loaded", "refused", "faults"), 0),
        0.0,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = FORMATS[name](Path(folder))
        folder = path if path.is_dir() else path.parent
        good = {file.name: file.read_bytes() for file in sorted(folder.iterdir())}
        for _ in range(count):
            victim = dice.choice(list(good))
            bad = damaged(good[victim], dice, victim, good)
            (folder / victim).write_bytes(bad)
            size = sum(map(len, good.values())) - len(good[victim]) + len(bad)
            outcome, share = attempt(path, size)
            if share > 2:  # Python's table of names grows now and then: what the file takes, it takes again
                outcome, share = attempt(path, size)
            found[outcome if outcome in found else "faults"] += 1
            most = max(most, share)
            if outcome not in ("loaded", "refused"):
                print(f"{name}: {victim}: {outcome}: {bad[:64].hex(' ')} ... of {len(bad)}", file=sys.stderr)
            (folder / victim).write_bytes(good[victim])
    return {**found, "memory_of_file": round(most, 2)}


def attempt(path, size):
    """(what came of loading: loaded, refused or a fault in words, its most memory as a share of the size)."""
    slack = SLACK + (HASHING if (path / "state.json").exists() else 0)
    tracemalloc.start()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            outcome = loading(path)
            peak = tracemalloc.get_traced_memory()[1]
            reporting(path)
    except Exception as error:  # anything else than a CheckpointError is what we look for
        return f"{type(error).__name__}: {error}", 0.0
    finally:
        tracemalloc.stop()
    if peak > 2 * size + slack:
        return f"{peak:,} bytes of memory for {size:,} in files", peak / max(size, 1)
    return outcome, max(0, peak - slack) / max(size, 1)


def loading(path):
    """Load; "loaded" for a valid model, "refused" for a CheckpointError."""
    try:
        config, params = minigpt.load_weights(path, n_head=2)
    except minigpt.CheckpointError as error:
        if not str(error):
            raise ValueError("an error without words") from None
        return "refused"
    shapes = param_shapes(config)
    if {name: array.shape for name, array in params.items()} != shapes:
        raise ValueError(f"not a model: {config}")
    return "loaded"


def reporting(path):
    """Let minigpt inspect read it to its end."""
    try:
        collections.deque(report(path, 2), maxlen=0)
    except minigpt.MinigptError:
        pass


def damaged(content, dice, name, others):
    """Bytes after one to three kinds of damage."""
    for _ in range(dice.choice([1, 1, 2, 3])):
        kinds = [flip, cut, grow, splice, huge, swap_digits]
        content = dice.choice(kinds)(content, dice, others) or content
    if name.endswith(".index") and dice.random() < 0.5:
        content = resealed(content, dice)
    return content


def flip(content, dice, others):
    """Some bits, mostly near the beginning or the end, where headers are."""
    content = bytearray(content)
    for _ in range(dice.choice([1, 2, 8])):
        content[place_in(content, dice)] ^= 1 << dice.randrange(8)
    return bytes(content)


def cut(content, dice, others):
    """Without its end, or without something from its middle."""
    start = place_in(content, dice)
    return content[:start] + (content[start + dice.randrange(64) :] if dice.random() < 0.5 else b"")


def grow(content, dice, others):
    """With something put in."""
    at = place_in(content, dice)
    return content[:at] + dice.randbytes(dice.choice([1, 4, 8, 100, 5000])) + content[at:]


def splice(content, dice, others):
    """With a piece of itself or of another file written over it."""
    donor = dice.choice([content, *others.values()])
    at, start, length = place_in(content, dice), place_in(donor, dice), dice.choice([4, 8, 64, 1000])
    return content[:at] + donor[start : start + length] + content[at + length :]


def huge(content, dice, others):
    """With the least or the greatest number of 1 to 8 bytes where one may stand."""
    width = dice.choice([1, 2, 4, 8])
    number = (dice.choice(EXTREMES) % 2 ** (8 * width)).to_bytes(width, "little")
    at = place_in(content, dice) // width * width
    return content[:at] + number + content[at + width :]


def swap_digits(content, dice, others):
    """With another number where digits stand, as in JSON."""
    digits = [at for at in range(min(len(content), 4000)) if content[at : at + 1].isdigit()]
    if not digits:
        return content
    at = dice.choice(digits)
    words = [
        b"0",
        b"-1",
        b"9" * 20,
        b"9" * 400,
        b"1e999",
        b"[]",
        b"null",
        b'"x"',
        b"2147483648",
        b"NaN",
        b"7",
    ]
    return content[:at] + dice.choice(words) + content[at + 1 :]


def resealed(index, dice):
    """A table damaged inside, with checksums that hold: what only a malicious writer makes."""
    from minigpt.weights import protobuf, sstable

    try:
        entries = dict(sstable.entries(index))
    except protobuf.Malformed:
        return index
    for _ in range(dice.choice([1, 3])):
        key = dice.choice(list(entries))
        value = entries.pop(key)
        if dice.random() < 0.7:
            value = damaged(value, dice, "", {"": value}) if value else b"\x08\x01"
        if dice.random() < 0.2:
            key = flip(key, dice, {}) if key else b"a"
        entries[key] = value
    return bundles.table(dict(sorted(entries.items())))


def place_in(content, dice):
    """A place, as often among the first or last 1,500 bytes as elsewhere."""
    if not content:
        return 0
    low, high = dice.choice([(0, len(content)), (0, 1500), (len(content) - 1500, len(content))])
    return dice.randrange(max(low, 0), min(high, len(content)))


if __name__ == "__main__":
    sys.exit(tyro.cli(Fuzz).run())
