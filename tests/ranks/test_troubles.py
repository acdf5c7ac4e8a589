"""One rank's trouble is everybody's: rejected on all, refused by all, ended for all."""

import json
import time

import pytest

from tests.ranks.mpiexec import processes_of, started


def outcome(size, *arguments, **options):
    """Exit code, output and errors of tests.ranks.troubles."""
    process = started(size, "-m", "tests.ranks.troubles", *map(str, arguments), **options)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def test_a_gradient_that_is_no_number_on_one_rank_is_rejected_on_all():
    code, out, err = outcome(3, "nan", 1, 1)
    assert (code, err) == (0, "")
    for verdicts, window in json.loads(out):
        # [accepted, nothing has changed]
        assert verdicts == [[True, False], [False, True], [True, False]]
        assert window == 2


def test_a_bit_that_flips_on_one_rank_is_found_and_named():
    code, _, err = outcome(3, "bit", 2, 1)
    assert code == 1
    assert "step 2: h.1.mlp.c_fc.bias of rank 2 is not rank 0's any more" in err
    assert err.count("not rank 0's") == 1, "one rank tells for all"


@pytest.mark.parametrize("rank", [0, 1])
def test_an_error_that_nobody_expects_ends_all_ranks(rank, tmp_path):
    start = time.monotonic()
    code, _, err = outcome(2, "error", rank, 1, tmp_path)
    assert code != 0
    assert f"rank {rank} (process" in err
    assert "RuntimeError: cosmic rays" in err
    assert time.monotonic() - start < 60
    assert processes_of(str(tmp_path)) == []


def test_ranks_that_were_told_different_things_are_refused():
    code, _, err = outcome(2, "settings", 1, 0)
    assert code == 2
    assert "ranks 0 and 1 differ in lr: 0.002 and 0.001: give all ranks the same" in err
    assert "seed" not in err


def test_what_one_rank_cannot_do_none_begins():
    code, _, err = outcome(3, "refused", 2, 0)
    assert code == 2
    assert "rank 2: no such shard" in err


def test_a_file_that_one_rank_cannot_open_is_everybodys_error():
    code, _, err = outcome(2, "unreadable", 1, 0)
    assert code == 2
    assert "rank 1: [Errno 2] No such file or directory: '/no/such/file'" in err


def test_memory_that_one_rank_lacks_for_a_save_holds_nobody_up():
    code, _, err = outcome(3, "memory", 1, 0)
    assert code == 2
    assert "no memory is left on ranks [1] for the moments of all ranks" in err


def test_a_rank_that_lives_but_does_not_come_to_an_exchange_is_named():
    code, _, err = outcome(2, "hang", 1, 1, env={"MINIGPT_DEADLINE": "3"})
    assert code != 0
    assert "CommError: step 2, all-reduce: not every rank has come within 3 s" in err
    (line,) = [line for line in err.splitlines() if "elsewhere: " in line]
    assert line.split("elsewhere: ")[1].startswith("rank 1 (process ")
    assert ", saving after step 1" in line
