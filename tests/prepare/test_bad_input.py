"""Every input that is not what it should be: one sentence with path, place, expected, found, what to do."""

import builtins
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from minigpt.errors import DataError
from minigpt.prepare import documents, inputs, journal, parquet
from tests.prepare.support import contents, manifest_of, run, small, write_jsonl, write_parquet

GOOD = b'{"text": "good"}\n'
LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


def refused(tmp_path, *patterns, **flags):
    """The message; nothing may have been written, or nothing but a journal."""
    with pytest.raises(DataError) as error:
        run(patterns or [tmp_path / "*.*"], tmp_path / "out", **flags)
    message = str(error.value)
    assert "\n" not in message
    assert not list((tmp_path / "out").glob("x_*"))
    return message.replace(str(tmp_path) + os.sep, "")


# ---- which files -----------------------------------------------------------------------------


def test_nothing_to_read(tmp_path):
    with pytest.raises(DataError, match=r"inputs: expected files, globs or hf://datasets/\.\.\., found none"):
        run([], tmp_path / "out")
    for name in ("none.txt", "no*.txt", "a\0b"):
        said = "expected a file or a glob of files, found no such; check the path"
        assert refused(tmp_path, tmp_path / name).endswith(said)
    assert not (tmp_path / "out").exists()


def test_folders(tmp_path):
    (tmp_path / "texts" / "deep").mkdir(parents=True)
    message = refused(tmp_path, tmp_path / "texts")
    assert message == "texts: expected files, found an empty folder; give files to read"
    for name in ("a.parquet", "README.md", "x.py", "deep/c.txt"):
        (tmp_path / "texts" / name).write_text("x")
    assert refused(tmp_path, tmp_path / "texts") == (
        "texts: expected files, found a folder; give the files in it, such as "
        f"'{tmp_path}/texts/**/*.md' or '{tmp_path}/texts/**/*.parquet' or '{tmp_path}/texts/**/*.txt'"
    ).replace(str(tmp_path) + os.sep, "")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "a.py").write_text("x")
    assert "code/**/*.py'" in refused(tmp_path, tmp_path / "code")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("a.txt.gz", "found the suffix '.gz'; unpack it first"),
        ("a.zip", "found the suffix '.zip'; unpack it first"),
        ("a.jsonl.ZST", "found the suffix '.zst'; unpack it first"),
        (
            "a.json",
            "found the suffix '.json'; write one object a line to a .jsonl file, or say --format jsonl",
        ),
        ("a.csv", "found the suffix '.csv'; say which one it is: --format text, jsonl or parquet"),
        ("LICENSE", "found no suffix; say which one it is: --format text, jsonl or parquet"),
    ],
)
def test_formats_that_are_not_read(tmp_path, name, said):
    (tmp_path / name).write_text("x")
    message = refused(tmp_path, tmp_path / name)
    assert message.startswith(f"{name}: expected text (.txt, .text, .md, ")
    assert said in message


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
def test_empty_files_and_pointers(tmp_path, name):
    (tmp_path / name).write_bytes(b"")
    format = inputs.FORMATS[os.path.splitext(name)[1]]
    assert refused(tmp_path) == f"{name}: expected {format}, found an empty file; leave it out"
    (tmp_path / name).write_bytes(LFS)
    said = f"{name}: expected {format}, found a git-LFS pointer; fetch the file itself: `git lfs pull`"
    assert refused(tmp_path) == said


def test_files_that_are_none(tmp_path, monkeypatch):
    (tmp_path / "a.txt").symlink_to(tmp_path / "nowhere")
    assert refused(tmp_path) == "a.txt: expected a file, found a link to nowhere; mend it"
    (tmp_path / "a.txt").unlink()
    os.mkfifo(tmp_path / "a.txt")
    assert refused(tmp_path).startswith("a.txt: expected a file, found a pipe or device")
    (tmp_path / "a.txt").unlink()
    (tmp_path / "a.txt").write_text("secret")

    def denied(name, *mode):
        raise PermissionError(13, "Permission denied", name)

    monkeypatch.setattr(inputs, "open", denied, raising=False)
    assert refused(tmp_path) == (
        "a.txt: expected a readable file, found: Permission denied; check its permissions"
    )


