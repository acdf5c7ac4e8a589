"""Killed at any moment and run again, the output is byte for byte that of a run which nobody disturbed."""

import builtins
import contextlib
import errno
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from minigpt import disk
from minigpt.errors import DataError
from minigpt.prepare import journal, output
from tests.prepare.support import SPEECHES, command, contents, manifest_of, run, small, write_jsonl

CALLS = ("write", "pwrite", "fsync", "replace", "ftruncate", "unlink", "mkdir")
DIED = 77


class Fate:
    """Ends this process at call number `last` of those that change the disk; None: never, but counts.

    Of a write, half is done. What no fsync has reached is lost as in a power cut: bytes of the unfinished
    shard become zeros.
    """

    def __init__(self, folder, last):
        self.folder, self.last, self.count, self.durable = Path(folder), last, 0, 0
        self.real = {name: getattr(os, name) for name in CALLS}
        for name in CALLS:
            setattr(os, name, self.wrapped(name))
        disk.open = self.open

    def step(self, before_death=lambda: None):
        self.count += 1
        if self.count == self.last:
            before_death()
            self.cut_power()
            os._exit(DIED)

    def wrapped(self, name):
        def call(*arguments, **named):
            def half():
                if name in ("write", "pwrite"):
                    file, content, *place = arguments
                    self.real[name](file, bytes(content)[: len(content) // 2], *place)

            self.step(half)
            result = self.real[name](*arguments, **named)
            if name == "fsync" and os.readlink(f"/proc/self/fd/{arguments[0]}").endswith("unfinished.bin"):
                self.durable = os.fstat(arguments[0]).st_size
            return result

        return call

    def open(self, path, mode="r", **named):
        file = builtins.open(path, mode, **named)
        if "w" not in mode:
            return file
        fate, write = self, file.write

        class Torn:
            def write(self, content):
                fate.step(lambda: (write(content[: len(content) // 2]), file.flush()))
                return write(content)

            def __getattr__(self, name):
                return getattr(file, name)

            def __enter__(self):
                return self

            def __exit__(self, *_):
                file.close()

        return Torn()

    def cut_power(self):
        path = self.folder / "unfinished.bin"
        if path.exists() and path.stat().st_size > self.durable:
            size = path.stat().st_size
            os.truncate(path, self.durable)
            os.truncate(path, size)


def in_a_fork(folder, last, action):
    """(exit status, calls made) of an action in a child process with such a Fate."""
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        try:
            fate = Fate(folder, last)
            action()
            fate.real["write"](writer, str(fate.count).encode())
            os._exit(0)
        finally:
            os._exit(1)
    os.close(writer)
    with builtins.open(reader, "rb") as pipe:
        count = pipe.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), int(count or 0)


def dies_everywhere(monkeypatch, tmp_path, name, action, prepare=lambda out: None):
    """Run an action to each of its calls, and again; compare. action(out) writes an output."""
    monkeypatch.setattr(output, "EVERY", -1)  # a journal after each unit
    prepare(tmp_path / name / "whole")
    action(tmp_path / name / "whole")
    expected = contents(tmp_path / name / "whole")
    prepare(tmp_path / name / "counted")
    counted = tmp_path / name / "counted"
    code, calls = in_a_fork(counted, None, lambda: action(counted))
    assert code == 0
    assert contents(counted) == expected
    for last in range(1, calls + 1):
        out = tmp_path / name / str(last)
        prepare(out)
        assert in_a_fork(out, last, lambda out=out: action(out))[0] == DIED
        assert action(out) == 0
        assert contents(out) == expected, f"died at call {last} of {calls}"
    return calls


@pytest.fixture(autouse=True)
def no_waiting_for_the_disk(monkeypatch):
    """What fsync is good for, Fate plays; a process that dies, and not the machine, loses nothing anyway."""
    monkeypatch.setattr(os, "fsync", lambda file: None)


@pytest.fixture
def inputs(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [f"document {i}, and a little more" for i in range(4)])
    (tmp_path / "b.txt").write_text(SPEECHES[0][:150])
    return [tmp_path / "a.jsonl", tmp_path / "b.txt"]


@pytest.mark.parametrize("shard_tokens", [60, 10_000])
def test_death_at_every_call_of_a_run(tmp_path, inputs, monkeypatch, shard_tokens):
    def action(out):
        return run(inputs, out, 150, shard_tokens=shard_tokens)

    assert dies_everywhere(monkeypatch, tmp_path, "run", action) > 40
    shards = manifest_of(tmp_path / "run" / "whole")["shards"]
    assert len(shards) == 2 if shard_tokens == 10_000 else len(shards) >= 3


def test_death_at_every_call_of_a_part_and_of_a_join(tmp_path, inputs, monkeypatch):
    def part(out):
        return run(inputs, out, 150, shard_tokens=60, part="1/2")

    def parts(out):
        shutil.copytree(tmp_path / "part" / "whole", out)
        shutil.copytree(tmp_path / "second" / "part-2-of-2", out / "part-2-of-2")

    def join(out):
        return run([], out, join=True, name=None)

    assert dies_everywhere(monkeypatch, tmp_path, "part", part) > 20
    run(inputs, tmp_path / "second", shard_tokens=60, part="2/2")
    assert dies_everywhere(monkeypatch, tmp_path, "join", join, parts) > 20
    run(inputs, tmp_path / "one", shard_tokens=60)
    whole = contents(tmp_path / "join" / "whole")
    assert {name: whole[name] for name in whole if "/" not in name} == contents(tmp_path / "one")


def test_death_again_and_again(tmp_path, inputs, monkeypatch):
    """Each run gets a few calls further than the one before it, if at all."""
    monkeypatch.setattr(output, "EVERY", -1)
    run(inputs, tmp_path / "whole", 100, shard_tokens=60)
    chance, deaths, code = random.Random(0), 0, DIED
    while code == DIED:
        last = chance.randint(8, 25)
        code, _ = in_a_fork(
            tmp_path / "out", last, lambda: run(inputs, tmp_path / "out", 100, shard_tokens=60)
        )
        deaths += code == DIED
    assert code == 0
    assert deaths > 3
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_units_may_be_cut_otherwise_after_a_death(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(output, "EVERY", -1)
    run(inputs, tmp_path / "whole", shard_tokens=25)
    for last in range(20, 90, 7):
        out = tmp_path / str(last)
        assert in_a_fork(out, last, lambda out=out: run(inputs, out, 150, shard_tokens=25))[0] == DIED
        run(inputs, out, 13, shard_tokens=25)
        assert contents(out) == contents(tmp_path / "whole")


@pytest.mark.parametrize("room", [0, 100, 1500, 3000, 8_000])
def test_a_full_disk_is_said_and_can_be_gone_on_from(tmp_path, inputs, monkeypatch, capsys, room):
    left = [room]

    def take(n):
        left[0] -= n
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    class Small:
        def __init__(self, file):
            self.file = file

        def write(self, content):
            take(len(content))
            return self.file.write(content)

        def __getattr__(self, name):
            return getattr(self.file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            self.file.close()

    run(inputs, tmp_path / "whole", 100, shard_tokens=60)
    capsys.readouterr()
    with monkeypatch.context() as patch:
        write = os.write
        patch.setattr(output, "EVERY", -1)
        patch.setattr(os, "write", lambda file, content: take(len(content)) or write(file, content))
        patch.setattr(disk, "open", lambda *a, **k: Small(builtins.open(*a, **k)), raising=False)
        assert run(inputs, tmp_path / "out", 100, shard_tokens=60) == 1
    err = capsys.readouterr().err
    said = "the disk is full; make room, then the same command goes on from there"
    assert err == f"minigpt: {tmp_path / 'out'}: {said}\n"
    assert run(inputs, tmp_path / "out", 100, shard_tokens=60) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_limit_to_the_size_of_files_is_said_and_can_be_gone_on_from(tmp_path, inputs):
    run(inputs, tmp_path / "whole", 100)
    words = command(*inputs, "--out", tmp_path / "out", "--tokenizer", small()[1], "--name", "x", unit=100)
    limited = ["prlimit", "--fsize=1100", *words, "--workers", "1"]
    if shutil.which("prlimit") is None:
        pytest.skip("needs prlimit")
    done = subprocess.run(limited, capture_output=True, text=True, timeout=300)
    said = "a file has reached the largest size allowed here; raise `ulimit -f`, then the same command"
    assert done.stderr == f"minigpt: {tmp_path / 'out'}: {said} goes on from there\n"
    assert done.returncode == 1
    assert run(inputs, tmp_path / "out", 100) == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *[(key, value) for key in ("file", "offset", "skip") for value in (-1, 10**9, "1", None, [])],
        ("done", True),
        ("shards", [5]),
        ("unfinished", 0),
        ("documents", -1),
    ],
)
def test_a_damaged_journal_is_never_gone_on_from(tmp_path, inputs, monkeypatch, key, value):
    monkeypatch.setattr(output, "EVERY", -1)
    assert in_a_fork(tmp_path / "out", 20, lambda: run(inputs, tmp_path / "out", 100))[0] == DIED
    path = tmp_path / "out" / "journal.json"
    damaged = json.loads(path.read_text())
    assert damaged["state"][key] != value
    damaged["state"][key] = value
    path.write_text(json.dumps(damaged))
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match=r"journal\.json: damaged: .* make it anew"):
        run(inputs, tmp_path / "out", 100)
    assert contents(tmp_path / "out") == before


def test_a_journal_that_is_ahead_of_the_tokens_is_noticed(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(output, "EVERY", -1)
    assert in_a_fork(tmp_path / "out", 20, lambda: run(inputs, tmp_path / "out", 100))[0] == DIED
    assert json.loads((tmp_path / "out" / "journal.json").read_text())["state"]["unfinished"] > 10
    os.truncate(tmp_path / "out" / "unfinished.bin", 1030)
    with pytest.raises(DataError, match=r"unfinished.bin: expected at least .* found 1,030; it was cut off"):
        run(inputs, tmp_path / "out", 100)


def test_settings_are_held_to_after_a_death(tmp_path, inputs, monkeypatch):
    monkeypatch.setattr(output, "EVERY", -1)
    assert in_a_fork(tmp_path / "out", 20, lambda: run(inputs, tmp_path / "out", 100))[0] == DIED
    before = contents(tmp_path / "out")
    with pytest.raises(DataError, match="shard_tokens was 100000000, now 50") as refused:
        run(inputs[:1], tmp_path / "out", 100, shard_tokens=50)
    assert "b.txt was among the inputs, now it is not" in str(refused.value)
    assert contents(tmp_path / "out") == before


# ---- real processes --------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """(flags, folder of the whole output): a second or two of work."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "a.txt").write_text("\n\n".join(SPEECHES) * 30, newline="")
    write_jsonl(folder / "b.jsonl", SPEECHES * 30)
    inputs = [folder / "a.txt", folder / "b.jsonl"]
    run(inputs, folder / "whole", 2**18, shard_tokens=300_000)
    flags = [*inputs, "--tokenizer", small()[1], "--shard-tokens", 300_000, "--name", "x"]
    return flags, folder / "whole"


PROCESSES = []


@pytest.fixture(autouse=True)
def no_process_is_left():
    """After a test that fails, too."""
    yield
    while PROCESSES:
        PROCESSES.pop().kill()


def start(flags, out, workers=2):
    return begin(command(*flags, "--out", out, "--workers", workers, unit=2**17))


def begin(words):
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    PROCESSES.append(subprocess.Popen(words, text=True, **pipes))
    return PROCESSES[-1]


def tokens_written(out):
    return sum(path.stat().st_size for path in Path(out).glob("*.bin")) if Path(out).exists() else 0


def wait_until(condition, process=None):
    """Until it holds, or a process has ended."""
    end = time.monotonic() + 120
    while not condition() and (process is None or process.poll() is None):
        assert time.monotonic() < end
        time.sleep(0.005)


def children_of(pid):
    """The processes below one, as (id, command line)."""
    found = []
    with contextlib.suppress(OSError):  # it may end at any moment
        for task in Path(f"/proc/{pid}/task").glob("*/children"):
            for child in map(int, task.read_text().split()):
                words = Path(f"/proc/{child}/cmdline").read_bytes().split(b"\0")
                found += [(child, b" ".join(words).decode()), *children_of(child)]
    return found


def is_running(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_kill_9_at_random_moments_leaves_no_orphans_and_changes_no_byte(tmp_path, corpus):
    flags, whole = corpus
    chance, kills, done = random.Random(1), 0, False
    while not done:
        process, goal = start(flags, tmp_path / "out"), tokens_written(tmp_path / "out")
        goal += chance.randint(200_000, 1_500_000)
        wait_until(lambda goal=goal: tokens_written(tmp_path / "out") > goal, process)
        time.sleep(chance.random() / 20)
        children = children_of(process.pid) if process.poll() is None else []
        process.kill()
        process.communicate()
        done = process.returncode == 0
        kills += not done
        wait_until(lambda children=children: not any(is_running(pid) for pid, _ in children))
        assert done or children
    assert kills > 1
    assert contents(tmp_path / "out") == contents(whole)


STUCK = """
import sys, time
from minigpt.prepare.encode import Recipe, fingerprint, load_tokenizer
from minigpt.prepare.inputs import find_sources
from minigpt.prepare.units import cut_file
from minigpt.prepare.workers import started
source, = find_sources(sys.argv[1:])
with started(Recipe("gpt2", fingerprint(load_tokenizer("gpt2")), "text", "before"), 2) as pipes:
    pipes[0].send(next(cut_file(0, source, "text", unit=2**30)))
    print("begun", flush=True)
    time.sleep(1000)
"""


def test_a_worker_in_the_midst_of_a_unit_ends_with_its_parent(tmp_path):
    text = tmp_path / "long.txt"  # long white space is left to our own encoder: several seconds of work
    text.write_text(" " * 30_000 + "a" * 8_000_000)
    process = begin([sys.executable, "-c", STUCK, text])
    assert process.stdout.readline() == "begun\n"
    wait_until(lambda: len(workers_of(process)) == 2)  # the second may begin a moment later
    workers = workers_of(process)
    wait_until(lambda: max(map(cpu_seconds, workers)) > 2)
    process.kill()
    process.communicate()
    wait_until(lambda: not any(map(is_running, workers)))


def workers_of(process):
    """The processes that work for a minigpt data."""
    return [pid for pid, words in children_of(process.pid) if "spawn_main" in words]


def cpu_seconds(pid):
    """How long a process has worked."""
    words = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_75_and_the_same_command_goes_on(tmp_path, corpus, number):
    flags, whole = corpus
    process = start(flags, tmp_path / "out")
    wait_until(lambda: tokens_written(tmp_path / "out") > 10_000, process)
    for child, _ in children_of(process.pid):
        os.kill(child, number)  # as a terminal or a scheduler does, to all of them
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 75, err
    assert err == f"minigpt: {tmp_path / 'out'}: stopped; the same command goes on from there\n"
    assert out == ""
    written = json.loads((tmp_path / "out" / journal.JOURNAL).read_text())["state"]
    assert written["text_bytes"] > 0
    again = start(flags, tmp_path / "out", workers=1)
    assert again.communicate(timeout=120)[1] == ""
    assert again.returncode == 0
    assert contents(tmp_path / "out") == contents(whole)


def test_a_killed_worker_is_said_and_can_be_gone_on_from(tmp_path, corpus):
    flags, whole = corpus
    process = start(flags, tmp_path / "out")
    wait_until(lambda: tokens_written(tmp_path / "out") > 10_000, process)
    workers = [pid for pid, words in children_of(process.pid) if "spawn_main" in words]
    assert len(workers) == 2
    os.kill(workers[0], signal.SIGKILL)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith(
        "minigpt: a worker process died (killed, or out of memory); the same command goes on"
    )
    assert err.count("\n") == 1
    again = start(flags, tmp_path / "out")
    assert again.communicate(timeout=120)[1] == ""
    assert contents(tmp_path / "out") == contents(whole)


def test_a_second_run_in_the_same_folder_is_refused(tmp_path, corpus):
    flags, whole = corpus
    first = start(flags, tmp_path / "out")
    wait_until(lambda: tokens_written(tmp_path / "out") > 10_000, first)
    first.send_signal(signal.SIGSTOP)
    second = start(flags, tmp_path / "out")
    assert "another minigpt data is writing here" in second.communicate(timeout=120)[1]
    assert second.returncode == 2
    first.send_signal(signal.SIGCONT)
    first.communicate(timeout=120)
    assert contents(tmp_path / "out") == contents(whole)
