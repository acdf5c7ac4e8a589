"""`minigpt train` on many ranks: the same run on any number of them; none waits for one that is gone."""

import json
import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from minigpt.comm import World
from minigpt.options import Recipe
from minigpt.run import run
from minigpt.shelf import checkpoints
from tests.ranks.mpiexec import MPIEXEC, processes_of, rank_of, started
from tests.ranks.runs import command, flags, signalled
from tests.support.tiny_runs import go, recipe


def ranks_run(size, asked, **options):
    """A run on so many ranks, to its end: exit code, output, errors."""
    process = started(size, *command(asked), **options)
    out, err = process.communicate(timeout=200)
    return process.returncode, out, err


def lines(folder):
    """metrics.jsonl and layers.jsonl, later lines over earlier ones, without times."""
    found = {}
    for line in (folder / "layers.jsonl").read_text().splitlines():
        noted = json.loads(line)
        for part, lengths in noted["layers"].items():
            found |= {(noted["step"], part, i): length for i, length in enumerate(lengths)}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        numbers = json.loads(line)
        for name in ("loss", "norm", "val_loss"):
            if name in numbers:
                found[numbers["step"], name] = numbers[name]
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """What one process writes."""
    folder = tmp_path_factory.mktemp("alone")
    assert run(Recipe(**flags(folder, "run")), open(os.devnull, "w")) == 0
    return lines(folder / "run")


def test_a_run_goes_on_with_other_numbers_of_ranks(tmp_path, alone):
    """4 ranks, then 2 with ZeRO-1, then 3: each goes on where the one before was stopped."""
    for size, zero, steps in ((4, 0, 4), (2, 1, 8), (3, 0, 12)):
        asked = flags(tmp_path, "run", zero=zero)
        process = started(size, *command(asked), bufsize=1)
        for line in process.stdout:
            if line.startswith(f"step {steps:>2}/12 | loss") and steps < 12:
                one = next(pid for pid in processes_of(str(tmp_path)) if rank_of(pid) == size - 1)
                os.kill(one, signal.SIGTERM)
                break
        _, err = process.communicate(timeout=120)
        assert err == ""
        assert process.returncode == (0 if steps == 12 else 75)
    found = lines(tmp_path / "run")
    assert found.keys() == alone.keys()
    assert found == pytest.approx(alone, rel=1e-12)


def test_ranks_starts_mpiexec_itself_and_one_tells_for_all(tmp_path, alone):
    asked = flags(tmp_path, "run", ranks=2, zero=1)
    process = started(1, *command(asked), command=[sys.executable])
    out, err = process.communicate(timeout=200)
    assert (process.returncode, err) == (0, "")
    assert out.count("step  1/12 |") == 1
    assert "ranks: 2, each with a share of the moments" in out
    assert lines(tmp_path / "run") == pytest.approx(alone, rel=1e-12)


def test_a_terminal_that_goes_lets_the_ranks_it_started_save(tmp_path):
    asked = flags(tmp_path, "run", steps=100_000, dtype="float32", ranks=2)
    process = started(1, *command(asked), command=[sys.executable], bufsize=1, start_new_session=True)
    for line in process.stdout:
        if line.startswith("step") and "loss" in line:
            break
    os.killpg(process.pid, signal.SIGHUP)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 75
    assert "stopped by a signal, saved: " in out
    assert checkpoints(tmp_path / "run")


def test_ranks_end_when_the_command_that_started_them_is_killed(tmp_path):
    asked = flags(tmp_path, "run", steps=100_000, dtype="float32", ranks=2)
    process = started(1, *command(asked), command=[sys.executable], bufsize=1)
    for line in process.stdout:
        if line.startswith("step") and "loss" in line:
            break
    process.kill()
    _, err = process.communicate(timeout=60)  # to the end of its output, which the ranks hold
    assert f"train --ranks (process {process.pid}), which started the ranks, was killed; every rank" in err
    assert processes_of(str(tmp_path)) == []


