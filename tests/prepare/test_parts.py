"""Shares of many machines, and their join: byte for byte what one machine makes."""

import os
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.errors import ConfigError, DataError
from minigpt.prepare.parts import parse_part, share
from tests.prepare.support import (
    SPEECHES,
    contents,
    expected_tokens,
    manifest_of,
    read_output,
    run,
    write_jsonl,
    write_parquet,
)


@pytest.fixture
def inputs(tmp_path):
    """Files of all formats."""
    for i in range(5):
        (tmp_path / f"{i}.txt").write_text(SPEECHES[0][500 * i : 600 * (i + 1)], newline="")
    write_jsonl(tmp_path / "a.jsonl", ["line", "another"])
    write_parquet(tmp_path / "b.parquet", ["row", None, "last row"])
    return [tmp_path / "*.txt", tmp_path / "a.jsonl", tmp_path / "b.parquet"]


def make_parts(inputs, out, n, **flags):
    for i in range(1, n + 1):
        assert run(inputs, out, 100, part=f"{i}/{n}", **flags) == 0


def joined(folder):
    """An output without its parts."""
    return {name: content for name, content in contents(folder).items() if not name.startswith("part-")}


# ---- join ------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 9])
@pytest.mark.parametrize("shard_tokens", [50, 100_000])
def test_parts_joined_are_what_one_machine_makes(tmp_path, inputs, n, shard_tokens):
    run(inputs, tmp_path / "one", shard_tokens=shard_tokens)
    make_parts(inputs, tmp_path / "many", n, shard_tokens=shard_tokens)
    assert run([], tmp_path / "many", join=True, name=None) == 0
    assert joined(tmp_path / "many") == contents(tmp_path / "one")
    assert len(read_output(tmp_path / "one")[1]) > 500


def test_a_part_is_a_stretch_of_the_whole(tmp_path, inputs):
    make_parts(inputs, tmp_path / "out", 3, shard_tokens=50)
    found, documents = [], 0
    for i in (1, 2, 3):
        names, tokens = read_output(tmp_path / "out" / f"part-{i}-of-3")
        found += tokens
        content = manifest_of(tmp_path / "out" / f"part-{i}-of-3")
        documents += content["documents"]
        assert content["part"] == [i, 3]
        assert content["name"] == "x"
        assert len(content["inputs"]) == 7
        assert {name[:7] for name in names} == {"tokens_"}
        assert len(tokens) > 50
    texts = [SPEECHES[0][500 * i : 600 * (i + 1)] for i in range(5)]
    assert found == expected_tokens([*texts, "line", "another", "row", "last row"])
    assert documents == 9


def test_the_default_name_is_the_folder_s_for_parts_too(tmp_path, inputs):
    run(inputs, tmp_path / "a" / "corpus", name=None)
    make_parts(inputs, tmp_path / "b" / "corpus", 2, name=None)
    run([], tmp_path / "b" / "corpus", join=True, name=None)
    assert joined(tmp_path / "b" / "corpus") == contents(tmp_path / "a" / "corpus")
    assert "corpus_val_000000.bin" in contents(tmp_path / "a" / "corpus")


def test_joined_again_and_after_the_parts_are_gone(tmp_path, inputs, capsys):
    make_parts(inputs, tmp_path / "out", 2)
    run([], tmp_path / "out", join=True)
    before = joined(tmp_path / "out")
    capsys.readouterr()
    assert run([], tmp_path / "out", join=True) == 0
    for i in (1, 2):
        shutil.rmtree(tmp_path / "out" / f"part-{i}-of-2")
    assert run([], tmp_path / "out", join=True) == 0
    assert capsys.readouterr().out.count("finished already") == 2
    assert contents(tmp_path / "out") == before


def refused(out, **flags):
    with pytest.raises((DataError, ConfigError)) as error:
        run([], out, **{"join": True, "name": None} | flags)
    assert not list(out.glob("x_*"))
    return str(error.value)


