"""TensorBoard reads its files back, Weights & Biases keeps a run offline; boards that fail end nothing."""

import importlib.util
import io
import json
import math
import os
import platform
import subprocess
import sys
from types import SimpleNamespace
from unittest import mock

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from minigpt import boards
from minigpt.boards import Guarded, TensorBoard, boards_of
from minigpt.errors import ConfigError
from minigpt.log import Log
from minigpt.options import Recipe
from minigpt.recipe import resolved
from tests.support import tiny_runs

REPORT = SimpleNamespace(loss=2.0, norm=1.0, lr=1e-3)


def test_a_run_s_numbers_and_samples_are_in_tensorboard(tmp_path):
    recipe = tiny_runs.recipe(tmp_path, steps=6, tensorboard=True, sample_every=3, eval_every=4)
    assert tiny_runs.go(recipe) == 0
    seen = EventAccumulator(str(tmp_path / "tensorboard"))
    seen.Reload()
    told = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert {"loss", "norm", "lr", "mfu", "tokens_per_second", "val_loss"} <= set(seen.Tags()["scalars"])
    for tag in seen.Tags()["scalars"]:
        shown = [(event.step, event.value) for event in seen.Scalars(tag)]
        assert shown == [(one["step"], pytest.approx(one[tag], rel=1e-6)) for one in told if tag in one]
    samples = seen.Tensors("sample")
    lines = (tmp_path / "samples.txt").read_text().splitlines()
    assert [event.step for event in samples] == [0, 3, 6]
    texts = [event.tensor_proto.string_val[0].decode().replace("\n    ", "\n")[4:] for event in samples]
    assert lines == [f"step {event.step}: {text!r}" for event, text in zip(samples, texts, strict=True)]


def test_numbers_are_there_while_the_run_goes_on(tmp_path):
    board = TensorBoard(tmp_path)
    for step in (1, 2):
        board.scalars(step, {"loss": 1 / step})
        seen = EventAccumulator(str(tmp_path))
        seen.Reload()
        assert [event.step for event in seen.Scalars("loss")] == [1, 2][:step]
    board.close()


class Stand:
    """wandb, as far as we call it."""

    def __init__(self, fail=None):
        self.fail, self.logged, self.begun, self.finished = fail, [], [], 0

    def Settings(self, **options):
        return options

    def Html(self, text, inject):
        return text

    def init(self, **options):
        if self.fail == "init":
            raise RuntimeError("no network\nat all")
        self.begun.append(options)
        return self

    def log(self, numbers, step):
        if self.fail == "log":
            raise OSError("disk full")
        self.logged.append((step, numbers))

    def finish(self):
        self.finished += 1


def log_with_wandb(tmp_path, monkeypatch, stand):
    monkeypatch.setitem(sys.modules, "wandb", stand)
    log = Log(tmp_path, io.StringIO())
    log.boards = boards_of(Recipe(wandb="mine"), log.out, log.warn, {"lr": 0.1})
    return log


def test_wandb_is_told_what_the_files_are_told(tmp_path, monkeypatch):
    stand = Stand()
    log = log_with_wandb(tmp_path, monkeypatch, stand)
    assert stand.begun == []  # a run that fails before its first step leaves nothing there
    log.step(1, 9, REPORT, 1.0, 0.0, 32, math.nan, 1.0)
    log.sample(1, "a <b> c")
    log.close()
    assert stand.begun[0]["project"] == "mine"
    assert stand.begun[0]["config"] == {"lr": 0.1}
    assert stand.begun[0]["settings"] == {"console": "off"}
    assert stand.logged == [
        (1, {"loss": 2.0, "norm": 1.0, "lr": 1e-3, "ms": 1e3, "wait_ms": 0.0, "tokens_per_second": 32.0}),
        (1, {"sample": "<pre>a &lt;b&gt; c</pre>"}),
    ]
    assert stand.finished == 1


@pytest.mark.parametrize("fail", ["init", "log"])
def test_a_board_that_fails_warns_once_and_the_files_go_on(tmp_path, monkeypatch, capsys, fail):
    log = log_with_wandb(tmp_path, monkeypatch, Stand(fail))
    for step in (1, 2, 3):
        log.step(step, 9, REPORT, 1.0, 0.0, 32, 0.5, 1.0)
    log.close()
    reason = "no network at all" if fail == "init" else "disk full"
    assert capsys.readouterr().err == f"minigpt: wandb: {reason}; the run goes on without it\n"
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_event_files_that_cannot_be_written_warn_once(tmp_path, capsys):
    (tmp_path / "tensorboard").write_text("in the way")
    log = Log(tmp_path, io.StringIO())
    log.boards = [Guarded("tensorboard", lambda: TensorBoard(tmp_path / "tensorboard"), log.warn)]
    for step in (1, 2):
        log.step(step, 9, REPORT, 1.0, 0.0, 32, 0.5, 1.0)
    log.close()
    err = capsys.readouterr().err
    assert err.startswith("minigpt: tensorboard: ")
    assert err.count("\n") == 1


def test_a_run_is_kept_by_wandb_itself_offline(tmp_path):
    text, tokenizer = tiny_runs.data()
    words = (
        "train --n-layer 1 --n-head 1 --n-embd 8 --context 8 --batch-size 2 --tokens-per-step 32 --steps 3 "
    )
    words += f"--warmup 1 --sample-every 3 --threads 1 --data {text} --tokenizer {tokenizer} --wandb mine"
    out = tmp_path / "run"
    environment = os.environ | {"WANDB_MODE": "offline", "WANDB_SILENT": "true"}
    command = [sys.executable, "-m", "minigpt", *words.split(), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=200)
    assert done.returncode == 0, done.stderr
    assert "goes on without it" not in done.stderr
    (kept,) = out.glob("wandb/offline-run-*/run-*.wandb")
    content = kept.read_bytes()
    for name in (b"val_loss", b"tokens_per_second", b"n_embd"):
        assert name in content


@pytest.mark.parametrize(
    ("package", "fields"), [("tensorboard", {"tensorboard": True}), ("wandb", {"wandb": "mine"})]
)
def test_a_board_that_is_not_installed_is_an_error_before_the_run(package, fields, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        boards.importlib.util, "find_spec", lambda name: None if name == package else find(name)
    )
    with pytest.raises(ConfigError, match=f"{package}: .* is not installed: pip install {package}$"):
        resolved(Recipe(**fields))
    resolved(Recipe())


def test_a_full_disk_ends_the_board_and_not_the_run(tmp_path, capfd):
    recipe = tiny_runs.recipe(tmp_path, steps=3, tensorboard=True)
    (tmp_path / "tensorboard").mkdir()
    full = mock.patch.object(boards.time, "time", return_value=7)  # so that the file's name is known
    name = f"events.out.tfevents.7.{platform.node()}.{os.getpid()}"
    (tmp_path / "tensorboard" / name).symlink_to("/dev/full")
    with full:
        assert tiny_runs.go(recipe) == 0
    said = "minigpt: tensorboard: [Errno 28] No space left on device; the run goes on without it\n"
    assert capfd.readouterr().err == said
    assert len(tiny_runs.losses(tmp_path)) == 3
