"""minigpt plot: what is drawn of which logs, read back from the SVG, and what is refused."""

import os
import re
import shutil
import struct
import sys
import zlib

import pytest

from minigpt import ConfigError, cli
from minigpt.history.run import read_run
from minigpt.plot import plot, reference_of
from minigpt.plotting.options import Plot
from minigpt.plotting.picture import short
from tests.support.logs import start, write_main_log, write_metrics


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with three runs: one of minigpt, one as llm.c writes it, one on FineWeb."""
    root = tmp_path_factory.mktemp("runs")
    write_metrics(root / "ours", 200)
    write_main_log(root / "theirs" / "main.log", 300)
    parts = {"recipe": {"tokenizer": "gpt2", "data": "fineweb/*.bin"}, "model": {"n_vocab": 50257}}
    (write_metrics(root / "web", 200) / "starts.jsonl").write_text(start(**parts) + "\n")
    return root


def words_of(path):
    """The texts of an SVG, in their order."""
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def drawn(tmp_path, *words):
    """The texts of the picture that a command line asks for."""
    out = tmp_path / "loss.svg"
    assert cli.main(["plot", *map(str, words), "--out", str(out)]) == 0
    return words_of(out)


def test_one_run_is_drawn_with_all_it_has(tmp_path, runs, capsys):
    words = drawn(tmp_path, runs / "ours")
    assert {"loss, nats a token: ours", "training", "validation", "step", "gradient norm", "learning rate",
            "tokens a second", "lines are means of 5 steps, faint: each step"} <= {*words}  # fmt: skip
    assert f"{read_run(runs / 'ours').validation['val_loss'][-1]:.4f}" in words
    out, err = capsys.readouterr()
    assert re.fullmatch(r"\S+loss.svg: 1 run\n  ours  step 200, loss \d\.\d{4}, validation \d\.\d{4}\n", out)
    assert err == ""


def test_several_runs_are_told_apart_by_name_and_last_score(tmp_path, runs, capsys):
    words = drawn(tmp_path, runs / "ours", runs / "theirs" / "main.log")
    scores = [read_run(runs / name).validation["val_loss"][-1] for name in ("ours", "theirs")]
    assert {f"ours: {scores[0]:.4f}", f"theirs: {scores[1]:.4f}"} <= {*words}
    assert {"HellaSwag, acc_norm", "124M", "chance"} <= {*words}
    assert any("points: validation" in one for one in words)
    assert "theirs  step 300, loss" in capsys.readouterr().out


def test_smoothing_can_be_turned_off_and_up(tmp_path, runs):
    words = drawn(tmp_path, runs / "ours", "--smooth", "1")
    assert not any("means of" in one for one in words)
    assert any("means of 21 steps" in one for one in drawn(tmp_path, runs / "ours", "--smooth", "21"))


def test_a_folder_of_llm_c_needs_no_flag_but_for_tokens(tmp_path, runs, capsys):
    assert "theirs  step" in (drawn(tmp_path, runs / "theirs"), capsys.readouterr().out)[1]
    assert cli.main(["plot", str(runs / "theirs"), "--x", "tokens", "--out", str(tmp_path / "a.png")]) == 2
    assert "give --tokens-per-step" in capsys.readouterr().err
    words = drawn(tmp_path, runs / "theirs", "--x", "tokens", "--tokens-per-step", "524288")
    assert "tokens" in words
    assert "100M" in words


def test_hours_of_ours(tmp_path, runs):
    assert "hours in training steps" in drawn(tmp_path, runs / "ours", "--x", "hours")


def test_losses_of_gpt2_stand_beside_a_run_on_the_same_text_alone(tmp_path, runs, capsys):
    lines = {"124M 3.425", "355M 3.083", "774M 3.001", "1558M 2.831"}
    assert lines <= {*drawn(tmp_path, runs / "web")}
    assert not lines & {*drawn(tmp_path, runs / "web", "--reference", "none")}
    assert not lines & {*drawn(tmp_path, runs / "ours")}
    assert not lines & {*drawn(tmp_path, runs / "web", runs / "ours")}
    assert lines <= {*drawn(tmp_path, runs / "theirs", "--reference", "fineweb")}
    assert "beside GPT-2's losses on fineweb" in capsys.readouterr().out


def test_no_losses_of_gpt2_beside_other_tokens(tmp_path, runs):
    (write_metrics(tmp_path / "small", 9) / "starts.jsonl").write_text(start() + "\n")
    history = read_run(tmp_path / "small")
    with pytest.raises(ConfigError, match="small has its own vocabulary of 258 tokens"):
        reference_of("fineweb", [history], ["small"])
    assert reference_of("auto", [history], ["small"]) is None


def test_runs_of_other_vocabularies_are_said_not_to_compare(tmp_path, runs, capsys):
    (write_metrics(tmp_path / "small", 9) / "starts.jsonl").write_text(start() + "\n")
    drawn(tmp_path, runs / "web", tmp_path / "small")
    said = "minigpt: vocabularies of 258, 50257 tokens: their losses do not compare\n"
    assert capsys.readouterr().err == said


def test_what_was_left_out_is_said(tmp_path, capsys):
    with open(write_metrics(tmp_path / "run", 9) / "metrics.jsonl", "a") as file:
        file.write('{"step": 1')
    drawn(tmp_path, tmp_path / "run")
    assert "its last line is not whole, and is left out\n" in capsys.readouterr().err


@pytest.mark.parametrize("dark", [False, True])
def test_a_png_is_one_and_the_same_logs_give_the_same_file(tmp_path, runs, dark):
    for name in ("a.png", "b.png", "a.svg", "b.SVG"):
        plot(Plot((str(runs / "ours"),), str(tmp_path / name), dark=dark))
    png = (tmp_path / "a.png").read_bytes()
    assert png[:8] == b"\x89PNG\r\n\x1a\n"
    assert struct.unpack(">II", png[16:24]) == (1600, 1024)
    assert png == (tmp_path / "b.png").read_bytes()
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.SVG").read_bytes()
    assert (corner_of(png)[0] < 128) == dark


def corner_of(png):
    """Red, green and blue of the first pixel: the first row is never filtered by the row above."""
    content, at = b"", 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        content += png[at + 8 : at + 8 + size] if kind == b"IDAT" else b""
        at += size + 12
    return zlib.decompress(content)[1:4]


def test_a_name_is_drawn_as_it_is(tmp_path):
    words = drawn(tmp_path, write_metrics(tmp_path / "a $x_1$ <b>", 9))
    assert "loss, nats a token: a $x_1$ &lt;b&gt;" in words


def test_runs_without_anything_finite_and_of_one_step_are_drawn(tmp_path):
    write_metrics(tmp_path / "nan", 3, loss="nan", norm="inf", lr=0.0)
    write_metrics(tmp_path / "one", 1)
    (tmp_path / "val.log").write_text("s:5 tel:3.2\n")
    for paths in (("nan",), ("one",), ("val.log",), ("nan", "one", "val.log")):
        assert drawn(tmp_path, *(tmp_path / path for path in paths))


def test_only_a_picture_of_ours_is_replaced(tmp_path, runs, capsys):
    for name, content in (("a.png", b"\x89PNG\r\n\x1a\n mine"), ("a.svg", b"<svg/>"), ("empty.png", b"")):
        out = tmp_path / name
        out.write_bytes(content)
        assert cli.main(["plot", str(runs / "ours"), "--out", str(out)]) == 2
        assert capsys.readouterr().err == (
            f"minigpt: --out: {out} is there, and was made by something else: give another name\n"
        )
        assert out.read_bytes() == content
    for name in ("ours.png", "ours.svg"):
        for _ in range(2):
            assert cli.main(["plot", str(runs / "ours"), "--out", str(tmp_path / name)]) == 0


@pytest.mark.parametrize(
    ("out", "said"),
    [
        ("loss.pdf", "expected a name that ends in .png or .svg"),
        ("loss", "expected a name that ends in .png or .svg"),
        ("nowhere/loss.png", "expected a folder that is there"),
        ("file/loss.png", "expected a folder that is there"),
        ("folder.png", "found a folder"),
        ("dangling.png", "leads to nothing"),
        ("x" * 300 + ".png", "File name too long"),
        ("a\0b.png", "null"),
    ],
)
def test_a_place_that_is_none_is_refused(tmp_path, runs, capsys, out, said):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "dangling.png").symlink_to(tmp_path / "none" / "there")
    assert cli.carried_out(Plot((str(runs / "ours"),), str(tmp_path / out))) == 2
    err = capsys.readouterr().err
    assert err.startswith("minigpt: --out: ")
    assert said in err
    assert err.count("\n") == 1


def test_no_runs_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="at least one run"):
        plot(Plot((), str(tmp_path / "a.png")))


def test_without_matplotlib_what_to_install_is_said(tmp_path, runs, monkeypatch, capsys):
    monkeypatch.delitem(sys.modules, "minigpt.plotting.picture")
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert cli.main(["plot", str(runs / "ours"), "--out", str(tmp_path / "a.png")]) == 2
    assert capsys.readouterr().err == "minigpt: plot needs matplotlib: pip install 'minigpt[plot]'\n"
    assert not (tmp_path / "a.png").exists()


def test_short_numbers():
    wanted = {0: "0", 0.0006: "0.0006", 999: "999", 2500: "2.5k", 1.5e9: "1.5B", 2e12: "2T", 3e6: "3M"}
    assert {number: short(number) for number in wanted} == wanted


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere names of files are text")
def test_a_folder_whose_name_is_no_utf8_is_drawn_by_its_bytes(runs, tmp_path):
    folder = tmp_path / os.fsdecode(b"run\xff")
    shutil.copytree(runs / "ours", folder)
    assert any(r"run\udcff" in text for text in drawn(tmp_path, folder))
    assert any(r"run\udcff" in text for text in drawn(tmp_path, folder, runs / "ours"))
