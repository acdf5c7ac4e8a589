"""Shards of three layouts are read exactly; anything else, and any change, is one clear DataError."""

import builtins
import gzip
import hashlib
import io
import os
import pickle
import struct
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt import shards
from minigpt.errors import ConfigError, DataError
from minigpt.shards import TokenShards

TICK = shards.TICK
IDS = np.arange(1000, dtype=np.uint16) * 50


def llmc(ids=IDS, magic=20240520, version=1, count=None, order="<"):
    """A shard by llm.c's description of it, made without minigpt."""
    header = struct.pack(f"{order}3i", magic, version, len(ids) if count is None else count)
    return header + bytes(1024 - len(header)) + np.asarray(ids, "<u2").tobytes()


def npy(array, **options):
    """An array as np.save writes it."""
    path = Path(options.pop("folder")) / "saved"
    np.save(path.with_suffix(".npy"), array, **options)
    return path.with_suffix(".npy").read_bytes()


@pytest.fixture(scope="module", autouse=True)
def no_tick():
    """Files are not waited for here, but where they change."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "TICK", 0)
        yield


@pytest.fixture
def write(tmp_path):
    def written(content, name="x_train_000001.bin"):
        (tmp_path / name).write_bytes(content)
        return str(tmp_path / name)

    return written


# reading


@given(rows=st.lists(st.lists(st.integers(0, 2**16 - 1), min_size=1, max_size=50), min_size=1, max_size=4))
def test_all_three_layouts_give_the_ids_that_were_written(tmp_path_factory, rows):
    folder = tmp_path_factory.mktemp("shards")
    for number, ids in enumerate(rows):
        (folder / f"a_{number}.bin").write_bytes(llmc(ids))
        np.save(folder / f"b_{number}.npy", np.array(ids, np.uint16))
        np.array(ids, "<u2").tofile(folder / f"c_{number}.bin")
    for pattern, format in (("a_*.bin", None), ("b_*.npy", None), ("c_*.bin", "raw")):
        found = minigpt.TokenShards(f"{folder}/{pattern}", format=format)
        assert [np.asarray(shard).tolist() for shard in found] == rows
        assert found.paths == tuple(sorted(folder.glob(pattern)))
        assert found.counts == tuple(map(len, rows)) == tuple(map(len, found))
        assert found.n_tokens == sum(map(len, rows))
        assert len(found) == len(rows)


ends = st.none() | st.integers(-1100, 1100)


@given(start=ends, stop=ends, stride=st.sampled_from([None, 1, 2, -1, 7]), place=st.integers(-1000, 999))
def test_slices_are_those_of_an_array(tmp_path_factory, start, stop, stride, place):
    path = tmp_path_factory.mktemp("shards") / "x.bin"
    path.write_bytes(llmc())
    shard = TokenShards(path)[0]
    ids = shard[start:stop:stride]
    np.testing.assert_array_equal(ids, IDS[start:stop:stride])
    assert ids.dtype == np.uint16
    assert ids.flags.owndata
    assert shard[place] == IDS[place]


def test_all_ids_are_an_array_that_lies_in_the_file_and_cannot_be_written_to(write):
    shard = TokenShards(write(llmc()))[0]
    np.testing.assert_array_equal(shard.ids(), IDS)
    assert shard.ids().dtype == np.uint16
    assert not shard.ids().flags.writeable
    assert not shard.ids().flags.owndata


def test_ids_stay_readable_after_the_shards_are_gone(write):
    ids = TokenShards(write(llmc())).__getitem__(0).ids()
    np.testing.assert_array_equal(ids, IDS)


def test_one_file_many_files_or_a_list_of_both(write, tmp_path):
    for number in (2, 1, 10):
        write(llmc([number]), f"x_{number:02d}.bin")
    odd = write(llmc([7]), "[0-9].bin")  # a name that is a pattern too
    assert [int(shard[0]) for shard in TokenShards(f"{tmp_path}/x_*.bin")] == [1, 2, 10]
    assert [int(shard[0]) for shard in TokenShards(Path(odd))] == [7]
    both = TokenShards([odd, f"{tmp_path}/x_?[12].bin"])
    assert [int(shard[0]) for shard in both] == [7, 1, 2]


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="asks Linux what is open and mapped")
def test_no_file_stays_open_or_mapped(write):
    name = write(llmc())
    found = TokenShards(name, 50_000)
    ids = found[0].ids()
    assert sum(name in line for line in open("/proc/self/maps")) == 1
    del ids
    assert sum(name in line for line in open("/proc/self/maps")) == 0
    links = [os.readlink(link.path) for link in os.scandir("/proc/self/fd") if os.path.lexists(link.path)]
    assert name not in links


# fingerprints


def test_a_fingerprint_is_of_the_ids_not_of_names_or_layouts(write, tmp_path):
    prints = {
        TokenShards(write(llmc(), "a.bin")).fingerprint(),
        TokenShards(write(IDS.tobytes(), "b.bin"), format="raw").fingerprint(),
        TokenShards(write(npy(IDS, folder=tmp_path), "c.npy"), 50_000).fingerprint(),
    }
    assert len(prints) == 1


@pytest.mark.parametrize("n", [1, 1000, 16 * 4096, 500_000])
def test_a_fingerprint_is_what_its_docstring_says(write, n):
    ids = np.arange(n).astype(np.uint16)
    starts = sorted({i * max(0, n - 4096) // 15 for i in range(16)})
    blocks = b"".join(ids[start : start + 4096].tobytes() for start in starts)
    expected = hashlib.sha256(f"{n} tokens\n".encode() + blocks).hexdigest()
    assert TokenShards(write(llmc(ids))).fingerprint() == expected


@given(place=st.integers(0, 16 * 4096 - 1))
def test_up_to_65_536_ids_any_change_changes_the_fingerprint(tmp_path_factory, place):
    ids = np.zeros(16 * 4096, np.uint16)
    path = tmp_path_factory.mktemp("shards") / "x.bin"
    path.write_bytes(ids.tobytes())
    before = TokenShards(path, format="raw").fingerprint()
    ids[place] = 1
    path.write_bytes(ids.tobytes())
    assert TokenShards(path, format="raw").fingerprint() != before


def test_order_and_boundaries_of_shards_change_the_fingerprint(write):
    a, b, c = (write(llmc(ids), f"{len(ids)}.bin") for ids in ([1], [1, 1], [1, 1, 1]))
    assert len({TokenShards(names).fingerprint() for names in ([a, b], [b, a], [c], [a, a, a])}) == 4


# files that are no sound shard: content, what the message says, how to open

AGAIN = "cut off or damaged: fetch it, or make it, again"
BEYOND = np.append(IDS, np.uint16(50_257))
CORRUPT = {
    "a byte short": (llmc()[:-1], "expected 3,024 bytes .*1,000 tokens.*found 3,023, 1 too few; .*" + AGAIN),
    "a byte long": (llmc() + b"\0", "expected 3,024 bytes .*found 3,025, 1 too many"),
    "a token short": (llmc()[:-2], "found 3,022, 2 too few"),
    "half of it": (llmc()[:2000], "found 2,000, 1,024 too few"),
    "doubled": (llmc() * 2, "found 6,048, 3,024 too many"),
    "header alone": (llmc()[:1024], "expected 3,024 bytes .*found 1,024, 2,000 too few"),
    "shorter than a header": (llmc()[:1023], "expected a header of 1024 bytes, found 1023 bytes in all"),
    "a few bytes": (llmc()[:5], "expected a header of 1024 bytes, found 5 bytes in all"),
    "less than a magic number": (b"\x88\xd8", "expected a token shard, .*found bytes 88 d8"),
    "empty": (b"", "expected token ids, found an empty file"),
    "zeros": (bytes(3024), 'found bytes 00 00 00 00; .*say format="raw"'),
    "wrong magic": (llmc(magic=20240521), "begins with 20240520 .*found bytes 89 d8 34 01"),
    "swapped magic": (llmc(order=">"), "found a shard of llm.c with swapped bytes; .*swap its bytes"),
    "llama-3": (llmc(magic=20240801, version=7), r"found a llama-3 shard of llm.c \(uint32 tokens\)"),
    "a model": (llmc(magic=20240326, version=3), "found a model of llm.c; weights are no data"),
    "a debug state": (llmc(magic=20240327), "found a debug state of llm.c"),
    "a tokenizer": (llmc(magic=20240328), "found a tokenizer of llm.c"),
    "an evaluation": (llmc(magic=20240522), "found an evaluation file of llm.c"),
    "version 0": (llmc(version=0), "expected version 1 in its header, found version 0"),
    "version 2": (llmc(version=2), "found version 2"),
    "no tokens": (llmc([]), "expected at least 1 token, found a header that counts 0"),
    "count too small": (llmc(count=999), "expected 3,022 bytes .*found 3,024, 2 too many"),
    "count too large": (llmc(count=1001), "expected 3,026 bytes .*found 3,024, 2 too few"),
    "count huge": (llmc(count=2**31 - 1), "expected 4,294,968,318 bytes"),
    "count negative": (llmc(count=-1000), "found a header that counts -1,000"),
    "git-LFS": (b"version https://git-lfs.github.com/spec/v1\noid sha", "found a git-LFS .*git lfs pull"),
    "HTML": (b"\n<!DOCTYPE html>\n<html><head>", "found an HTML page; .*fetch"),
    "HTML without a doctype": (b"<HTML><BODY>404", "found an HTML page"),
    "gzip": (gzip.compress(llmc()), "found a gzip file; unpack it"),
    "parquet": (b"PAR1" + bytes(100) + b"PAR1", "found a parquet file; .*`minigpt data`"),
    "safetensors": (struct.pack("<q", 60) + b'{"wte.weight":{"dtype' + bytes(99), "found a safetensors"),
    "text": ("Ein schöner Tag. ".encode() * 99, "found text, 'Ein schöner Tag.*`minigpt data`"),
    "JSON lines": (b'{"text": "a"}\n' * 99, "found text, .*`minigpt data`"),
    "pickle": (pickle.dumps(IDS), r'found bytes 80 04 .*say format="raw"'),
    "token of 50,257 at the end": (llmc(BEYOND), "50,257, found 50257 at position 1,000 of 1,001; .*tok"),
    "token of 50,257 at the start": (llmc(BEYOND[::-1]), "found 50257 at position 0 of 1,001"),
    "token of 65,535 inside": (llmc([1, 65_535, 65_535]), "found 65535 at position 1 of 3"),
    "raw, odd": (IDS.tobytes() + b"\0", "expected an even number of bytes, .*found 2,001 bytes", "raw"),
    "raw, empty": (b"", "expected token ids, found an empty file", "raw"),
    "raw, with a header": (llmc(), 'found a shard of llm.c; leave out format="raw"', "raw"),
    "raw, llama-3": (llmc(magic=20240801), "found a llama-3 shard", "raw"),
    "raw, HTML": (b"<html>404</html>", "found an HTML page", "raw"),
    "raw, git-LFS": (b"version https://git-lfs.github.com/spec/v1\n", "found a git-LFS pointer", "raw"),
    "raw, npy": (b"\x93NUMPY\x01\0", "found a NumPy file; leave out format", "raw"),
    "raw, beyond": (BEYOND.tobytes(), "found 50257 at position 1,000 of 1,001", "raw"),
}


@pytest.mark.parametrize("case", CORRUPT)
def test_a_corrupt_file_is_refused_with_what_was_expected_and_found(write, case):
    content, message, *format = CORRUPT[case]
    name = write(content)
    with pytest.raises(DataError, match=message) as caught:
        TokenShards(name, 50_257, *format)
    assert str(caught.value).startswith(f"{name}: expected ")
    what_to_do = str(caught.value).partition("; ")[2]
    assert what_to_do


@pytest.mark.parametrize("cut", [*range(1, 140), 1023, 1024, 1025, 2000, 3023])
def test_a_file_cut_anywhere_is_refused(write, cut):
    with pytest.raises(DataError, match=r"x_train_000001.bin: expected .*, found .*; "):
        TokenShards(write(llmc()[:cut]))


ARRAYS = {
    "int64": (IDS.astype(np.int64), r"expected uint16 tokens in one row, found int64 of shape \(1000,\)"),
    "int16": (IDS.astype(np.int16), "found int16"),
    "float": (IDS.astype(np.float32), "found float32"),
    "big-endian": (IDS.astype(">u2"), r"found >u2 of shape \(1000,\)"),
    "two axes": (IDS.reshape(10, 100), r"found uint16 of shape \(10, 100\)"),
    "no axes": (IDS[0], r"found uint16 of shape \(\)"),
    "Fortran": (np.asfortranarray(IDS.reshape(10, 100)), "in Fortran's order"),
    "records": (np.zeros(3, "u2, u2"), r"found \[\('f0'"),
    "empty": (IDS[:0], "expected at least 1 token, found a header that counts 0"),
    "pickled": (np.array([1, "x", None], object), r"found object of shape \(3,\)"),
    "beyond": (BEYOND, "found 50257 at position 1,000 of 1,001"),
}


@pytest.mark.parametrize("case", ARRAYS)
def test_an_array_that_is_no_row_of_tokens_is_refused(write, tmp_path, case):
    array, message = ARRAYS[case]
    name = write(npy(array, folder=tmp_path), "x.npy")
    with pytest.raises(DataError, match=message) as caught:
        TokenShards(name, 50_257)
    assert str(caught.value).startswith(f"{name}: expected ")


def fortran_row(content):
    """A 1-D array whose header claims Fortran's order, which np.save never writes."""
    return content.replace(b"'fortran_order': False", b"'fortran_order': True ")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda content: content[:-1], "expected 2,128 bytes .*found 2,127, 1 too few"),
        (lambda content: content + b"\0", "found 2,129, 1 too many"),
        (lambda content: content[:100], "expected the header of an .npy file"),
        (lambda content: content[:7], "expected the header of an .npy file"),
        (lambda content: content[:6] + b"\x09" + content[7:], "expected the header of an .npy file"),
        (lambda content: content.replace(b"descr", b"d&scr"), "expected the header of an .npy file"),
        (lambda content: content.replace(b"1000,", b"-100,"), "counts -100"),
        (lambda content: content.replace(b"1000,", b"1e99,"), "expected the header of an .npy file"),
        (lambda content: content.replace(b"1000,)", b"1000,("), "expected the header of an .npy file"),
        (fortran_row, r"found uint16 of shape \(1000,\) in Fortran's order"),
    ],
)
def test_a_damaged_npy_file_is_refused(write, tmp_path, damage, message):
    name = write(damage(npy(IDS, folder=tmp_path)), "x.npy")
    with pytest.raises(DataError, match=message):
        TokenShards(name)


