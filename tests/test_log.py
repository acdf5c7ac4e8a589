"""A run's logs on disks that are full, after power cuts, and for terminals that have gone."""

import errno
import io
import json
import math
import os
from types import SimpleNamespace

import pytest

from minigpt import log
from minigpt.log import Log, append, mend


def test_a_line_is_there_whole_or_not_at_all(tmp_path, monkeypatch):
    path, write, left = tmp_path / "log", os.write, [15]

    def full(file, content):
        if not left[0]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        n = write(file, content[: left[0]])
        left[0] -= n
        return n

    monkeypatch.setattr(os, "write", full)
    append(path, b"0123456789\n")
    with pytest.raises(OSError, match="No space left"):
        append(path, b"abcdefghij\n")
    assert path.read_bytes() == b"0123456789\n"
    left[0] = 100
    append(path, b"more\n")
    assert path.read_bytes() == b"0123456789\nmore\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"", b""), (b"a\nb", b"a\n"), (b"a\nb\n", b"a\nb\n"), (b"torn", b""), (b"\n", b"\n")],
)
def test_a_torn_last_line_is_cut_off(tmp_path, before, after):
    (tmp_path / "log").write_bytes(before)
    mend(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == after


def test_of_a_long_log_only_the_end_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(log, "LONGEST", 8)
    (tmp_path / "log").write_bytes(b"first line\nsecond\nto")
    mend(tmp_path / "log")
    assert (tmp_path / "log").read_bytes() == b"first line\nsecond\n"
    mend(tmp_path / "nothing")


def test_a_folder_in_a_logs_place_is_warned_of_once(tmp_path, capsys):
    (tmp_path / "samples.txt").mkdir()
    written = Log(tmp_path, io.StringIO())
    for step in (1, 2):
        written.sample(step, "text")
    said = "not written: Is a directory; the run goes on without these lines"
    assert capsys.readouterr().err == f"minigpt: {tmp_path / 'samples.txt'}: {said}\n"


class Terminal(io.StringIO):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def write(self, text):
        raise self.error


@pytest.mark.parametrize("error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), OSError(errno.EIO, "gone")])
def test_a_terminal_that_has_gone_is_told_of_once_and_files_go_on(tmp_path, error):
    told = []
    written = Log(tmp_path, Terminal(error), lambda: told.append(1))
    for step in (1, 2):
        written.sample(step, "text")
    assert told == [1]
    assert written.gone
    assert (tmp_path / "samples.txt").read_text() == "step 1: 'text'\nstep 2: 'text'\n"


def test_a_terminal_that_has_no_letter_for_it_has_not_gone(tmp_path):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    written = Log(tmp_path, screen, pytest.fail)
    written.sample(1, "caf\xe9")
    assert not written.gone
    assert screen.buffer.getvalue() == b"--- sample at step 1: 'caf\\xe9'\n"
    assert (tmp_path / "samples.txt").read_text(encoding="utf-8") == "step 1: 'caf\xe9'\n"


def test_standard_output_is_made_ready_for_any_text(tmp_path, monkeypatch):
    screen = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr("sys.stdout", screen)
    Log(tmp_path, None, pytest.fail).say("caf\xe9")
    assert screen.errors == "backslashreplace"
    assert screen.buffer.getvalue() == b"caf\\xe9\n"


def test_what_is_not_finite_is_json_all_the_same(tmp_path):
    report = SimpleNamespace(loss=math.nan, norm=math.inf, lr=0.1)
    Log(tmp_path, io.StringIO()).step(1, 2, report, 1.0, 0.0, 32, 0.5, 1.0)

    def no_json(word):
        raise AssertionError(word)

    numbers = json.loads((tmp_path / "metrics.jsonl").read_text(), parse_constant=no_json)
    assert (numbers["loss"], numbers["norm"], numbers["lr"]) == ("nan", "inf", 0.1)


def test_a_terminal_on_a_full_disk_has_not_gone(tmp_path, capsys):
    written = Log(tmp_path, Terminal(OSError(errno.ENOSPC, "No space left on device")), pytest.fail)
    for _ in range(2):
        written.say("text")
    assert not written.gone
    assert capsys.readouterr().err.count("standard output: not written: No space left on device") == 1
