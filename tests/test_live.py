"""A run watched on a real pseudo-terminal: what a person sees, and what is left when it ends in some way."""

import errno
import io
import os
import re
import signal
import sys
import time
from types import SimpleNamespace

import pytest

from minigpt.live import opened
from minigpt.log import Log
from minigpt.view import BLOCKS, FULL, PLAIN_BLOCKS, View
from tests.support import tiny_runs
from tests.support.terminal import Terminal

STEPS = 60
TINY = [
    "--n-layer", "1", "--n-head", "2", "--n-embd", "16", "--n-vocab", "280", "--context", "16",
    "--batch-size", "2", "--steps", STEPS, "--warmup", "2", "--eval-every", "20", "--sample-every", "20",
    "--sample-tokens", "6", "--threads", "1",
]  # fmt: skip
SHORT, LONG = ["--tokens-per-step", "512"], ["--tokens-per-step", str(2**18)]  # steps of 10 ms, of seconds
LINE = re.compile(r"step +\d+/60 \| loss ")
VIEW = re.compile(r"^step \d+/60  ", re.MULTILINE)
COLOUR = re.compile(rb"\x1b\[[\d;]*3\dm")  # not bold, nor dim


@pytest.fixture
def words(tmp_path):
    """The words that start a run."""
    (tmp_path / "text.txt").write_text(tiny_runs.TEXT * 3)
    return ["minigpt", "train", *TINY, "--data", tmp_path / "text.txt", "--out", tmp_path / "run"]


def on_terminal(words, *more, **options):
    return Terminal([str(word) for word in (*words, *more)], **options)


def under_way(terminal):
    """Whether the view of some step is to be seen."""
    return VIEW.search(terminal.shown())


def test_a_view_stays_at_the_foot_and_what_is_said_scrolls_above(words, tmp_path):
    terminal = on_terminal(words, *SHORT, "--price", "3.5")
    assert terminal.ended() == 0
    views = [screen.splitlines() for screen in terminal.screens if VIEW.search(screen)]
    assert len(views) > 3
    steps = []
    for lines in views:  # the view is there once, last, whole
        found = [place for place, line in enumerate(lines) if re.match(r"step \d+/60  ", line)]
        assert found == [len(lines) - 3]
        steps.append(int(lines[-3].split("/")[0].removeprefix("step ")))
        assert re.fullmatch(rf"step \d+/60  [ {FULL}▏▎▍▌▋▊▉]+ +\d+%  \S+ left", lines[-3])
        assert re.fullmatch(rf"loss \d\.\d{{4}}  [{BLOCKS}]+  from 5\.\d\d", lines[-2])
        assert re.match(r"[\d,]+ tok/s  mfu \d+%  \$0\.\d\d so far  \d+ ms  norm [\d.]+  lr ", lines[-1])
    assert steps == sorted(steps)
    assert steps[-1] == STEPS
    said = terminal.scrolled()
    assert [int(step) for step in re.findall(r"^--- sample at step (\d+): ", said, re.M)] == [0, 20, 40, 60]
    assert [int(step) for step in re.findall(r"^step (\d+)/60 \| validation ", said, re.M)] == [20, 40, 60]
    assert not LINE.search(said)
    assert not under_way(terminal)
    assert re.search(r"^price: \$0\.\d\d at 1 x \$3\.50 an hour", said, re.M)
    assert said.rstrip().splitlines()[-1].endswith('--prompt "The people of"')
    assert not terminal.screen.cursor.hidden
    assert COLOUR.search(terminal.raw)
    assert len((tmp_path / "run" / "main.log").read_text().splitlines()) == STEPS + 3  # files have all of it


def test_a_terminal_that_cannot_move_its_cursor_gets_a_line_a_step(words):
    terminal = on_terminal(words, *SHORT, columns=200, environment={"TERM": "dumb"})
    assert terminal.ended() == 0
    assert len(LINE.findall(terminal.scrolled())) == STEPS
    assert b"\x1b" not in terminal.raw


def test_without_colours_and_blocks_ascii_does(words):
    plain = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    terminal = on_terminal(words, *SHORT, environment=plain | {"NO_COLOR": "1"})
    assert terminal.ended() == 0
    assert terminal.raw.isascii()
    assert not COLOUR.search(terminal.raw)
    view = [screen.splitlines()[-3:] for screen in terminal.screens if VIEW.search(screen)][-1]
    assert re.fullmatch(r"step 60/60  #+ +100%  0s left", view[0])
    assert re.fullmatch(rf"loss \d\.\d{{4}}  [{re.escape(PLAIN_BLOCKS)}]+  from 5\.\d\d", view[1])


def test_a_narrow_terminal_shows_one_line_and_stays_whole(words):
    terminal = on_terminal(words, *SHORT, columns=16)
    assert terminal.ended() == 0
    views = [found for screen in terminal.screens if (found := re.findall(r"^\d+/60 \d\.\d+", screen, re.M))]
    assert len(views) > 3
    assert {len(found) for found in views} == {1}
    assert not re.search(r"^\d+/60 \d\.\d+", terminal.scrolled(), re.M)


def test_a_terminal_that_changes_its_width_is_followed(words):
    terminal = on_terminal(words, *SHORT, columns=100)
    assert terminal.until(under_way)
    assert max(map(len, terminal.shown().splitlines()[-3:])) > 60
    terminal.resize(50)
    assert terminal.ended() == 0
    for screen in terminal.screens[-8:]:
        (progress,) = re.findall(r"^step \d+/60  .*", screen, re.M)[-1:] or [""]
        assert len(progress) < 50