def test_parts_that_are_not_there(tmp_path, inputs):
    out = tmp_path / "out"
    assert "expected the parts of one division, part-1-of-N to part-N-of-N, found none" in refused(out)
    make_parts(inputs, out, 4)
    shutil.rmtree(out / "part-2-of-4")
    (out / "part-4-of-4" / "manifest.json").unlink()
    assert "found some not to be: missing: 2; not finished: 4 of 4; run the command" in refused(out)
    run(inputs, out, part="1/3")
    assert "found parts of 3 and of 4; remove those that are not meant" in refused(out)


def test_parts_that_are_not_whole(tmp_path, inputs):
    out = tmp_path / "out"
    make_parts(inputs, out, 2, shard_tokens=50)
    path = out / "part-2-of-2" / "tokens_000001.bin"
    whole = path.read_bytes()
    for place in (1024, len(whole) - 1):
        changed = bytearray(whole)
        changed[place] ^= 1
        path.write_bytes(changed)
        assert "tokens_000001.bin: expected SHA-256 " in refused(out)
    path.write_bytes(whole[:-1])
    assert "tokens_000001.bin: expected 1,124 bytes, as the manifest says, found 1,123 bytes" in refused(out)
    path.unlink()
    assert "tokens_000001.bin: expected 1,124 bytes, as the manifest says, found none" in refused(out)


def test_parts_that_do_not_belong_together(tmp_path, inputs):
    make_parts(inputs, tmp_path / "a", 2)
    make_parts(inputs, tmp_path / "b", 2, eot="after", shard_tokens=70)
    (tmp_path / "0.txt").write_text("changed")
    make_parts(inputs, tmp_path / "c", 2)
    for other, said in (
        ("b", "eot was 'before', now 'after'; shard_tokens was"),
        ("c", "0.txt bytes was 600, now 7"),
    ):
        out = tmp_path / f"mixed-{other}"
        shutil.copytree(tmp_path / "a" / "part-1-of-2", out / "part-1-of-2")
        shutil.copytree(tmp_path / other / "part-2-of-2", out / "part-2-of-2")
        assert said in refused(out)
    out = tmp_path / "renamed"
    shutil.copytree(tmp_path / "a" / "part-1-of-2", out / "part-2-of-2")
    shutil.copytree(tmp_path / "a" / "part-2-of-2", out / "part-1-of-2")
    assert "expected part 1 of 2, found part [2, 2]; the folder was renamed" in refused(out)
    (tmp_path / "0.txt").write_text(SPEECHES[0][:600], newline="")
    with pytest.raises(DataError, match=r"part was \[2, 2\], now \[1, 2\]"):
        run(inputs, out, part="1/2")


def test_join_takes_the_settings_of_the_parts(tmp_path, inputs):
    make_parts(inputs, tmp_path / "out", 2, shard_tokens=70)
    for flag in ({"part": "1/2"}, {"tokenizer": "other"}, {"format": "text"}):
        assert f"join contradicts {next(iter(flag))}: parts that" in refused(tmp_path / "out", **flag)
        assert "join contradicts" in refused(tmp_path / "nothing", **flag)
    with pytest.raises(ConfigError, match="join contradicts inputs, part: parts that are made already"):
        run(inputs, tmp_path / "out", join=True, part="1/2")
    assert "shard_tokens must be that of the parts, 70: found 60" in refused(
        tmp_path / "out", shard_tokens=60
    )
    assert "name must be that of the parts, 'x': found 'y'" in refused(tmp_path / "out", name="y")
    assert "eot must be that of the parts, 'before': found 'after'" in refused(tmp_path / "out", eot="after")


def test_another_tokenizer_beside_a_part(tmp_path, inputs):
    make_parts(inputs, tmp_path / "out", 2)
    from minigpt.tokenizer import Tokenizer

    Tokenizer.train(["other"], 258).save(tmp_path / "out" / "part-1-of-2" / "tokenizer.json")
    assert "tokenizer.json: expected the tokenizer of the manifest" in refused(tmp_path / "out")