def test_a_zip_file_is_refused(tmp_path):
    with zipfile.ZipFile(tmp_path / "x.bin", "w") as file:
        file.writestr("ids", llmc())
    with pytest.raises(DataError, match="found a zip file"):
        TokenShards(str(tmp_path / "x.bin"))


@pytest.mark.parametrize("path", [None, 7, b"x.bin", 1.5, [], (), {"a": 1}, [None], [[3]]])
def test_a_path_that_is_none_is_refused(path):
    with pytest.raises(DataError, match=r"path: expected a str, .*found"):
        TokenShards(path)


@pytest.mark.parametrize("path", ["", "nowhere.bin", "no*where.bin", "a\0b", "x" * 5000, "nowhere/[", "~"])
def test_a_path_of_nothing_is_refused(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=r"expected .*, found .*; "):
        TokenShards(path)


def test_a_folder_a_pipe_and_links_to_nowhere_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"expected a file, found a folder; .*\*\.bin"):
        TokenShards(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(DataError, match="expected a file, found a pipe, socket or device"):
        TokenShards(str(tmp_path / "pipe"))
    (tmp_path / "link").symlink_to("gone.bin")
    with pytest.raises(DataError, match=r"found a link to gone.bin, which is not there"):
        TokenShards(str(tmp_path / "link"))
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(DataError, match=r"loop: expected .*, found Too many levels of symbolic links"):
        TokenShards(str(tmp_path / "loop"))
    (tmp_path / "sound").symlink_to("target.bin")
    (tmp_path / "target.bin").write_bytes(llmc())
    assert TokenShards(str(tmp_path / "sound")).n_tokens == 1000


def test_a_file_that_may_not_be_read_is_refused(write, monkeypatch):
    def refused(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    name = write(llmc())
    monkeypatch.setattr(builtins, "open", refused)
    with pytest.raises(DataError, match=r"expected a file that can be read, found Permission denied; check"):
        TokenShards(name)


def test_a_disk_that_fails_is_named(write, monkeypatch):
    class Failing(io.FileIO):
        def readinto(self, room):
            raise OSError(5, "Input/output error")

    name = write(llmc())
    shard = TokenShards(name)[0]
    monkeypatch.setattr(builtins, "open", lambda path, mode, buffering: Failing(path))
    for read in (lambda: shard[3:9], lambda: TokenShards(name, 50_257)):
        with pytest.raises(DataError, match=r"x_train_000001.bin: expected .* found Input/output error"):
            read()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_vocab": 0}, "n_vocab must be between 1"),
        ({"n_vocab": 1.5}, "n_vocab must be a whole number"),
        ({"n_vocab": "50257"}, "n_vocab must be a whole number"),
        ({"format": "bin"}, "format must be \"raw\" or None: found 'bin'"),
    ],
)
def test_options_that_are_none_are_refused(write, options, message):
    with pytest.raises(ConfigError, match=message):
        TokenShards(write(llmc()), **options)