def test_ctrl_c_saves_and_leaves_the_terminal_clean(words, tmp_path):
    terminal = on_terminal(words, *SHORT)
    assert terminal.until(under_way)
    terminal.type(b"\x03")
    assert terminal.ended() == 75
    assert not under_way(terminal)
    assert "stopped by a signal, saved: " in terminal.shown()
    assert terminal.screen.cursor.x == 0
    assert not terminal.screen.cursor.hidden
    assert list((tmp_path / "run").glob("step_*"))


def test_a_second_ctrl_c_ends_at_once_with_the_cursor_on_a_line_of_its_own(words):
    terminal = on_terminal(words, *LONG)
    assert terminal.until(under_way)
    time.sleep(0.3)  # the next step has begun: before it, one Ctrl-C is enough
    terminal.type(b"\x03")
    time.sleep(0.3)  # the first one has been taken; the step still lasts
    terminal.type(b"\x03")
    assert terminal.ended() == -signal.SIGINT
    assert terminal.screen.display[terminal.screen.cursor.y].strip() == "^C^C"  # the terminal's own echo
    assert under_way(terminal)
    assert not terminal.screen.cursor.hidden


def test_a_terminal_that_is_closed_loses_nothing(words, tmp_path):
    terminal = on_terminal(words, *SHORT, "--steps", "5000")
    assert terminal.until(lambda one: re.search(r"^step \d+/5,000  ", one.shown(), re.M))
    os.close(terminal.file)
    assert terminal.process.wait(timeout=60) == 75
    assert list((tmp_path / "run").glob("step_*"))


def test_a_warning_is_seen_above_the_view(words, tmp_path):
    (tmp_path / "run" / "main.log").mkdir(parents=True)  # where a file should be, when the view is there
    terminal = on_terminal(words, *SHORT, columns=200)
    assert terminal.ended() == 0
    said = "main.log: not written: Is a directory; the run goes on without these lines"
    assert terminal.scrolled().count(said) == 1


# Without a process of its own -------------------------------------------------------------------------------

REPORT = SimpleNamespace(loss=2.0, norm=1.0, lr=1e-3)
ABOUT = 1.0, 0.0, 32, 0.5, 1.0


class Screen(io.StringIO):
    """A terminal that is gone after so many words."""

    left = float("inf")

    def isatty(self):
        return True

    def write(self, text):
        self.left -= 1
        if self.left < 0:
            raise OSError(errno.EIO, "Input/output error")
        return super().write(text)


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A log with a view on a Screen, and how often its end was told."""
    monkeypatch.setenv("TERM", "xterm")
    told = []
    log = Log(tmp_path, Screen(), lambda: told.append(1))
    log.live = opened("auto", log.terminal, View())
    assert log.live
    return log, told


@pytest.mark.parametrize("left", [0, 1, 2, 5])
def test_a_terminal_that_fails_under_the_view_is_told_of_and_files_go_on(
    watched, tmp_path, monkeypatch, left
):
    (log, told), err = watched, Screen()
    monkeypatch.setattr(sys, "stderr", err)
    log.say("before")
    log.terminal.left = left
    for step in range(1, 4):
        log.step(step, 3, REPORT, *ABOUT)
        log.say("a line")
    log.close()
    assert told == [1]
    assert log.gone
    assert sys.stderr is err
    assert len((tmp_path / "metrics.jsonl").read_text().splitlines()) == 3


def test_the_screen_is_given_back_when_a_run_fails(watched, monkeypatch):
    (log, _), err = watched, Screen()
    monkeypatch.setattr(sys, "stderr", err)
    log.step(1, 3, REPORT, *ABOUT)
    assert sys.stderr is not err
    log.close()
    log.close()
    assert sys.stderr is err
    before = log.terminal.getvalue()
    log.say("plain")
    assert log.terminal.getvalue() == before + "plain\n"


def test_a_view_is_drawn_ten_times_a_second_at_most(watched, monkeypatch):
    log, _ = watched
    clock = [0.0]
    monkeypatch.setattr("minigpt.live.time.monotonic", lambda: clock[0])
    sizes = []
    for step in range(1, 31):
        clock[0] += 0.03
        log.step(step, 40, REPORT, *ABOUT)
        sizes.append(len(log.terminal.getvalue()))
    assert len(set(sizes)) == 8  # steps 1, 5, 9, ... 29


def test_without_rich_auto_means_lines_and_on_is_an_error(monkeypatch):
    monkeypatch.setitem(sys.modules, "rich", None)
    assert opened("auto", Screen(), View()) is None
    with pytest.raises(ValueError, match="pip install rich"):
        opened("on", Screen(), View())


def test_on_draws_behind_a_pipe_too(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")
    assert opened("auto", io.StringIO(), View()) is None
    assert opened("on", io.StringIO(), View())
    monkeypatch.setenv("TERM", "dumb")
    assert opened("on", io.StringIO(), View()) is None


def test_the_price_is_no_setting(tmp_path):
    """A run goes on with another price and view; its checkpoint does not ask for the same."""
    assert tiny_runs.go(tiny_runs.recipe(tmp_path, steps=4, checkpoint_every=2, price=1.0)) == 0
    half, screen = str(tmp_path / "step_00000002"), io.StringIO()
    again = tiny_runs.recipe(tmp_path, steps=4, resume=half, price=2.0, live="off")
    assert tiny_runs.go(again, screen) == 0
    assert "at 1 x $2.00 an hour, since this process began" in screen.getvalue()
    assert "resumed: " in screen.getvalue()
    assert opened("off", Screen(), View()) is None