def test_the_same_file_twice(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    (tmp_path / "b.txt").symlink_to(tmp_path / "a.txt")
    assert refused(tmp_path).startswith(
        "b.txt: expected each file once, found it twice (the other time as a.txt); give patterns"
    )
    assert "found it twice" in refused(tmp_path, tmp_path / "a.txt", tmp_path / "a*")


# ---- what is in them -------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [4, 7, 2**20])
def test_text_that_is_not_utf8(tmp_path, unit):
    (tmp_path / "a.txt").write_bytes(b"good text " * 3 + b"b\xffd")
    said = "a.txt: expected UTF-8 text, found byte 31 (0xff) not to be: invalid start byte; convert the file"
    assert refused(tmp_path, unit=unit) == said
    (tmp_path / "out").rename(tmp_path / "before")
    (tmp_path / "a.txt").write_bytes(b"good text " * 3 + "é".encode()[:1])
    assert "found byte 30 (0xc3) not to be: unexpected end of data" in refused(tmp_path, unit=unit)


@pytest.mark.parametrize("unit", [5, 40, 2**20])
@pytest.mark.parametrize("end", [b"", b"\n", b"\n" + GOOD])
@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"nonsense", "expected a JSON object, found 'nonsense': Expecting value"),
        (b'{"text": "cut', 'expected a JSON object, found \'{"text": "cut\': Unterminated string'),
        (b"[" * 100_000, "expected a JSON object, found '[[["),
        (b'["a", "list"]', 'expected a JSON object, found \'["a", "list"]\'; write it as {"text": ...}'),
        (b'"text"', "expected a JSON object, found '\"text\"'; write it as"),
        (b"{}", "expected a field 'text', found an empty object; name one by --field"),
        (b'{"body": "a", "id": 1}', "expected a field 'text', found 'body', 'id'; name one by --field"),
        (b'{"text": 5}', "expected a string in field 'text', found '5'; leave out this line"),
        (b'{"text": null}', "expected a string in field 'text', found 'null'; leave out this line"),
        (b'{"text": ["a"]}', "expected a string in field 'text', found '[\"a\"]'; leave out this line"),
        (b'{"text": "b\xffd"}', "expected UTF-8, found byte 46 of the file not to be: invalid start byte"),
        (b'{"text": "a\nb"}', 'expected a JSON object, found \'{"text": "a\': Unterminated string'),
    ],
)
def test_lines_that_are_no_documents(tmp_path, line, said, end, unit):
    (tmp_path / "a.jsonl").write_bytes(GOOD * 2 + b"\n" + line + end)
    message = refused(tmp_path, unit=unit)
    assert message.startswith("a.jsonl, line 4: ")
    assert said in message
    assert len(message) < 300


def test_parquet_without_such_a_text(tmp_path):
    write_parquet(tmp_path / "a.parquet", ["row"], number=[1.5], raw=[b"bytes"], nested=[{"text": "a"}])
    said = "a.parquet: expected a column 'body', found id, text, number, raw, nested; name one by --field"
    assert refused(tmp_path, field="body") == said
    for field, kind in (("number", "double"), ("raw", "binary"), ("nested", "struct<text: string>")):
        assert refused(tmp_path, field=field) == (
            f"a.parquet: expected strings in column '{field}', found {kind}; columns of strings: text; "
            "name one by --field"
        )
    assert "expected a column 'nested.text'" in refused(tmp_path, field="nested.text")
    assert not (tmp_path / "out").exists()


def test_parquet_that_is_damaged(tmp_path):
    path = tmp_path / "a.parquet"
    write_parquet(path, ["row " * 50] * 30)
    whole = path.read_bytes()
    path.write_bytes(whole[:-20])
    said = "a.parquet: expected a parquet file, found a parquet file without its end; fetch it again"
    assert refused(tmp_path) == said
    path.write_bytes(b"<!DOCTYPE html>")
    assert "a.parquet: expected a parquet file, found a file that begins with b'<!DOCTYP'" in refused(
        tmp_path
    )
    path.write_bytes(b"PAR1PAR1")
    assert "expected a parquet file" in refused(tmp_path)
    path.write_bytes(whole[:-60] + bytes(52) + whole[-8:])
    assert refused(tmp_path).startswith("a.parquet: expected parquet, found it damaged: ")