def test_an_output_is_not_mixed_with_parts(tmp_path, inputs):
    run(inputs, tmp_path / "out")
    with pytest.raises(DataError, match=r"out: expected a folder for parts, found manifest\.json"):
        run(inputs, tmp_path / "out", part="1/2")
    make_parts(inputs, tmp_path / "parts", 2)
    with pytest.raises(DataError, match=r"parts: expected an empty folder .* found part-1-of-2, part-2-of-2"):
        run(inputs, tmp_path / "parts")
    (tmp_path / "parts" / "notes").write_text("mine")
    with pytest.raises(DataError, match=r"parts: expected an empty folder .* found notes; nothing"):
        run([], tmp_path / "parts", join=True)


# ---- shares ----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 10**12), min_size=1, max_size=30), st.integers(1, 40))
def test_shares_are_contiguous_complete_and_even(sizes, n):
    ranges = [share(sizes, i, n) for i in range(1, n + 1)]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == len(sizes)
    assert [end for _, end in ranges[:-1]] == [first for first, _ in ranges[1:]]
    for first, end in ranges:
        assert first <= end
        assert sum(sizes[first:end]) <= sum(sizes) / n + max(sizes)


def test_shares_by_hand():
    assert [share([3, 1, 2, 2], i, 2) for i in (1, 2)] == [(0, 2), (2, 4)]
    assert [share([5], i, 3) for i in (1, 2, 3)] == [(0, 0), (0, 1), (1, 1)]
    assert [share([1] * 6, i, 3) for i in (1, 2, 3)] == [(0, 2), (2, 4), (4, 6)]


SLURM = {"SLURM_PROCID": "3", "SLURM_NTASKS": "8"}
ARRAY = {"SLURM_ARRAY_TASK_ID": "7", "SLURM_ARRAY_TASK_MIN": "1", "SLURM_ARRAY_TASK_MAX": "10"}


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        (SLURM, (4, 8)),
        ({"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, (2, 2)),
        ({"RANK": "5", "WORLD_SIZE": "6"}, (6, 6)),
        (SLURM | {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}, (1, 2)),
        (SLURM | {"RANK": "1", "WORLD_SIZE": "16"}, (2, 16)),
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "10"}, (7, 10)),
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "4"}, (3, 4)),  # 1, 4, 7, 10
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "10", "SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, (7, 10)),
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "10", "SLURM_PROCID": "1", "SLURM_NTASKS": "2"}, (14, 20)),
        (dict.fromkeys(ARRAY, "4") | {"SLURM_ARRAY_TASK_COUNT": "1"}, (1, 1)),
    ],
)
def test_launchers_say_which_part(environment, expected):
    assert parse_part("auto", environment) == expected


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({}, "part: auto needs a launcher that sets one of RANK, .*SLURM_ARRAY_TASK_ID: found none"),
        ({"RANK": "1"}, "part: auto needs a launcher"),
        (
            {"SLURM_PROCID": "8", "SLURM_NTASKS": "8"},
            "SLURM_PROCID must be below SLURM_NTASKS: found 8 and 8",
        ),
        ({"PMI_RANK": "one", "PMI_SIZE": "2"}, "PMI_RANK must be a whole number: found 'one'"),
        (ARRAY | {"SLURM_ARRAY_TASK_COUNT": "6"}, "the Slurm array has gaps, task 7 has no place in it"),
        (ARRAY, "SLURM_ARRAY_TASK_COUNT must be a whole number: found ''"),
    ],
)
def test_launchers_that_say_nothing_clear(environment, said):
    with pytest.raises(ConfigError, match=said):
        parse_part("auto", environment)


@pytest.mark.parametrize(
    "part", ["", "1", "0/2", "3/2", "1/0", "-1/2", "1/2/3", "a/b", "1.0/2", "¹/2", "AUTO"]
)
def test_parts_that_are_none(part):
    with pytest.raises(ConfigError, match="part must be I/N with I from 1 to N, or auto: found"):
        parse_part(part, {})


def test_auto_reaches_the_run(tmp_path, inputs, monkeypatch):
    for name in [
        name for name in os.environ if name.startswith(("SLURM_", "OMPI_", "PMI_", "RANK", "WORLD"))
    ]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SLURM_PROCID", "1")
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert run(inputs, tmp_path / "out", part="auto") == 0
    assert manifest_of(tmp_path / "out" / "part-2-of-2")["part"] == [2, 2]
