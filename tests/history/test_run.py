"""Logs read again: both grammars, resumed runs, torn and damaged lines, what is no run."""

import json
import math

import numpy as np
import pytest

from minigpt import DataError, GPTConfig
from minigpt.history import grammar
from minigpt.history.run import names_of, read_run
from minigpt.model import param_shapes
from tests.support.logs import loss_at, start, write_main_log, write_metrics
from tests.support.tiny_runs import go, recipe


def test_a_real_run_is_read_as_it_was_written(tmp_path):
    assert go(recipe(tmp_path / "run", steps=12, eval_every=4)) == 0
    history = read_run(tmp_path / "run")
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert history.train["loss"].tolist() == losses
    assert history.train["step"].tolist() == list(range(1, 13))
    assert history.validation["step"].tolist() == [4, 8, 12]
    assert (history.name, history.last_step, history.remarks) == ("run", 12, [])
    assert history.about["recipe"]["steps"] == 12
    shapes = param_shapes(GPTConfig(1, 1, 8, 8, 258))
    assert history.about["model"]["parameters"] == sum(map(math.prod, shapes.values()))
    from_main_log = read_run(tmp_path / "run" / "main.log")
    assert from_main_log.train["loss"] == pytest.approx(losses, abs=5.1e-5)
    assert from_main_log.validation["step"].tolist() == [4, 8, 12]
    assert np.isnan(from_main_log.train["ms"]).all()


def test_an_older_run_is_described_by_its_newest_checkpoint(tmp_path):
    assert go(recipe(tmp_path, steps=2)) == 0
    (tmp_path / "starts.jsonl").unlink()
    about = read_run(tmp_path).about
    assert about["recipe"]["steps"] == 2
    assert about["model"]["n_vocab"] == 258
    assert about["machine"] == {}


def test_llm_c_s_log_is_read(tmp_path):
    history = read_run(write_main_log(tmp_path / "d12" / "main.log", 50))
    assert history.name == "d12"
    assert history.train["step"].tolist() == list(range(50))
    assert history.validation["step"].tolist() == history.hellaswag["step"].tolist() == [0, 20, 40, 50]
    assert history.train["loss"][7] == pytest.approx(loss_at(7), abs=5.1e-5)
    assert history.hellaswag["hellaswag"][-1] == 0.255
    assert read_run(tmp_path / "d12").train["lr"][0] == 0.0006
    assert history.starts == []


def test_hellaswag_is_taken_from_main_log_where_metrics_has_none(tmp_path):
    write_metrics(tmp_path, 30)
    (tmp_path / "main.log").write_text("s:10 eval:0.2600\ns:20 tel:99.0000\ns:20 eval:0.2700\n")
    history = read_run(tmp_path)
    assert history.hellaswag["hellaswag"].tolist() == [0.26, 0.27]
    assert len(history.train["step"]) == 30
    assert history.validation["val_loss"].max() < 99


def test_a_resumed_run_s_later_lines_win_and_an_abandoned_end_goes(tmp_path):
    write_metrics(tmp_path, 50)
    write_metrics(tmp_path, 35, first=31, loss=1.5)
    history = read_run(tmp_path)
    assert history.train["step"].tolist() == list(range(1, 36))
    assert history.train["loss"][29:].tolist() == [loss_at(30)] + [1.5] * 5
    assert history.validation["step"].tolist() == [20]


def test_llm_c_s_resumed_run_keeps_the_validation_that_it_begins_with(tmp_path):
    lines = ["s:0 trl:9.0", "s:1 trl:8.0", "s:2 tel:7.9", "s:2 trl:7.0", "s:3 trl:6.0", "s:4 tel:5.9",
             "s:2 tel:7.7", "s:2 trl:6.5", "s:3 trl:5.5"]  # fmt: skip
    (tmp_path / "main.log").write_text("\n".join(lines) + "\n")
    history = read_run(tmp_path)
    assert history.train["loss"].tolist() == [9, 8, 6.5, 5.5]
    assert history.validation["val_loss"].tolist() == [7.7]


@pytest.mark.parametrize("rest", ['{"step": 31, "lo', "\0" * 40 + "x", '{"step": 31, "loss": 3.25'])
def test_a_torn_last_line_is_left_out_and_said(tmp_path, rest):
    with open(write_metrics(tmp_path, 30) / "metrics.jsonl", "a") as file:
        file.write(rest)
    history = read_run(tmp_path)
    assert history.last_step == 30
    assert history.remarks == [f"{tmp_path / 'metrics.jsonl'}: its last line is not whole, and is left out"]


def test_a_damaged_last_line_is_left_out_and_said(tmp_path):
    with open(write_metrics(tmp_path, 30) / "metrics.jsonl", "a") as file:
        file.write("\0\0\0\n")
    history = read_run(tmp_path)
    assert history.last_step == 30
    assert "last line is damaged" in history.remarks[0]


def test_a_torn_line_of_a_number_that_would_pass_is_not_taken(tmp_path):
    (tmp_path / "main.log").write_text("s:0 trl:9.5000\ns:1 trl:1")
    assert read_run(tmp_path).train["loss"].tolist() == [9.5]