def test_a_rank_says_what_it_does_between_steps(tmp_path, monkeypatch):
    said = []
    monkeypatch.setattr(World, "doing", lambda world, what: said.append(what))
    monkeypatch.setattr(World, "at", lambda world, step: said.append(step))
    asked = recipe(tmp_path, steps=2, sample_every=1, eval_every=1, checkpoint_every=1)
    assert go(asked) == 0
    assert said == [
        "sampling", 1, "sampling", "validating", "saving", 2, "sampling", "saving", "validating",
    ]  # fmt: skip


@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_frozen_while_it_starts_ends_the_others(tmp_path, rank):
    program = f"""
import os, signal, sys
if os.environ["PMI_RANK"] == "{rank}":
    os.kill(os.getpid(), signal.SIGSTOP)
from minigpt.__main__ import main
sys.exit(main())
"""
    asked = command(flags(tmp_path, "run"))[2:]
    process = started(2, "-c", program, *asked, env={"MINIGPT_GATHERING": "4"})
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert f"rank {1 - rank} (process " in err
    assert "has waited 4 s for all 2 ranks to start" in err
    assert processes_of(str(tmp_path)) == []


def test_a_rank_that_freezes_in_its_start_is_named(tmp_path):
    program = """
import os, signal, sys
from minigpt.ranks import worlds
def freeze(place):
    if place.rank:
        os.kill(os.getpid(), signal.SIGSTOP)
    return told(place)
told, worlds.told_by_mpi = worlds.told_by_mpi, freeze
from minigpt.__main__ import main
sys.exit(main())
"""
    asked = command(flags(tmp_path, "run"))[2:]
    process = started(2, "-c", program, *asked, env={"MINIGPT_GATHERING": "4"})
    _, err = process.communicate(timeout=60)
    assert process.returncode != 0
    assert re.search(r"minigpt: rank 1 \(process \d+\) is frozen while it starts; it ends now", err)
    assert processes_of(str(tmp_path)) == []


def test_a_board_that_is_missing_on_rank_0_is_everybodys_error(tmp_path):
    program = """
import sys
from minigpt import run
from minigpt.errors import ConfigError
def missing(*_):
    raise ConfigError("wandb: not installed")
run.opened_log = missing
from minigpt.__main__ import main
sys.exit(main())
"""
    process = started(2, "-c", program, *command(flags(tmp_path, "run"))[2:])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (2, "", "minigpt: wandb: not installed\n")


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_before_the_first_step_ends_all_ranks_with_75(tmp_path, rank):
    program = f"""
import os, signal, sys
from minigpt import training
def read_corpus(*arguments):
    if os.environ["PMI_RANK"] == "{rank}":
        os.kill(os.getpid(), signal.SIGTERM)
    return read(*arguments)
read, training.read_corpus = training.read_corpus, read_corpus
from minigpt.__main__ import main
sys.exit(main())
"""
    process = started(2, "-c", program, *command(flags(tmp_path, "run"))[2:])
    out, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (75, "")
    assert out == "stopped by a signal; there was nothing to save: the same command does the rest\n"


def test_a_last_save_may_take_longer_than_ranks_wait_for_each_other(tmp_path):
    program = """
import sys, time
from minigpt import checkpoint
write = checkpoint.write
checkpoint.write = lambda *arguments: time.sleep(5) or write(*arguments)
from minigpt.__main__ import main
sys.exit(main())
"""
    asked = command(flags(tmp_path, "run", steps=2, checkpoint_every=1, eval_every=0, zero=1))[2:]
    process = started(2, "-c", program, *asked, env={"MINIGPT_DEADLINE": "3"})
    out, err = process.communicate(timeout=90)
    assert (process.returncode, err) == (0, "")
    assert [path.name for path in checkpoints(tmp_path / "run")] == ["step_00000001", "step_00000002"]
    assert "weights in" in out