def test_parquet_pages_that_are_damaged(tmp_path):
    import pyarrow.parquet

    path = tmp_path / "a.parquet"
    write_parquet(path, [f"row {i} " * 50 for i in range(21)])
    start = pyarrow.parquet.ParquetFile(path).metadata.row_group(1).column(1).data_page_offset
    whole = path.read_bytes()
    path.write_bytes(whole[:start] + bytes(16) + whole[start + 16 :])
    assert refused(tmp_path).startswith("a.parquet, row group 1: expected parquet, found it damaged: ")


@pytest.mark.parametrize("unit", [10, 2**20])
def test_parquet_that_is_not_utf8(tmp_path, unit):
    import pyarrow

    raw = pyarrow.array([b"good"] * 10 + [b"b\xffd"] + [b"good"] * 5)
    column = pyarrow.Array.from_buffers(pyarrow.string(), len(raw), raw.buffers())
    write_parquet(tmp_path / "a.parquet", column, 4)
    assert refused(tmp_path, unit=unit) == (
        "a.parquet, row 10: expected UTF-8, found byte 1 of it not to be: invalid start byte; "
        "mend or leave out this row"
    )


def test_a_wrong_format_flag(tmp_path):
    write_parquet(tmp_path / "a.parquet", ["row"])
    assert refused(tmp_path, format="text") == (
        "a.parquet: expected text, found a parquet file; say --format parquet"
    )
    (tmp_path / "a.parquet").unlink()
    write_jsonl(tmp_path / "a.jsonl", ["row"])
    assert "expected a parquet file, found a file that begins with b'{\"text\":'" in refused(
        tmp_path, format="parquet"
    )


def test_too_little_text(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"text": ""}\n')
    assert "expected at least 2 tokens, one to validate and one to train on, found 1" in refused(tmp_path)
    (tmp_path / "a.jsonl").write_text("\n")
    assert "found 0; give more text" in refused(tmp_path)


# ---- whatever happens later ------------------------------------------------------------------


def test_an_error_in_a_worker_is_the_same_error(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD * 500 + b"[]\n" + GOOD * 500)
    message = refused(tmp_path, workers=2, unit=1000)
    assert message.startswith("a.jsonl, line 501: expected a JSON object, found '[]'")