# every token is checked, in pieces


@given(data=st.data())
def test_the_first_token_beyond_the_vocabulary_is_named(tmp_path_factory, data):
    n = data.draw(st.integers(1, 40))
    bad = data.draw(st.sets(st.integers(0, n - 1), max_size=3))
    ids = np.array([300 if place in bad else 299 for place in range(n)])
    path = tmp_path_factory.mktemp("shards") / "x.bin"
    path.write_bytes(llmc(ids))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shards, "CHUNK", 7)
        if bad:
            with pytest.raises(DataError, match=f"found 300 at position {min(bad)} of {n};"):
                TokenShards(path, 300)
        else:
            assert TokenShards(path, 300).n_tokens == n


def test_all_tokens_are_sound_in_a_vocabulary_of_65_536(write):
    assert TokenShards(write(llmc([65_535])), 65_536).n_tokens == 1


# files that change after they were opened


def truncate(path):
    os.truncate(path, 2000)


def empty(path):
    os.truncate(path, 0)


def grow(path):
    with open(path, "ab") as file:
        file.write(b"\0\0")


def rewrite(path):
    with open(path, "r+b") as file:
        file.write(llmc(IDS[::-1]))


def replace(path):
    path.with_suffix(".new").write_bytes(llmc())
    stat = path.stat()
    os.utime(path.with_suffix(".new"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    os.replace(path.with_suffix(".new"), path)


def delete(path):
    path.unlink()


CHANGES = {
    truncate: "changed since it was opened: expected 3,024 bytes, found 2,000",
    empty: "expected 3,024 bytes, found 0",
    grow: "expected 3,024 bytes, found 3,026",
    rewrite: r"expected it as it was, found that it was written to \d+\.\d+ s later",
    replace: "expected the file that was there, found another in its place",
    delete: "expected a token shard, found no such file",
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("read", ["slice", "one", "all", "array", "fingerprint"])
def test_a_file_that_changed_since_it_was_opened_is_refused(tmp_path, monkeypatch, change, read):
    monkeypatch.setattr(shards, "TICK", TICK)
    path = tmp_path / "x.bin"
    path.write_bytes(llmc())  # now, so that the clock might show no difference
    found = TokenShards(path, 50_257)
    reads = {
        "slice": lambda: found[0][990:],
        "one": lambda: found[0][999],
        "all": lambda: found[0].ids(),
        "array": lambda: np.asarray(found[0]),
        "fingerprint": found.fingerprint,
    }
    reads[read]()
    change(path)
    with pytest.raises(DataError, match=CHANGES[change]) as caught:
        reads[read]()
    assert str(caught.value).startswith(f"{path}: ")


@pytest.mark.parametrize(
    ("age", "wait"), [(0, 0.02), (5, 0.015), (19, 0.001), (20, None), (10**6, None), (-5, None)]
)
def test_a_file_written_just_now_is_waited_for_so_that_a_change_would_show(write, monkeypatch, age, wait):
    """Kernels tell the time of a change in ticks of 4 or 10 ms: two changes in one tick look like one."""
    waits, name = [], write(llmc())
    now = os.stat(name).st_mtime_ns + age * 1_000_000
    monkeypatch.setattr(shards, "TICK", TICK)
    monkeypatch.setattr(shards, "time", SimpleNamespace(time_ns=lambda: now, sleep=waits.append))
    TokenShards(name)
    assert waits == ([] if wait is None else [wait])


KILLED_BY_SIGBUS = """
import os, sys
from minigpt import DataError, TokenShards

found = TokenShards(sys.argv[1])
os.truncate(sys.argv[1], 1024)
try:
    print(found[0].ids().sum())
except DataError as error:
    print("refused")
"""


def test_a_file_that_shrank_does_not_kill_the_process(write):
    name = write(llmc(np.zeros(100_000)))
    done = subprocess.run(
        [sys.executable, "-c", KILLED_BY_SIGBUS, name], capture_output=True, text=True, timeout=120
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "refused\n", "")


def test_a_file_that_shrinks_between_the_look_and_the_reading_is_refused(write, monkeypatch):
    name = write(llmc())
    shard = TokenShards(name)[0]
    monkeypatch.setattr(shard, "refuse_change", lambda found: os.truncate(name, 2000) or monkeypatch.undo())
    with pytest.raises(DataError, match="changed since it was opened: expected 3,024 bytes, found 2,000"):
        shard[990:]


def test_a_file_that_shrinks_while_it_is_checked_is_refused(write, monkeypatch):
    name = write(llmc())
    layout_of = shards.layout_of

    def shrinking(path, *arguments):
        os.truncate(name, 2000)
        return layout_of(path, *arguments)

    monkeypatch.setattr(shards, "layout_of", shrinking)
    with pytest.raises(DataError, match="changed since it was opened: expected 3,024 bytes, found 2,000"):
        TokenShards(name, 50_257)