@pytest.mark.parametrize("value", ["", "soon", "nan", "-1", "0", "inf"])
def test_a_wrong_time_in_the_environment_is_one_line(tmp_path, value):
    process = started(1, *command(flags(tmp_path, "run")), command=[sys.executable],
                      env={"MINIGPT_PATIENCE": value})  # fmt: skip
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert err == f"minigpt: MINIGPT_PATIENCE must be a number of seconds above 0: found {value!r}\n"


@pytest.mark.parametrize(
    ("size", "changes", "expected"),
    [
        (5, {}, "a step of 24 windows in batches of 2 cannot be dealt to 5 equally"),
        (2, {"ranks": 3}, "ranks is 3, but 2 have been started: leave it out"),
        (2, {"data": "/no/such/text"}, "/no/such/text"),
        (2, {"resume": "/no/such/run"}, "resume: /no/such/run is no checkpoint"),
    ],
)
def test_what_cannot_be_is_refused_by_one_line_for_all(tmp_path, size, changes, expected):
    code, _, err = ranks_run(size, flags(tmp_path, "run") | changes)
    assert code == 2
    assert expected in err
    assert len([line for line in err.splitlines() if line.startswith("minigpt:")]) == 1


@pytest.mark.parametrize(
    ("name", "value"),
    [("zero", 1), ("eval_every", 0), ("resume", "never"), ("data", "other")],
)
def test_ranks_that_were_asked_for_different_things_are_refused_by_one_line(tmp_path, name, value):
    asked = flags(tmp_path, "run")
    if name == "data":
        value = tmp_path / "other.txt"
        value.write_text((tmp_path / "text.txt").read_text()[:-1] + "!")
    asks = asked, asked | {name: value}
    words = [["-n", "1", sys.executable, *command(one)] for one in asks]
    process = started(2, command=[MPIEXEC, *words[0], ":", *words[1]])
    _, err = process.communicate(timeout=60)
    (line,) = [line for line in err.splitlines() if line.startswith("minigpt:")]
    assert f"ranks 0 and 1 differ in {'held-out tokens' if name == 'data' else name}" in line
    assert process.returncode == 2
    assert not checkpoints(tmp_path / "run")


def test_torchrun_on_cores_is_told_what_to_do(tmp_path):
    launched = {"RANK": "0", "WORLD_SIZE": "2", "LOCAL_RANK": "0", "MASTER_ADDR": "127.0.0.1"}
    process = started(1, *command(flags(tmp_path, "run")), command=[sys.executable], env=launched)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 2
    assert "torchrun starts ranks for GPUs" in err
    assert "--ranks 2" in err


@pytest.mark.parametrize(
    ("number", "said"), [(signal.SIGKILL, "was killed or has crashed"), (signal.SIGSTOP, "is frozen")]
)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_rank_that_is_killed_or_frozen_ends_the_others_and_is_named(tmp_path, number, said, rank):
    found = signalled(tmp_path, 3, number, rank, random.Random(rank).uniform(0, 0.3))
    assert found.code != 0
    assert f"rank {rank} (process {found.process} on" in found.err
    assert said in found.err
    assert " step " in found.err.split(said)[1]
    assert found.seconds < 30
    assert processes_of(str(tmp_path)) == []


def test_ranks_whose_witness_is_frozen_end(tmp_path):
    asked = flags(tmp_path, "run", steps=100_000, dtype="float32")
    process = started(2, *command(asked), bufsize=1, env={"MINIGPT_PATIENCE": "2"}, stderr=subprocess.DEVNULL)
    for line in process.stdout:
        if line.startswith("step") and "loss" in line:
            break
    (rank,) = (pid for pid in processes_of(str(tmp_path)) if rank_of(pid) == 0)
    (witness,) = (
        pid
        for pid in processes_of("minigpt.ranks.witness")
        if rank_of(pid) == 0
        and Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1] == str(rank)
    )
    os.kill(witness, signal.SIGSTOP)
    process.communicate(timeout=60)
    assert process.returncode == 1
    assert witness not in processes_of("minigpt.ranks.witness")
    assert processes_of(str(tmp_path)) == []