def test_a_bad_file_after_good_ones_costs_nothing_that_was_written(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(GOOD * 300)
    (tmp_path / "b.jsonl").write_bytes(GOOD + b"bad\n")
    with pytest.raises(DataError, match=r"b\.jsonl, line 2"):
        run([tmp_path / "*.jsonl"], tmp_path / "out", unit=100, shard_tokens=100)
    kept = contents(tmp_path / "out")
    state = json.loads(kept["journal.json"])["state"]
    assert [shard["tokens"] for shard in state["shards"]] == [100] * len(state["shards"])
    assert state["documents"] == 300
    with pytest.raises(DataError, match=r"b\.jsonl, line 2"):
        run([tmp_path / "*.jsonl"], tmp_path / "out", unit=100, shard_tokens=100)
    assert contents(tmp_path / "out") == kept


def test_inputs_that_changed_since_are_all_named(tmp_path):
    for name in ("a", "b", "c", "d"):
        (tmp_path / f"{name}.txt").write_text("some text")
    (tmp_path / "z.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=r"z\.txt: expected UTF-8"):
        run([tmp_path / "*.txt"], tmp_path / "out")
    (tmp_path / "b.txt").write_text("more text than before")
    os.utime(tmp_path / "c.txt", ns=(1, 1))
    (tmp_path / "z.txt").write_text("mended")
    message = refused(tmp_path, tmp_path / "*.txt")
    assert message.startswith("out/journal.json: begun with other settings or inputs: ")
    assert "b.txt bytes was 9, now 21" in message
    assert "c.txt written was " in message
    assert "z.txt bytes was 1, now 6" in message
    assert "a.txt" not in message
    assert "d.txt" not in message


@pytest.mark.parametrize("bad", [0, 2])
def test_a_file_that_was_not_begun_may_be_mended(tmp_path, bad):
    for name in ("0", "1", "2", "3"):
        (tmp_path / f"{name}.txt").write_text(f"some text {name}")
    (tmp_path / f"{bad}.txt").write_bytes(b"\xff")
    with pytest.raises(DataError, match=f"{bad}.txt: expected UTF-8"):
        run([tmp_path / "*.txt"], tmp_path / "out")
    (tmp_path / f"{bad}.txt").write_text("mended")
    (tmp_path / "4.txt").write_text("one more")
    assert run([tmp_path / "*.txt"], tmp_path / "out") == 0
    assert run([tmp_path / "*.txt"], tmp_path / "anew") == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "anew")
    assert manifest_of(tmp_path / "out")["documents"] == 5


def write_other(path, text):
    write = {".txt": lambda path, texts: path.write_text(texts[0]), ".jsonl": write_jsonl}
    write.get(path.suffix, write_parquet)(path, [text] * 100)


@pytest.mark.parametrize("change", ["longer", "same size", "replaced", "gone"])
@pytest.mark.parametrize("moment", ["before", "within a unit"])
@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.parquet"])
def test_a_file_that_changes_during_the_run(tmp_path, monkeypatch, name, moment, change):
    path = tmp_path / name
    write_other(path, "some text")
    os.utime(path, ns=(1, 1))
    source = inputs.find_sources([str(path)])
    monkeypatch.setattr("minigpt.prepare.run.checked_sources", lambda *_: source)

    def changed(*_):
        if change == "gone":
            path.unlink(missing_ok=True)
        elif change == "replaced":
            write_other(tmp_path / f"other{path.suffix}", "SOME TEXT")
            os.replace(tmp_path / f"other{path.suffix}", path)
        else:
            write_other(path, "SOME TEXT" if change == "same size" else "longer than before")

    if moment == "before":
        parquet.group_sizes(source[0], "text") if name == "a.parquet" else None  # it is open already
        changed()
    else:
        real_range, texts_of = documents.real_range, parquet.texts_of
        monkeypatch.setattr(documents, "real_range", lambda *a: changed() or real_range(*a))
        monkeypatch.setattr(parquet, "texts_of", lambda *a: changed() or texts_of(*a))
    if moment != "before" and change in ("gone", "replaced") and name != "a.parquet":
        run([path], tmp_path / "out")  # the file that was opened is read to its end as it was
        return
    message = refused(tmp_path, path)
    assert message.startswith(f"{name}: ")
    said = "cannot be read any" if change == "gone" else "to stay as it was when the run began"
    assert said in message


@pytest.mark.parametrize("package", ["pyarrow", "huggingface_hub"])
def test_packages_that_are_missing(tmp_path, monkeypatch, package):
    write_parquet(tmp_path / "a.parquet", ["row"])
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == package:
            raise ImportError(name)
        return real(name, *rest)

    parquet.opened.cache_clear()
    monkeypatch.setattr(builtins, "__import__", without)
    wanted = "hf://datasets/a/b/*.parquet" if package == "huggingface_hub" else tmp_path / "a.parquet"
    assert refused(tmp_path, wanted) == (
        f"reading {'hf://' if package == 'huggingface_hub' else 'parquet'} needs {package}, "
        "which is not installed: pip install 'minigpt[data]'"
    )


def test_flags_are_quick_to_list_and_text_needs_neither_pyarrow_nor_the_hub(tmp_path):
    (tmp_path / "a.txt").write_text("some text")
    script = (
        "import sys; from minigpt.prepare.options import Data\n"
        "from minigpt.prepare.run import prepare\n"
        "prepare(Data(out=sys.argv[1], inputs=(sys.argv[2],), tokenizer=sys.argv[3], workers=1))\n"
        "print(*sorted({'pyarrow', 'huggingface_hub', 'fsspec'} & set(sys.modules)), sep=',', end='.')"
    )
    command = [sys.executable, "-c", script, tmp_path / "out", tmp_path / "a.txt", small()[1]]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stderr == ""
    assert done.stdout.endswith("MB/s\n.")


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="Windows has other permissions")
def test_a_place_that_may_not_be_written_to_is_said_with_the_way_out():
    with tempfile.TemporaryDirectory() as folder:  # where others may look, unlike in tmp_path
        Path(folder).chmod(0o755)
        Path(folder).chmod(0o555)
        before = os.geteuid()
        if before == 0:
            os.seteuid(65534)
        try:
            with pytest.raises(DataError) as error:
                journal.open_folder(Path(folder) / "out")
        finally:
            os.seteuid(before)
        said = "give another --out, or this user the right to write there"
        assert str(error.value) == f"out: {folder}/out: cannot be written to: Permission denied; {said}"
