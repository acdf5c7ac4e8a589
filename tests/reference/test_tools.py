"""python -m reference: how it starts, and answers wrong words."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from reference import tools

ROOT = Path(__file__).parents[2]


def start(*words, **options):
    """It, in a process."""
    pipe = subprocess.PIPE
    return subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stdout=pipe, stderr=pipe, text=True, **options
    )


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "Expected one of {check, dump, diff, kit, trace}"),
        (["foo"], "Unrecognized options: foo"),
        (["trace"], "Missing from python -m reference trace: "),
        (["diff"], "Missing from python -m reference diff: "),
        (["check", "--batch", "x"], "--batch: expected a whole number, found 'x'"),
        (
            ["diff", "a", "b", "--dtype", "int8"],
            "--dtype: expected one of fp32, tf32, bf16, fp16, fp64",
        ),
    ],
)
def test_wrong_words_are_one_line(capsys, words, said):
    with pytest.raises(SystemExit) as end:
        tools.main(words)
    out, err = capsys.readouterr()
    assert (end.value.code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"reference: {said}")


def test_help_has_one_sentence_of_each_and_all_of_the_one_asked_for(capsys):
    for words, there in ((["--help"], False), (["diff", "--help"], True)):
        with pytest.raises(SystemExit):
            tools.main(words)
        assert ("Exit code 0: equal within rounding" in capsys.readouterr().out) == there


@pytest.mark.parametrize("words", ["kit --out {}", "--help", "diff --help", "check --random n_layer=1"])
def test_standard_output_that_is_closed_or_full_is_named(words, tmp_path):
    words = words.format(tmp_path / "kit")
    closed = "standard output is closed: there is nowhere to write to"
    full = "standard output: cannot be written to: No space left on device"
    for redirect, said in ((">&-", closed), ("> /dev/full", full)):
        if redirect == "> /dev/full" and not os.path.exists("/dev/full"):
            continue
        command = ["sh", "-c", f'"{sys.executable}" -m reference {words} {redirect}']
        done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("reference")
        assert done.stderr.endswith(f": {said}\n")
        assert done.stderr.count("\n") == 1


def test_without_the_packages_it_says_where_they_are():
    process = start("-S", "-m", "reference")  # -S: without site-packages
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err.count("\n")) == (2, "", 1)
    assert "tyro is not installed" in err
    assert ".venv/bin/python" in err


SLOW = """
import sys, runpy, time

class Slow:
    def find_spec(self, name, path=None, target=None):
        if name == "tyro":
            print("importing", flush=True)
            time.sleep(60)

sys.meta_path.insert(0, Slow())
runpy.run_module("reference", run_name="__main__", alter_sys=True)
"""


def test_ctrl_c_while_it_starts_is_no_traceback():
    process = start("-c", SLOW)
    assert process.stdout.readline() == "importing\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (130, "", "")
    assert time.monotonic() - began < 30