NO_METRICS = ["nonsense", "[]", '{"loss": 1}', '{"step": -1, "loss": 1}', '{"step": 1.5}', '{"step": true}',
              '{"step": 1, "loss": [1]}', '{"step": 1, "loss": "one"}', '{"step": 1, "loss": "3"}',
              '{"step": 1e999}', "[" * 100_000, "é\udcff"]  # fmt: skip
NO_MAIN_LOG = [
    "nonsense",
    "s:1",
    "s:x trl:1",
    "s:1 trl:one",
    "trl:1 s:1",
    "s:1 trl",
    "s:-1 trl:1",
    "s:1 trl:1:2",
]


@pytest.mark.parametrize(
    ("name", "line"),
    [("metrics.jsonl", line) for line in NO_METRICS] + [("main.log", line) for line in NO_MAIN_LOG],
    ids=lambda text: text[:20].encode("ascii", "replace").decode(),
)
def test_a_damaged_line_in_the_middle_is_named(tmp_path, name, line):
    good = '{"step": 1, "loss": 2.0}' if name == "metrics.jsonl" else "s:1 trl:2.0"
    (tmp_path / name).write_bytes(f"{good}\n{line}\n{good}\n".encode(errors="surrogateescape"))
    with pytest.raises(DataError, match=rf"{name}: line 2: expected .*, found .*; it is damaged, or no log"):
        read_run(tmp_path)


def test_numbers_that_are_not_finite_are_read(tmp_path):
    (tmp_path / "metrics.jsonl").write_text('{"step": 1, "loss": "nan", "norm": "inf", "mfu": null}\n')
    train = read_run(tmp_path).train
    assert math.isnan(train["loss"][0])
    assert math.isinf(train["norm"][0])
    assert grammar.of_main_log("s:3 trl:-nan norm:inf")["norm"] == math.inf


def test_blank_lines_and_unknown_numbers_are_passed_over(tmp_path):
    (tmp_path / "main.log").write_text("\ns:1 trl:2.0 dt:3\n\ns:2 foo:1\n")
    assert read_run(tmp_path).train["loss"].tolist() == [2.0]


def test_what_is_no_run_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"is no run: expected metrics.jsonl or main.log in it, .* neither$"):
        read_run(tmp_path / "empty")
    with pytest.raises(DataError, match="no such run: expected a run's folder"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "empty" / "main.log").write_text("")
    with pytest.raises(DataError, match="expected steps, found none"):
        read_run(tmp_path / "empty")
    assert go(recipe(tmp_path / "run", steps=2)) == 0
    with pytest.raises(DataError, match=f"found neither; its run is {tmp_path / 'run'}$"):
        read_run(tmp_path / "run" / "step_00000002")


@pytest.mark.parametrize("line", ["nonsense", "[]", "{}", '{"step": "1"}', '{"step": 1, "recipe": 3}'])
def test_a_damaged_start_is_named(tmp_path, line):
    write_metrics(tmp_path, 3)
    (tmp_path / "starts.jsonl").write_text(f"{line}\n{start()}\n")
    with pytest.raises(DataError, match=r"starts.jsonl: line 1: expected a JSON object with a step"):
        read_run(tmp_path)


def test_a_start_that_was_torn_off_is_told(tmp_path):
    write_metrics(tmp_path, 3)
    (tmp_path / "starts.jsonl").write_text(start()[:-9])
    history = read_run(tmp_path)
    assert history.starts == []
    assert history.remarks == [f"{tmp_path / 'starts.jsonl'}: its last line is not whole, and is left out"]


def test_runs_of_one_name_are_told_apart(tmp_path):
    paths = [write_metrics(tmp_path / name / "run", 3) for name in ("a", "b")]
    assert names_of([read_run(path) for path in paths]) == ["a/run", "b/run"]
    assert names_of([read_run(paths[0])] * 2) == ["a/run (1)", "a/run (2)"]
    assert names_of([read_run(paths[0])]) == ["run"]
    (tmp_path / "mine.log").write_text("s:1 trl:2.0\n")
    assert read_run(tmp_path / "mine.log").name == "mine"


def test_a_score_of_the_step_at_which_an_abandoned_end_begins_goes_with_it(tmp_path):
    lines = ["s:2 trl:7.0", "s:3 trl:6.0", "s:3 tel:5.9", "s:4 trl:5.0", "s:3 trl:6.5"]
    (tmp_path / "main.log").write_text("\n".join(lines) + "\n")
    history = read_run(tmp_path)
    assert history.train["loss"].tolist() == [7, 6.5]
    assert history.validation["step"].tolist() == []


def test_a_damaged_line_before_a_torn_one_is_not_the_last(tmp_path):
    (tmp_path / "main.log").write_text("s:1 trl:2.0\nnonsense\ns:3 tr")
    with pytest.raises(DataError, match=r"main.log: line 2: expected"):
        read_run(tmp_path)
