"""Whole runs as a user starts them: real processes, real signals, real files."""

import dataclasses
import io
import json
import re
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from minigpt import run, training
from minigpt.options import Recipe
from minigpt.prefetch import Prefetch
from minigpt.tokenizer import Tokenizer

TEXT = "\n".join(f"The {a} {b} of the {c}." for a in ("old", "new", "last") for b in ("song", "law", "road")
                 for c in ("people", "nation", "congress", "union")) * 10  # fmt: skip
TINY = [
    "--n-layer", "2", "--n-head", "2", "--n-embd", "16", "--n-vocab", "300", "--context", "16",
    "--batch-size", "2", "--tokens-per-step", "64", "--steps", "12", "--warmup", "2", "--eval-every", "4",
    "--sample-every", "5", "--sample-tokens", "6", "--checkpoint-every", "3", "--threads", "2",
]  # fmt: skip


def minigpt(*arguments, **options):
    """Start `python -m minigpt`; a Popen with text pipes."""
    pipe = subprocess.PIPE
    command = [sys.executable, "-m", "minigpt", *map(str, arguments)]
    return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, **options)


def finished(process):
    """exit code, standard output, standard error"""
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    path = tmp_path_factory.mktemp("data") / "text.txt"
    path.write_text(TEXT)
    return path


def train(data, out, *more, **options):
    return minigpt("train", *TINY, "--data", data, *(("--out", out) if out else ()), *more, **options)


@pytest.fixture(scope="module")
def whole_run(data, tmp_path_factory):
    """A run from start to end: its folder and what it printed."""
    out = tmp_path_factory.mktemp("whole") / "run"
    code, printed, err = finished(train(data, out))
    assert (code, err) == (0, "")
    return out, printed


