"""Standard output that is closed, full, left by its reader, or lacks letters; standard error, too."""

import os
import subprocess
import sys

import pytest

CLOSED = b"minigpt: standard output is closed: there is nowhere to write to\n"
FULL = b"minigpt: standard output: cannot be written to: No space left on device\n"
C_LOCALE = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
# every command that can say something without a model
SPEAKING = ["--help", "train --help", "plan", "tokenize show Hello", "tokenize encode Hello",
            "tokenize decode 1 2", "tokenize train text.txt --n-vocab 258 --out new", "inspect shard.bin",
            "inspect text.txt", "data text.txt --out new", "convert weights.npz new --format npz",
            "plot run --out new.png", "report run --out new.html"]  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    import numpy as np

    import minigpt

    root = tmp_path_factory.mktemp("screen")
    (root / "text.txt").write_text("To be, or not to be. " * 20)
    (root / "run").mkdir()
    (root / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 5.5, "norm": 1.0, "lr": 0.1}\n')
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=128, n_ctx=8, n_vocab=260)
    minigpt.save_weights(root / "weights.npz", config, minigpt.init_params(config), "npz")
    header = np.zeros(256, "<i4")
    header[:3] = 20240520, 1, 9
    (root / "shard.bin").write_bytes(header.tobytes() + np.arange(9, dtype="<u2").tobytes())
    return root


def sh(folder, words, redirect="", **environment):
    """Run it by a shell: exit code, standard output, standard error."""
    subprocess.run(["rm", "-rf", "new", "new.png", "new.html"], cwd=folder, check=True)
    command = f'"{sys.executable}" -m minigpt {words} {redirect}'
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "COLUMNS": "80"} | environment
    done = subprocess.run(
        ["sh", "-c", command], capture_output=True, cwd=folder, env=env, timeout=60, check=False
    )
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("words", SPEAKING)
def test_a_closed_standard_output_is_one_line(folder, words):
    assert sh(folder, words, ">&-") == (2, b"", CLOSED)
    assert "--help" in words or not (folder / "new").exists()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", SPEAKING)
def test_a_full_standard_output_is_named(folder, words, unbuffered):
    assert sh(folder, words, "> /dev/full", PYTHONUNBUFFERED=unbuffered) == (2, b"", FULL)


@pytest.mark.parametrize("words", SPEAKING)
def test_a_reader_that_has_gone_ends_it_quietly(folder, words):
    reader, writer = os.pipe()
    os.close(reader)
    command = [sys.executable, "-m", "minigpt", *words.split()]
    subprocess.run(["rm", "-rf", "new", "new.png", "new.html"], cwd=folder, check=True)
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONUNBUFFERED": ""}
    with os.fdopen(writer, "wb") as gone:
        done = subprocess.run(
            command, stdout=gone, stderr=subprocess.PIPE, cwd=folder, env=env, timeout=60, check=False
        )
    assert (done.returncode, done.stderr) == (141, b"")


def test_a_closed_standard_error_leaves_standard_output_to_results(folder):
    for words in ("sample --weights nope", "train --steps abc", "data nope --out new", "nonsense"):
        assert sh(folder, words, "2>&-") == (2, b"", b"")


def test_progress_is_left_out_where_standard_error_is_closed(folder):
    code, out, err = sh(folder, "data text.txt --out new", "2>&-")
    assert (code, err, out.count(b"\n")) == (0, b"", 1)


RUN = (
    "train --data text.txt --out new --n-layer 1 --n-head 1 --n-embd 8 --n-vocab 260 --context 8 --steps 2 "
    "--batch-size 2 --tokens-per-step 16 --warmup 0 --sample-every 0 --threads 1"
)


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_run_outlives_a_standard_output_that_fails(folder, unbuffered):
    lost = (
        b"minigpt: standard output: not written: No space left on device; "
        b"the run goes on without these lines\n"
    )
    assert sh(folder, RUN, "> /dev/full", PYTHONUNBUFFERED=unbuffered) == (0, b"", lost)
    assert (folder / "new" / "step_00000002").is_dir()
    assert sh(folder, RUN, ">&-", PYTHONUNBUFFERED=unbuffered) == (0, b"", b"")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_a_full_standard_error_changes_no_exit_code(folder):
    assert sh(folder, "sample --weights nope", "2> /dev/full") == (2, b"", b"")


@pytest.mark.parametrize("encoding", ["ascii", "cp437", "cp1252"])
def test_letters_that_there_are_not_are_escaped(folder, encoding):
    for words in ("--help", "tokenize show 'to be'", "inspect text.txt", "tokenize decode 71 2634"):
        code, out, err = sh(folder, words, PYTHONIOENCODING=encoding)
        assert code == (2 if "inspect" in words else 0)
        assert out
        assert err == b""
    assert b"\\u0120 is a space" in sh(folder, "tokenize show 'to be'", PYTHONIOENCODING=encoding)[1]


def test_words_are_utf8_in_any_locale(folder):
    assert sh(folder, "tokenize encode héllo", **C_LOCALE) == (0, b"71 2634 18798\n", b"")
    code, out, _ = sh(folder, "tokenize show héllo", **C_LOCALE)
    assert code == 0
    assert out.startswith(rb"'h\xe9llo': 5 characters, 6 bytes")
    for environment in (C_LOCALE, {}):
        code, out, err = sh(folder, "tokenize encode $(printf 'h\\377')", **environment)
        assert (code, out) == (2, b"")
        assert err == b"minigpt: text: expected UTF-8, found byte 1 not to be\n"
