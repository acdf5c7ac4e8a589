"""minigpt report: what the page is given, of whole, old, huge and damaged runs; and what is refused."""

import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from minigpt import DataError, cli
from minigpt.log import Log
from minigpt.options import Recipe
from minigpt.recipe import resolved
from minigpt.reporting.layers import layers_of
from minigpt.reporting.numbers import one, spread
from minigpt.reporting.samples import LONGEST, of_line, samples_of, visible
from minigpt.reporting.settings import command
from minigpt.usage import parsed
from tests.support.logs import start, write_main_log, write_metrics
from tests.support.report_page import layers_line, read_report, written
from tests.support.tiny_runs import go, recipe


@pytest.fixture(scope="module")
def real(tmp_path_factory):
    """A real run's folder."""
    folder = tmp_path_factory.mktemp("real") / "run"
    plan = {
        "steps": 20,
        "eval_every": 5,
        "sample_every": 4,
        "sample_tokens": 9,
        "layers_every": 5,
        "price": 9.0,
    }
    assert go(recipe(folder, **plan)) == 0
    return folder


def test_a_real_run_s_page_holds_all_of_it(real, tmp_path, capsys):
    page = written(real, tmp_path / "a.html")
    lines = [json.loads(line) for line in (real / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if "loss" in line]
    assert page["curves"]["train"]["loss"] == pytest.approx(losses, rel=1e-4)
    assert page["curves"]["train"]["tokens"] == [32 * step for step in range(1, 21)]
    assert page["curves"]["validation"]["step"] == [5, 10, 15, 20]
    assert [sample["step"] for sample in page["samples"]["shown"]] == [0, 4, 8, 12, 16, 20]
    assert page["layers"]["steps"] == [1, 5, 10, 15, 20]
    written_layers = [json.loads(line)["layers"] for line in (real / "layers.jsonl").read_text().splitlines()]
    place = page["layers"]["parts"].index("h.0.mlp.c_fc")
    for i, name in enumerate(("gradient", "weights", "update")):
        wanted = [layers["h.0.mlp.c_fc"][i] for layers in written_layers]
        assert page["layers"][name][place] == pytest.approx(wanted, rel=1e-3)
    figures = dict(page["figures"])
    assert figures["validation loss"] == f"{lines[-1]['val_loss']:.4f}"
    assert figures["tokens trained on"] == "640"
    assert {"bits a byte", "time in steps", "speed", "MFU, median", "price of the steps"} <= figures.keys()
    assert ["layers-every", "5", False] in page["settings"]
    assert ["keep", "3", True] in page["settings"]
    assert ["threads", "1"] in page["machine"]
    assert len(page["begun"]) == 1
    assert capsys.readouterr().out.startswith(f"{tmp_path / 'a.html'}: run, 20 steps, 6 samples, 5 notes of")


def test_the_same_run_gives_the_same_page(real, tmp_path):
    written(real, tmp_path / "a.html")
    written(real, tmp_path / "b.html")
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()


def test_the_command_on_the_page_asks_for_the_same_run(real, tmp_path):
    words = written(real, tmp_path / "a.html")["command"].split()
    assert words[:2] == ["minigpt", "train"]
    asked = parsed(cli.Command, words[1:], prog="minigpt", config=cli.STYLE)
    wanted = json.loads((real / "starts.jsonl").read_text())["recipe"]
    found = vars(resolved(asked))
    places = {"out", "tokenizer", "n_vocab"}
    assert {name: found[name] for name in wanted if name not in places} == {
        name: value for name, value in wanted.items() if name not in places
    }
    assert isinstance(asked, Recipe)


def test_words_of_a_command_are_quoted():
    recipe = {"preset": "small", "data": "my notes/*.txt", "tensorboard": True, "wandb": None}
    assert (
        command(SimpleNamespace(about={"recipe": recipe}))
        == "minigpt train --data 'my notes/*.txt' --tensorboard"
    )


def test_a_bare_log_gives_curves_and_says_what_is_missing(tmp_path):
    for path in (write_main_log(tmp_path / "d12" / "main.log", 40), tmp_path / "d12"):
        page = written(path, tmp_path / "a.html")
        assert page["name"] == "d12"
        assert list(page["curves"]["axes"]) == ["step"]
        assert page["curves"]["hellaswag"]["value"][-1] == 0.254
        assert (page["layers"], page["samples"]["all"], page["settings"], page["machine"]) == (
            None,
            0,
            [],
            [],
        )


def test_a_run_without_notes_and_samples_has_none(tmp_path):
    page = written(write_metrics(tmp_path / "run", 30), tmp_path / "a.html")
    assert (page["layers"], page["samples"]) == (None, {"shown": [], "all": 0})
    assert page["asked"] is None


@pytest.mark.parametrize(("steps", "lead", "said"), [
    (1, "1 step.", "1 step, 0 samples, 0 notes of layers"),
    (2, "2 steps: from a loss of 8.66 to 8.81 nats a token.", "2 steps, 0 samples, 0 notes of layers"),
])  # fmt: skip
def test_one_is_not_many(tmp_path, capsys, steps, lead, said):
    assert written(write_metrics(tmp_path / "run", steps), tmp_path / "a.html")["lead"] == lead
    assert f": run, {said}, " in capsys.readouterr().out


def test_a_price_counts_every_rank_s_machine(tmp_path):
    (write_metrics(tmp_path / "run", 1000) / "starts.jsonl").write_text(start() + "\n")  # 32 s, 2 ranks, $36
    assert dict(written(tmp_path / "run", tmp_path / "a.html")["figures"])["price of the steps"] == "$0.64"


def test_a_huge_run_gives_a_small_page_that_says_so(tmp_path):
    folder = write_metrics(tmp_path / "run", 100_000, eval_every=500)
    with open(folder / "samples.txt", "w") as samples, open(folder / "layers.jsonl", "w") as layers:
        for step in range(0, 100_001, 50):
            print(f"step {step}: {'word ' * 60!r}", file=samples)
            if step:
                print(layers_line(step, n_layer=48) if step % 200 == 0 else "", file=layers)
    page = written(folder, tmp_path / "a.html")
    assert (tmp_path / "a.html").stat().st_size < 3e6
    train = page["curves"]["train"]
    assert (len(train["loss"]), train["step"][-1]) == (1200, 100_000)
    assert "100,000 steps in 1,200 stretches" in page["curves"]["said"]
    assert len(page["samples"]["shown"]) < page["samples"]["all"] == 2001
    assert page["samples"]["shown"][0]["step"] == 0
    assert page["samples"]["shown"][-1]["step"] == 100_000
    assert len(page["layers"]["steps"]) < page["layers"]["all"] == 500
    assert all(low <= mean <= high for low, mean, high in zip(train["low"], train["loss"], train["high"],
                                                              strict=True))  # fmt: skip


def test_stretches_hold_the_lowest_and_highest_of_their_steps(tmp_path, monkeypatch):
    monkeypatch.setattr("minigpt.reporting.curves.MOST", 3)
    folder = tmp_path / "run"
    for step, loss in enumerate([5.0, 1.0, 3.0, "nan", 8.0, 2.0], start=1):
        write_metrics(folder, step, first=step, loss=loss)
    train = written(folder, tmp_path / "a.html")["curves"]["train"]
    assert (train["low"], train["high"]) == ([1, 3, 2], [5, 3, 8])
    assert train["loss"] == [3, 3, 5]
    assert train["step"] == [2, 4, 6]


NASTY = ["</script><script>alert(1)</script>", "<!--", "\0\x07\x1b[31m\x7f", "\u2028\u2029\u202e",
         "🦊 é \\n '\"", "line\nline\ttab\r", "{{style}}", "\\x41", "\ufffd", "it's", ""]  # fmt: skip


def test_samples_are_what_was_written(tmp_path):
    log = Log(tmp_path, open("/dev/null", "w"))
    for step, text in enumerate(NASTY):
        log.sample(step, text)
    shown, count, remark = samples_of(tmp_path)
    assert [sample["text"] for sample in shown] == [visible(text) for text in NASTY]
    assert (count, remark) == (len(NASTY), "")


def test_control_characters_are_seen():
    assert visible("\0\x1b\x7f\r\n\ta") == "\u2400\u241b\u2421\u240d\n\ta"


def test_nothing_in_a_page_ends_its_script(tmp_path):
    folder = write_metrics(tmp_path / "a<b>&{{run}}", 3)
    (folder / "starts.jsonl").write_text(start(data={"name": "</script>\u2028<!--"}) + "\n")
    (folder / "samples.txt").write_text("".join(f"step {i}: {text!r}\n" for i, text in enumerate(NASTY)))
    written(folder, tmp_path / "a.html")
    page = (tmp_path / "a.html").read_text()
    assert page.count("</script>") == 2
    assert "<!--" not in page
    assert "<title>a&lt;b&gt;&amp;{{run}}: a training run</title>" in page
    assert [sample["text"] for sample in read_report(tmp_path / "a.html")["samples"]["shown"]] == [
        visible(text) for text in NASTY
    ]


@pytest.mark.parametrize(("written_as", "text"), [(r"'\ud800'", "\ufffd"), (r"'\U00110000'", "\ufffd"),
                                                  (r"'\U0001f98a'", "🦊"), ("\"it's\"", "it's")])  # fmt: skip
def test_escapes_that_stand_for_no_letter_become_the_sign_for_it(written_as, text):
    assert of_line(f"step 7: {written_as}") == (7, text)


def test_a_resumed_run_s_later_samples_and_notes_win(tmp_path):
    (tmp_path / "samples.txt").write_text(
        "".join(f"step {s}: 'old'\n" for s in (0, 20, 40, 60)) + "step 40: 'new'\n"
    )
    lines = [layers_line(step) for step in (1, 20, 40)] + [layers_line(20, scale=2.0)]
    (tmp_path / "layers.jsonl").write_text("\n".join(lines) + "\n")
    assert [(one["step"], one["text"]) for one in samples_of(tmp_path)[0]] == [
        (0, "old"),
        (20, "old"),
        (40, "new"),
    ]
    layers, count, _ = layers_of(tmp_path)
    assert (layers["steps"], count) == ([1, 20], 2)
    assert layers["gradient"][0] == [1, 0.1]


def test_a_very_long_sample_is_cut_and_says_so(tmp_path):
    (tmp_path / "samples.txt").write_text(f"step 1: {'a' * 9999!r}\n")
    (sample,), _, _ = samples_of(tmp_path)
    assert (len(sample["text"]), sample["cut"]) == (LONGEST, True)


@pytest.mark.parametrize(
    ("name", "line"),
    [("samples.txt", "nonsense"), ("samples.txt", "step x: 'a'"), ("samples.txt", "step 1: a"),
     ("layers.jsonl", "nonsense"), ("layers.jsonl", "[]"), ("layers.jsonl", '{"step": 1}'),
     ("layers.jsonl", '{"step": 1, "layers": {}}'), ("layers.jsonl", '{"step": 1, "layers": {"a": 3}}'),
     ("layers.jsonl", '{"step": 1, "layers": {"a": [1, 2]}}'),
     ("layers.jsonl", '{"step": 1, "layers": {"a": [1, 2, "x"]}}')],
)  # fmt: skip
def test_damaged_lines_are_named_and_a_torn_end_is_left_out(tmp_path, name, line):
    read = samples_of if name == "samples.txt" else layers_of
    good = "step 1: 'a'" if name == "samples.txt" else layers_line(1)
    (tmp_path / name).write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(DataError, match=f"{name}: line 2: expected"):
        read(tmp_path)
    (tmp_path / name).write_text(f"{good}\n{good[:-4]}")
    assert read(tmp_path)[1] == 1
    assert "its last line is not whole" in read(tmp_path)[2]


def test_what_was_left_out_is_told_by_the_path_that_was_given(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (write_metrics(tmp_path / "run", 3) / "samples.txt").write_text("step 1: 'a")
    written("run", tmp_path / "a.html")
    error = capsys.readouterr().err
    assert error == "minigpt: run/samples.txt: its last line is not whole, and is left out\n"


def test_numbers_that_are_not_finite_are_null(tmp_path):
    folder = write_metrics(tmp_path / "run", 4, loss="nan", norm="inf", tokens_per_second="inf")
    layers = json.dumps({"step": 1, "layers": {"wte": ["nan", 1.0, "inf"]}})
    (folder / "layers.jsonl").write_text(f"{layers}\n")
    page = written(folder, tmp_path / "a.html")
    assert page["curves"]["train"]["loss"] == page["curves"]["train"]["norm"] == [None] * 4
    assert page["layers"]["gradient"] == page["layers"]["update"] == [[None]]


def test_only_a_page_of_ours_is_replaced(real, tmp_path, capsys):
    (tmp_path / "mine.html").write_text("<!doctype html><title>mine, no minigpt report</title>")
    assert cli.main(["report", str(real), "--out", str(tmp_path / "mine.html")]) == 2
    assert "was made by something else: give another name" in capsys.readouterr().err
    assert cli.main(["report", str(real), "--out", str(tmp_path / "report.txt")]) == 2
    assert "--out: expected a name that ends in .html or .htm" in capsys.readouterr().err
    for _ in range(2):
        written(real, tmp_path / "ours.html")


@pytest.mark.parametrize(("n", "most"), [(0, 5), (1, 5), (5, 5), (6, 5), (1000, 7)])
def test_a_spread_is_even_and_keeps_both_ends(n, most):
    places = spread(n, most)
    assert len(places) == min(n, most)
    assert places == sorted(set(places))
    assert not n or (places[0], places[-1]) == (0, n - 1)
    gaps = np.diff(places)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1


def test_numbers_are_short_and_right():
    assert [one(value) for value in (1234.5678, 3.0, math.nan, -math.inf, 1e-30, 0.0)] == [
        1234.6, 3, None, None, 1e-30, 0,
    ]  # fmt: skip