def metrics(out):
    """Training and validation lines by step, later ones winning."""
    losses, scores = {}, {}
    for line in (out / "metrics.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        (losses if "loss" in numbers else scores)[numbers["step"]] = numbers
    return losses, scores


def same_course(one, other):
    """Whether two runs had the same losses and norms in every step, and end in the same weights."""
    a, b = metrics(one)[0], metrics(other)[0]
    key = lambda losses: [(s, n["loss"], n["norm"], n["lr"]) for s, n in sorted(losses.items())]  # noqa: E731
    weights = [(out / "step_00000012" / "model.safetensors").read_bytes() for out in (one, other)]
    return key(a) == key(b) and weights[0] == weights[1]


def test_a_run_prints_a_line_a_step_samples_validations_and_its_score(whole_run):
    _, printed = whole_run
    line = r"step +(\d+)/12 \| loss \d+\.\d{4} \| norm [\d.]+ \| lr \S+ \| "
    line += r"\d+ ms \| [\d,]+ tok/s \| mfu \d+% \| \S+ left"
    assert [int(step) for step in re.findall(line, printed)] == list(range(1, 13))
    assert re.findall(r"--- sample at step (\d+): '", printed) == ["0", "5", "10", "12"]
    looks = re.findall(r"step +(\d+)/12 \| validation [\d.]+ nats a token \| [\d.]+ bits a byte", printed)
    assert looks == ["4", "8", "12"]
    for name in ("gzip -9", "bzip2 -9", "xz -9"):
        assert re.search(name + r" +needs [\d.]+ bits a byte", printed)
    assert re.search(r"steps waited for their batches \d+\.\d\d% of the time\n", printed)
    assert re.search(r"saving checkpoints held the run up \d+\.\d\d% of the time\n", printed)
    assert re.search(
        r"done: [\d.]+ bits a byte on held-out text, \S+ from start to end; weights in ", printed
    )


def test_a_run_leaves_logs_for_programs(whole_run):
    out, _ = whole_run
    grammar = r"s:\d+ (tel:\d+\.\d{4}|trl:\d+\.\d{4} lr:\d+\.\d{6} norm:\d+\.\d{2})"
    lines = (out / "main.log").read_text().splitlines()
    assert len(lines) == 12 + 3
    assert all(re.fullmatch(grammar, line) for line in lines)
    losses, scores = metrics(out)
    assert set(losses) == set(range(1, 13))
    assert set(losses[1]) == {"step", "loss", "norm", "lr", "ms", "wait_ms", "tokens_per_second", "mfu"}
    assert all(0 <= numbers["wait_ms"] < numbers["ms"] for numbers in losses.values())
    assert set(scores) == {4, 8, 12}
    assert set(scores[4]) == {"step", "val_loss", "val_bits_per_byte"}
    assert losses[12]["loss"] < losses[1]["loss"]
    assert len((out / "samples.txt").read_text().splitlines()) == 4
    assert sorted(path.name for path in out.glob("step_*")) == [
        "step_00000006",
        "step_00000009",
        "step_00000012",
    ]


def test_the_same_run_again_is_the_same_bit_for_bit(whole_run, data, tmp_path):
    assert finished(train(data, tmp_path / "again"))[0] == 0
    assert same_course(whole_run[0], tmp_path / "again")


@pytest.mark.parametrize("moment", [1, 4, 8])
def test_a_run_stopped_by_a_signal_exits_75_and_goes_on_bit_for_bit(whole_run, data, tmp_path, moment):
    out = tmp_path / "run"
    process = train(data, out)
    for line in process.stdout:
        if line.startswith(f"step {moment:>2}/12 | loss"):
            process.send_signal(signal.SIGTERM if moment % 2 else signal.SIGINT)
            break
    code, printed, err = finished(process)
    assert (code, err) == (75, "")
    assert "stopped by a signal, saved: " in printed
    code, printed, err = finished(train(data, out))
    assert (code, err) == (0, "")
    assert re.search(r"resumed: .*step_000000\d\d at step \d+", printed)
    assert same_course(whole_run[0], out)


@pytest.mark.parametrize("delay", [0.0, 0.02, 0.05])
def test_a_killed_run_goes_on_from_its_last_checkpoint_bit_for_bit(whole_run, data, tmp_path, delay):
    out = tmp_path / "run"
    process = train(data, out)
    for line in process.stdout:
        if line.startswith("step  6/12 | loss"):
            time.sleep(delay)
            process.kill()
            break
    finished(process)
    assert finished(train(data, out))[0] == 0
    assert same_course(whole_run[0], out)


def test_resume_refuses_another_run_and_names_every_difference(whole_run, data):
    code, printed, err = finished(train(data, whole_run[0], "--lr", "0.5", "--seed", "9"))
    assert (code, printed) == (2, "")
    assert re.fullmatch(
        r"minigpt: .*is of another run: lr: 0.002 there, 0.5 here; seed: 0 there, 9 here\. .*\n", err
    )


def test_a_finished_run_is_only_scored_again(whole_run, data):
    code, printed, _ = finished(train(data, whole_run[0]))
    assert code == 0
    assert "| loss" not in printed
    assert "done: " in printed


def test_resume_never_moves_the_older_run_aside(whole_run, data, tmp_path):
    out = tmp_path / "run"
    for _ in range(2):
        assert finished(train(data, out, "--resume", "never", "--steps", "2"))[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["run", "run.1"]
    assert metrics(out)[0].keys() == metrics(tmp_path / "run.1")[0].keys() == {1, 2}


def test_resume_never_leaves_a_folder_that_is_no_run_alone(data, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(b"")
    code, _, err = finished(train(data, tmp_path, "--resume", "never"))
    assert code == 2
    assert "holds something, but no run" in err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.jpg"]


def test_resume_from_a_named_checkpoint(whole_run, data, tmp_path):
    source = whole_run[0] / "step_00000006"
    code, printed, _ = finished(train(data, tmp_path / "branch", "--resume", source))
    assert code == 0
    assert f"resumed: {source} at step 6" in printed
    losses = metrics(whole_run[0])[0]
    assert [n["loss"] for n in metrics(tmp_path / "branch")[0].values()] == [
        losses[s]["loss"] for s in range(7, 13)
    ]


def test_a_damaged_checkpoint_is_named(data, tmp_path):
    assert finished(train(data, tmp_path / "run", "--steps", "3"))[0] == 0
    path = tmp_path / "run" / "step_00000003" / "optimizer.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    code, _, err = finished(train(data, tmp_path / "run", "--steps", "3"))
    assert code == 2
    assert re.fullmatch(r"minigpt: .*optimizer.safetensors is damaged: expected .*, found .*\n", err)


def test_auto_goes_on_from_the_one_before_a_damaged_checkpoint_and_says_so(whole_run, data, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_run[0], out)
    path = out / "step_00000012" / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    code, printed, err = finished(train(data, out))
    assert code == 0
    kept = r"it is kept as .*step_00000012.damaged, and the run goes on from .*step_00000009"
    assert re.fullmatch(f"minigpt: .*model.safetensors is damaged: expected .*, found .*; {kept}\n", err)
    assert f"resumed: {out / 'step_00000009'} at step 9" in printed
    assert same_course(whole_run[0], out)
    assert (out / "step_00000012.damaged" / "model.safetensors").exists()


def test_a_named_change_is_made_and_a_second_run_in_the_folder_is_refused(whole_run, data, tmp_path):
    out = tmp_path / "run"
    shutil.copytree(whole_run[0], out)
    more = ("--steps", "100000", "--lr", "1e-3", "--allow-changes", "lr,steps")
    process = train(data, out, *more)
    printed = [process.stdout.readline() for _ in range(7)]
    assert "changed, as allowed: lr: 0.002 there, 0.001 here\n" in printed
    assert "changed, as allowed: steps: 12 there, 100000 here\n" in printed
    code, _, err = finished(train(data, out, *more))
    said = "another minigpt train is writing here; wait for it, or end it"
    assert (code, err) == (2, f"minigpt: {out}: {said}\n")
    process.send_signal(signal.SIGTERM)
    assert finished(process)[0] == 75
    assert finished(train(data, out, *more[:2], "--lr", "0.5"))[0] == 2


@pytest.mark.filterwarnings("ignore")
def test_a_run_that_diverges_stops_with_exit_code_1_and_saves_nothing_more(data, tmp_path):
    out = tmp_path / "run"
    bad = ("--lr", "1e20", "--warmup", "0", "--sample-every", "0", "--checkpoint-every", "1")
    code, printed, err = finished(train(data, out, *bad, "--tokens-per-step", "32"))
    assert code == 1
    kept = [int(path.name.removeprefix("step_")) for path in out.glob("step_*")]
    rejected = [int(step) for step in re.findall(r"step (\d+) rejected", printed)]
    assert max(kept) < rejected[0]
    last = out / f"step_{max(kept):08d}"
    assert f"minigpt: 3 steps in a row were rejected, nothing was saved since {last}; " in err
    assert f"go on from there with --resume {last} --allow-changes lr and a lower --lr, or start anew" in err
    assert printed.count("rejected, no weight has changed") == 3
    again = finished(train(data, out, *bad, "--tokens-per-step", "32"))
    assert again[0] == 1
    assert again[1].count("rejected, no weight has changed") == 3
    folder = out / f"rejected_{int(rejected[-1]):08d}"
    assert f"minigpt replay {folder} says where" in err
    code, printed, _ = finished(minigpt("replay", folder))
    assert code == 0
    assert "is beyond float32's range, in the forward pass\n  at h.0." in printed
    assert re.search(r"again as it was \(float32, fast, numpy\): loss (nan|inf), gradient norm nan", printed)


BAD = {
    "unknown flag": (["--n-layers", "2"], "n-layers"),
    "no number": (["--steps", "many"], "many"),
    "preset": (["--preset", "gpt5"], "minigpt: --preset must be one of small, gpt2"),
    "heads": (["--n-head", "3"], "minigpt: GPTConfig: n_embd must be divisible by n_head"),
    "tokens per step": (
        ["--tokens-per-step", "65"],
        r"minigpt: --tokens-per-step must be a multiple of .* = 32: found 65",
    ),
    "order": (["--order", "random"], "minigpt: --order must be shuffled or sequential: found 'random'"),
    "data format": (["--data-format", "llmc"], "minigpt: --data-format must be raw, or left out: found"),
    "tokenizer": (["--tokenizer", "/nowhere"], "minigpt: /nowhere: expected a saved tokenizer"),
    "tokenizer and n_vocab": (["--tokenizer", "gpt2"], "minigpt: --n-vocab must be the 50257 of the token"),
    "no validation data": (["--val-data", "/nowhere/*"], "minigpt: val-data: no file matches '/nowhere/"),
    "vocabulary": (["--n-vocab", "256"], "minigpt: .*257"),
    "no data": (["--data", "/nowhere/*.txt"], "minigpt: data: no file matches '/nowhere/"),
    "schedule": (
        ["--schedule", "cos"],
        "minigpt: --schedule must be one of cosine, linear, constant, wsd: found 'cos'",
    ),
    "lr": (["--lr", "-1"], "minigpt: --lr must be at least 0"),
    "dtype": (["--dtype", "int8"], "minigpt: --dtype must be one of float32, float64, bfloat16: found"),
    "resume": (["--resume", "/nowhere"], "minigpt: resume: /nowhere is no checkpoint"),
    "long context": (
        ["--context", "100000", "--tokens-per-step", "200000"],
        "minigpt: training text: .* but one window",
    ),
    "huge": (["--n-layer", "1000000000"], "minigpt: --n-layer must be between 1 and 10000"),
    "no place": (["--out", "/proc/nowhere"], "minigpt: out: /proc/nowhere .*: No such file"),
    "no name": (["--out", ""], "minigpt: --out: expected a path, found none"),
    "threads": (["--threads", "0"], "minigpt: --threads must be between 1"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_usage_is_one_clear_message_and_exit_code_2(data, tmp_path, case):
    arguments, message = BAD[case]
    code, printed, err = finished(train(data, tmp_path / "run", *arguments))
    assert code == 2
    assert re.search(message, err), err
    assert "Traceback" not in err + printed
    assert not list(tmp_path.iterdir())


def test_sample_writes_from_a_checkpoint(whole_run):
    folder = whole_run[0] / "step_00000012"
    runs = [
        finished(minigpt("sample", "--weights", folder, "--prompt", "The old", "--seed", s))
        for s in (1, 1, 2)
    ]
    assert [code for code, _, _ in runs] == [0, 0, 0]
    assert runs[0][1].startswith("The old")
    assert runs[0][:2] == runs[1][:2] != runs[2][:2]
    asked = "sample", "--weights", whole_run[0], "--prompt", "The old", "--seed", 1
    code, written, said = finished(minigpt(*asked))
    assert (code, written) == runs[0][:2]
    assert f"weights: {folder}, the run's newest\n" in said
    code, _, err = finished(minigpt("convert", whole_run[0], whole_run[0] / "x.npz", "--format", "npz"))
    assert code == 2
    assert re.fullmatch(r"minigpt: .* found a run's folder; give one of its .*, .*step_00000012\n", err)


def test_help_names_every_flag_with_its_unit():
    code, printed, _ = finished(minigpt("train", "--help"))
    assert code == 0
    for flag in ("--n-layer", "--tokens-per-step", "--lr", "--schedule", "--resume", "--seed"):
        assert flag in printed


# shards

SHARDS = [*TINY[: TINY.index("--n-vocab")], *TINY[TINY.index("--context") :]]  # their tokenizer has its own


@pytest.fixture
def shards(tmp_path):
    """Two training shards, one for validation, and their tokenizer, as `minigpt data` makes them."""
    tokenizer = Tokenizer.train([TEXT], 300)
    folder = tmp_path / "shards"
    folder.mkdir()
    tokenizer.save(folder / "tokenizer.json")
    for name, ids in zip(NAMES, np.array_split(tokenizer.encode(TEXT), 3), strict=True):
        header = np.zeros(256, "<i4")
        header[:3] = 20240520, 1, len(ids)
        (folder / name).write_bytes(header.tobytes() + ids.astype("<u2").tobytes())
    return folder


NAMES = ("text_val_000000.bin", "text_train_000001.bin", "text_train_000002.bin")


def train_on_shards(shards, out, *more):
    return minigpt("train", *SHARDS, "--data", shards, "--out", out, *more)


def test_a_run_on_shards_goes_on_bit_for_bit_even_if_they_were_moved(shards, tmp_path):
    code, printed, err = finished(train_on_shards(shards / "*_train_*.bin", tmp_path / "whole"))
    assert (code, err) == (0, "")
    assert re.search(r"data: 2 shards of .*, [\d,]+ tokens to train on, [\d,]+ held out \(", printed)
    assert re.search(r"done: [\d.]+ bits a byte", printed)

    process = train_on_shards(shards, tmp_path / "run")
    for line in process.stdout:
        if line.startswith("step  5/12 | loss"):
            process.send_signal(signal.SIGTERM)
            break
    assert finished(process)[0] == 75
    moved = shards.rename(tmp_path / "moved")
    assert finished(train_on_shards(moved, tmp_path / "run"))[0] == 0
    assert same_course(tmp_path / "whole", tmp_path / "run")


def test_the_order_matters_and_other_shards_are_another_run(shards, tmp_path):
    out = tmp_path / "run"
    assert finished(train_on_shards(shards, out))[0] == 0
    assert finished(train_on_shards(shards, tmp_path / "plain", "--order", "sequential"))[0] == 0
    assert not same_course(out, tmp_path / "plain")
    (shards / NAMES[2]).unlink()
    code, _, err = finished(train_on_shards(shards, out))
    assert code == 2
    assert re.search(r"is of another run: data: the training text \(--data\) is another, .*", err)
    assert "--allow-changes data to change them" in err
    assert finished(train_on_shards(shards, out, "--allow-changes", "data"))[0] == 0


def test_a_shard_that_changes_during_a_run_ends_it_with_one_clear_line(shards, tmp_path):
    process = train_on_shards(shards, tmp_path / "run", "--steps", "100000")
    for line in process.stdout:
        if line.startswith("step      4/"):
            for name in NAMES[1:]:
                (shards / name).write_bytes(b"")
            break
    code, _, err = finished(process)
    assert code == 2
    assert re.fullmatch(r"minigpt: .*text_train_00000\d.bin: changed since it was opened: .*\n", err)


def test_batches_are_the_same_with_and_without_prefetch(shards, tmp_path, monkeypatch):
    """The whole run is: the same losses, and the same weights."""
    options = dict(zip(SHARDS[::2], SHARDS[1::2], strict=True))
    fields = {name[2:].replace("-", "_"): int(value) for name, value in options.items()}
    recipe = Recipe(**fields, data=str(shards))

    class OnTheSpot(Prefetch):
        def take(self, step):
            return self.make(step)

    for name, prefetch in (("ahead", Prefetch), ("spot", OnTheSpot)):
        monkeypatch.setattr(training, "Prefetch", prefetch)
        assert run.run(dataclasses.replace(recipe, out=str(tmp_path / name)), io.StringIO()) == 0
    assert same_course(tmp_path / "ahead", tmp_path / "spot")


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGINT), (signal.SIGHUP, signal.SIGTERM)])
def test_two_signals_at_the_same_moment_end_it_without_a_traceback(numbers):
    """Both are there before Python looks: they are held back, and let go together."""
    program = f"""if True:
        import os, signal
        from minigpt.stop import StopSignal
        with StopSignal():
            signal.pthread_sigmask(signal.SIG_BLOCK, {[*map(int, numbers)]})
            for number in {[*map(int, numbers)]}:
                os.kill(os.getpid(), number)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {[*map(int, numbers)]})
            print("went on")
    """
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (-max(numbers), "", "")


def test_a_file_in_the_place_of_the_folder_is_one_line(data, tmp_path):
    (tmp_path / "file").write_text("")
    said = f"minigpt: out: {tmp_path / 'file'} cannot be a run's folder: File exists; give another\n"
    assert finished(train(data, tmp_path / "file")) == (2, "", said)
