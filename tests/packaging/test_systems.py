"""Commands in real processes that seem to run on macOS and on Windows: see another_system.py."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minigpt import Tokenizer, load_weights

HERE = Path(__file__).parents[2]
SYSTEMS = ("macos", "windows")
SMALL = """--n-layer 1 --n-head 2 --n-embd 8 --n-vocab 300 --context 8 --batch-size 2 --tokens-per-step 16
    --steps 400 --warmup 0 --sample-every 100 --checkpoint-every 100 --threads 1""".split()
SAMPLE = ["--prompt", "The", "--max-new-tokens", "9", "--json", "--threads", "1"]
SHARDS = ["--name", "x", "--shard-tokens", "500", "--workers", "2"]

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="other systems are played on Linux only")


def started(system, *words):
    environment = {**os.environ, "PYTHONPATH": str(HERE), "PYTHONWARNDEFAULTENCODING": "1"}
    command = [sys.executable, "-m", "tests.packaging.another_system" if system else "minigpt"]
    command += [*([system] if system else []), *map(str, words)]
    return subprocess.Popen(
        command, cwd=HERE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def run(system, *words, code=0):
    """What a command says."""
    process = started(system, *words)
    said, remarks = process.communicate()
    assert process.returncode == code, said + remarks
    return said + remarks


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    path = tmp_path_factory.mktemp("text") / "text.txt"
    path.write_bytes(b"The people of the old road, and the law.\r\nThe union of the last song.\n" * 40)
    return path


@pytest.fixture(scope="module")
def on_linux(text, tmp_path_factory):
    """The run that the others are held against."""
    out = tmp_path_factory.mktemp("linux") / "run"
    run(None, "train", "--data", text, "--out", out, *SMALL)
    return out


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_file_can_be_imported(system):
    run(system, "modules")


@pytest.mark.parametrize("system", SYSTEMS)
def test_a_run_that_is_stopped_and_resumed_ends_as_on_linux(system, text, on_linux, tmp_path):
    out = tmp_path / "run"
    command = ["train", "--data", text, "--out", out, *SMALL]
    process = started(system, *command)
    seen = next(line for line in process.stdout if line.startswith("step   2/"))
    beside = run(system, *command, code=2)
    assert "another minigpt train is writing here" in beside
    process.send_signal(signal.SIGTERM)
    rest, remarks = process.communicate()
    assert process.returncode == 75, seen + rest + remarks
    assert not (out / "step_00000400").exists()
    run(system, *command)
    _, ours = load_weights(out / "step_00000400")
    _, theirs = load_weights(on_linux / "step_00000400")
    assert ours.buffer.tobytes() == theirs.buffer.tobytes()
    assert (out / "samples.txt").read_bytes() == (on_linux / "samples.txt").read_bytes()
    assert (system == "macos") == ("F_FULLFSYNC" in remarks)


@pytest.mark.parametrize("system", SYSTEMS)
def test_what_is_written_and_read_is_the_same_as_on_linux(system, text, on_linux, tmp_path):
    weights = on_linux / "step_00000400"
    for format in ("safetensors", "llmc", "npz"):
        run(system, "convert", weights, tmp_path / format, "--format", format)
        run(None, "convert", weights, tmp_path / f"{format}-here", "--format", format)
        _, ours = load_weights(tmp_path / format)
        _, theirs = load_weights(tmp_path / f"{format}-here")
        assert ours.buffer.tobytes() == theirs.buffer.tobytes()
    run(system, "tokenize", "train", text, "--n-vocab", "300", "--out", tmp_path / "merges.txt")
    assert Tokenizer.load(tmp_path / "merges.txt").tokens == Tokenizer.load(weights).tokens
    sample = ["sample", "--weights", weights, *SAMPLE]
    ours, theirs = (json.loads(run(place, *sample).splitlines()[0]) for place in (system, None))
    assert ours == theirs


@pytest.mark.parametrize("system", SYSTEMS)
def test_shards_are_the_same_as_on_linux(system, text, on_linux, tmp_path):
    more = tmp_path / "more.txt"
    more.write_bytes(text.read_bytes())
    data = ["data", text, more, "--tokenizer", on_linux / "step_00000400", *SHARDS]
    contents = []
    for place in (system, None):
        folder = tmp_path / (place or "linux")
        run(place, *data, "--out", folder)
        contents.append({path.name: path.read_bytes() for path in folder.glob("*.bin")})
    assert len(contents[0]) > 2
    assert contents[0] == contents[1]


def test_several_ranks_are_refused_on_windows(text, tmp_path):
    said = run("windows", "train", "--data", text, "--out", tmp_path / "run", *SMALL, "--ranks", "2", code=2)
    assert "ranks: expected Linux or macOS, found Windows" in said
    assert not (tmp_path / "run").exists()
