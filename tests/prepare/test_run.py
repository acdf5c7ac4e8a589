"""minigpt data from files to shards: which tokens, in which files, and what the manifest says of them."""

import hashlib
import io
import json
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from minigpt.errors import ConfigError, DataError
from minigpt.prepare import progress
from minigpt.prepare.options import Data
from minigpt.prepare.run import prepare
from minigpt.tokenizer import Tokenizer
from tests.prepare.support import (
    SPEECHES,
    contents,
    expected_tokens,
    manifest_of,
    read_output,
    read_shard,
    run,
    small,
    write_jsonl,
    write_parquet,
)

TEXT = SPEECHES[0][:2000]


def sealed(value):
    """JSON with its SHA-256, as the manifest's description has it."""
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return json.dumps(value | {"sha256": hashlib.sha256(canonical.encode()).hexdigest()})


def files(folder, *texts):
    """Text files 0.txt, 1.txt, ..."""
    for i, text in enumerate(texts):
        (folder / f"{i}.txt").write_text(text, newline="")
    return str(folder / "*.txt")


# ---- tokens in shards ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("run")


@given(
    st.lists(st.text("ab \n漢<|endoftext|>", min_size=1, max_size=30), min_size=1, max_size=5),
    st.integers(1, 40),
    st.integers(1, 60),
    st.sampled_from(["before", "after"]),
)
@example(["qxq"], 2, 9, "before")  # 4 tokens: exactly two shards
@example(["qxq"], 4, 9, "before")  # exactly one: it is split
def test_documents_run_across_shards_of_equal_size(folder, texts, shard_tokens, unit, eot):
    write_jsonl(folder / "a.jsonl", texts)
    out = folder / f"out-{len(os.listdir(folder))}"
    assert run([folder / "a.jsonl"], out, unit, shard_tokens=shard_tokens, eot=eot) == 0
    expected, (names, tokens) = expected_tokens(texts, eot), read_output(out)
    sizes = [len(read_shard(out / name)) for name in names]
    assert tokens == expected
    assert names == ["x_val_000000.bin", *(f"x_train_{i:06d}.bin" for i in range(1, len(names)))]
    if len(expected) <= shard_tokens:
        assert sizes == [max(1, len(expected) // 10), len(expected) - max(1, len(expected) // 10)]
    else:
        assert set(sizes[:-1]) == {shard_tokens}
        assert 0 < sizes[-1] <= shard_tokens
    assert sorted(os.listdir(out)) == sorted(
        [*names, "manifest.json", "tokenizer.json", "tokenizer_config.json"]
    )


def test_a_whole_file_is_a_document_and_files_come_in_order(tmp_path):
    for name in ("b", "a", "c10", "c9"):
        (tmp_path / f"{name}.txt").write_text(name * 3)
    (tmp_path / "z").mkdir()
    (tmp_path / "z" / "z.md").write_text("deep")
    (tmp_path / "z" / "folder.md").mkdir()
    run(
        [tmp_path / "c*.txt", tmp_path / "[ab].txt", tmp_path / "**" / "*.md"],
        tmp_path / "out",
        shard_tokens=8,
    )
    texts = ["c10" * 3, "c9" * 3, "aaa", "bbb", "deep"]
    assert read_output(tmp_path / "out")[1] == expected_tokens(texts)


def test_a_name_that_exists_is_no_pattern(tmp_path):
    (tmp_path / "a[1].txt").write_text("one")
    (tmp_path / "a1.txt").write_text("another")
    run([tmp_path / "a[1].txt"], tmp_path / "out")
    assert read_output(tmp_path / "out")[1] == expected_tokens(["one"])


def test_formats_by_suffix_and_by_flag(tmp_path):
    write_jsonl(tmp_path / "a.ndjson", ["line", ""])
    write_parquet(tmp_path / "b.parquet", ["row", None, "row two"])
    (tmp_path / "c.rst").write_text("text")
    run([tmp_path / "*.*"], tmp_path / "out")
    assert read_output(tmp_path / "out")[1] == expected_tokens(["line", "", "row", "row two", "text"])
    assert manifest_of(tmp_path / "out")["skipped"] == 1
    run([tmp_path / "a.ndjson"], tmp_path / "raw", format="text")
    assert read_output(tmp_path / "raw")[1] == expected_tokens(['{"text": "line"}\n{"text": ""}\n'])


def test_other_fields_and_kinds_of_strings(tmp_path):
    import pyarrow

    (tmp_path / "a.jsonl").write_text('{"n": 1, "body": "line"}\n')
    run([tmp_path / "a.jsonl"], tmp_path / "lines", field="body")
    assert read_output(tmp_path / "lines")[1] == expected_tokens(["line"])
    texts = ["a", None, "bb", "a"] * 9
    columns = {
        "large": pyarrow.array(texts, pyarrow.large_string()),
        "view": pyarrow.array(texts, pyarrow.string_view()),
        "coded": pyarrow.array(texts).dictionary_encode(),
        "nested": [{"text": 1, "view": "no"}] * len(texts),
    }
    write_parquet(tmp_path / "a.parquet", texts, **columns)
    for field in ("text", "large", "view", "coded"):
        run([tmp_path / "a.parquet"], tmp_path / field, unit=9, field=field)
        assert read_output(tmp_path / field)[1] == expected_tokens(filter(None, texts))
        assert manifest_of(tmp_path / field)["skipped"] == 9


def test_the_default_is_gpt2_and_end_of_text_in_a_text_stays_text(tmp_path):
    text = "Hello world<|endoftext|> \u3000the"
    pattern = files(tmp_path, text, "second")
    assert prepare(Data(out=str(tmp_path / "gpt"), inputs=(pattern,))) == 0
    names, tokens = read_output(tmp_path / "gpt")
    assert names == ["gpt_val_000000.bin", "gpt_train_000001.bin"]
    assert tokens[:3] == [50256, 15496, 995]
    assert tokens == expected_tokens([text, "second"], tokenizer=Tokenizer.gpt2())
    assert tokens.count(50256) == 2


def test_the_tokenizer_lies_beside_the_shards(tmp_path):
    run([files(tmp_path, TEXT)], tmp_path / "out", shard_tokens=300)
    tokenizer = Tokenizer.load(tmp_path / "out")
    assert tokenizer.tokens == small()[0].tokens
    assert tokenizer.decode(read_output(tmp_path / "out")[1]) == "<|endoftext|>" + TEXT


# ---- the manifest ----------------------------------------------------------------------------


def test_the_manifest_says_what_there_is(tmp_path):
    pattern = files(tmp_path, TEXT, "é")
    run([pattern], tmp_path / "out", shard_tokens=300, eot="after")
    found, tokenizer = manifest_of(tmp_path / "out"), small()[0]
    shards, _ = found.pop("shards"), found.pop("sha256")
    names, tokens = read_output(tmp_path / "out")
    assert [shard["name"] for shard in shards] == names
    assert [shard["split"] for shard in shards] == ["val"] + ["train"] * (len(names) - 1)
    for shard in shards:
        content = (tmp_path / "out" / shard["name"]).read_bytes()
        assert shard["bytes"] == len(content) == 1024 + 2 * shard["tokens"]
        assert shard["sha256"] == hashlib.sha256(content).hexdigest()
    spelled = b"".join(len(token).to_bytes(4, "little") + token for token in tokenizer.tokens)
    assert found == {
        "format": "minigpt data",
        "version": 1,
        "name": "x",
        "tokenizer": {"n_vocab": 400, "eot": 399, "sha256": hashlib.sha256(spelled).hexdigest()},
        "eot": "after",
        "field": "text",
        "shard_tokens": 300,
        "inputs": [
            {"name": str(tmp_path / "0.txt"), "format": "text", "bytes": len(TEXT.encode())},
            {"name": str(tmp_path / "1.txt"), "format": "text", "bytes": 2},
        ],
        "documents": 2,
        "skipped": 0,
        "text_bytes": len(TEXT.encode()) + 2,
        "tokens": len(tokens),
    }


def test_any_number_of_workers_and_any_units_make_the_same_bytes(tmp_path):
    write_jsonl(tmp_path / "a.jsonl", [text[:5000] for text in SPEECHES])
    write_parquet(tmp_path / "b.parquet", [text[5000:9000] for text in SPEECHES], 2)
    inputs = [files(tmp_path, *SPEECHES), tmp_path / "a.jsonl", tmp_path / "b.parquet"]
    run(inputs, tmp_path / "one", shard_tokens=1000)
    assert len(manifest_of(tmp_path / "one")["shards"]) > 10
    run(inputs, tmp_path / "three", 1000, workers=3, shard_tokens=1000)
    run(inputs, tmp_path / "cut", 777, shard_tokens=1000)
    assert contents(tmp_path / "one") == contents(tmp_path / "three") == contents(tmp_path / "cut")
    texts = [*SPEECHES, *(text[:5000] for text in SPEECHES), *(text[5000:9000] for text in SPEECHES)]
    assert read_output(tmp_path / "one")[1] == expected_tokens(texts)


# ---- what is there already -------------------------------------------------------------------


def test_a_finished_output_is_left_alone(tmp_path, capsys):
    pattern = files(tmp_path, TEXT)
    run([pattern], tmp_path / "out", shard_tokens=300)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()}
    capsys.readouterr()
    assert run([pattern], tmp_path / "out", shard_tokens=300) == 0
    assert "finished already: 1 documents" in capsys.readouterr().out
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "out").iterdir()} == before


def test_a_finished_output_of_something_else_is_refused_with_every_difference(tmp_path):
    pattern = files(tmp_path, TEXT, "gone", "longer")
    run([pattern], tmp_path / "out", shard_tokens=300)
    before = contents(tmp_path / "out")
    (tmp_path / "1.txt").rename(tmp_path / "4.txt")
    (tmp_path / "2.txt").write_text("longer now")
    with pytest.raises(DataError) as refused:
        run([pattern], tmp_path / "out", shard_tokens=200, eot="after", name="y")
    for said in (
        "manifest.json: begun with other settings or inputs: ",
        "name was 'x', now 'y'",
        "eot was 'before', now 'after'",
        "shard_tokens was 300, now 200",
        "1.txt was among the inputs, now it is not",
        "4.txt was not among the inputs, now it is",
        "2.txt bytes was 6, now 10",
        "give the same ones again, or another --out",
    ):
        assert said in str(refused.value)
    assert contents(tmp_path / "out") == before


def test_the_order_of_inputs_is_a_setting(tmp_path):
    files(tmp_path, "one", "two")
    run([tmp_path / "0.txt", tmp_path / "1.txt"], tmp_path / "out")
    with pytest.raises(DataError, match="the inputs were in another order"):
        run([tmp_path / "1.txt", tmp_path / "0.txt"], tmp_path / "out")


def test_another_tokenizer_is_refused(tmp_path):
    pattern = files(tmp_path, TEXT)
    run([pattern], tmp_path / "out")
    with pytest.raises(DataError, match="tokenizer n_vocab was 400, now 50257; tokenizer eot was 399"):
        run([pattern], tmp_path / "out", tokenizer="gpt2")


@pytest.mark.parametrize("damage", ["longer", "shorter", "gone"])
def test_a_finished_output_that_is_damaged_is_not_taken_for_good(tmp_path, damage):
    pattern = files(tmp_path, TEXT)
    run([pattern], tmp_path / "out")
    path = tmp_path / "out" / "x_train_000001.bin"
    found = path.read_bytes()
    path.write_bytes({"longer": found + b"x", "shorter": found[:-2], "gone": b""}[damage])
    if damage == "gone":
        path.unlink()
    with pytest.raises(
        DataError, match=rf"x_train_000001.bin: expected {len(found):,} bytes, as the manifest"
    ):
        run([pattern], tmp_path / "out")


@pytest.mark.parametrize("name", ["notes.txt", "x_train_000001.bin", "part-1-of-2", "tokenizer.json"])
def test_a_folder_with_anything_else_is_refused(tmp_path, name):
    pattern = files(tmp_path, TEXT)
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).write_text("mine")
    with pytest.raises(
        DataError, match=f"out: expected an empty folder .* found {name}; nothing is overwritten"
    ):
        run([pattern], tmp_path / "out")
    assert contents(tmp_path / "out") == {name: b"mine"}


def test_a_file_in_the_way_and_foreign_manifests(tmp_path):
    pattern = files(tmp_path, TEXT)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(DataError, match="file: expected a folder to write, found a file"):
        run([pattern], tmp_path / "file")
    for name, content, said in (
        ("manifest.json", '{"name": "app"}', "manifest.json: damaged: its content has not the SHA-256"),
        ("manifest.json", "[", "manifest.json: damaged: not readable: Expecting value"),
        ("manifest.json", "[" * 100_000, "manifest.json: damaged: not readable: "),
        ("manifest.json", "[]", "manifest.json: damaged: expected a JSON object, found list"),
        ("manifest.json", '{"format": "minigpt data", "version": 2, "shards": []}', "another version"),
        ("journal.json", "{}", "journal.json: damaged: its content has not the SHA-256"),
        ("journal.json", '{"state": {"color": 1}}', "journal.json: damaged: its content has not"),
        ("journal.json", sealed({"state": {"color": 1}}), "journal.json: of another version: TypeError"),
        ("journal.json", sealed({}), "journal.json: of another version: KeyError"),
    ):
        out = tmp_path / f"out-{len(os.listdir(tmp_path))}"
        out.mkdir()
        (out / name).write_text(content)
        with pytest.raises(DataError, match=said):
            run([pattern], out)
        assert contents(out) == {name: content.encode()}


def test_one_process_at_a_time(tmp_path):
    from minigpt.prepare.journal import open_folder

    pattern = files(tmp_path, TEXT)
    lock = open_folder(tmp_path / "out")
    with pytest.raises(DataError, match="out: another minigpt data is writing here"):
        run([pattern], tmp_path / "out")
    os.close(lock)
    assert run([pattern], tmp_path / "out") == 0


# ---- flags and progress ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ({"shard_tokens": 0}, "shard_tokens must be"),
        ({"shard_tokens": 2**31}, "shard_tokens must be"),
        ({"workers": 0}, "workers must be"),
        ({"eot": "between"}, "eot must be one of before, after: found 'between'"),
        ({"format": "csv"}, "format must be one of auto, text, jsonl, parquet: found 'csv'"),
        ({"part": "0/2"}, "part must be I/N with I from 1 to N, or auto: found '0/2'"),
    ],
)
def test_flags_that_are_none(tmp_path, flags, said):
    with pytest.raises(ConfigError, match=said):
        run([files(tmp_path, TEXT)], tmp_path / "out", **flags)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ConfigError, match="out must name a folder"):
        run(["a.txt"], "")
    with pytest.raises(DataError, match=r"name: expected letters, digits .* found 'a/b'; say --name"):
        run([tmp_path / "0.txt"], tmp_path / "out", name="a/b")


def test_the_last_line_counts(tmp_path, capsys):
    write_parquet(tmp_path / "a.parquet", ["four", None, "five!"])
    run([tmp_path / "a.parquet"], tmp_path / "out")
    out, err = capsys.readouterr()
    n = len(expected_tokens(["four", "five!"]))
    assert (
        f"2 documents (1 rows without a text skipped), {n} tokens, {9 / n:.2f} bytes a token, 2 shards; "
        in out
    )
    assert out.count("\n") == 1
    assert err == ""


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_progress_is_a_bar_on_a_terminal_and_lines_elsewhere(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    piped = io.StringIO()
    shown = progress.Progress(1000, 100, piped)
    for _ in range(4):
        now[0] += 10
        shown.add(100, 50_000_000)
    assert piped.getvalue() == "50% | 5.0 MB/s | 0:00:50 left\n"
    terminal = Terminal()
    bar = progress.Progress(1000, 0, terminal)
    now[0] += 10
    bar.add(500, 120_000_000)
    bar.bar.refresh()
    bar.close()
    assert " 50% |" in terminal.getvalue()
    assert "12.0 MB/s" in terminal.getvalue()
    assert " left]" in terminal.getvalue()


def test_memory_is_bounded_by_units_not_by_files(tmp_path, monkeypatch):
    """No read of a text asks for much more than a unit, no batch of parquet holds more than some rows."""
    from minigpt.prepare import documents, parquet

    sizes = []
    whole = documents.content_of
    monkeypatch.setattr(
        documents, "content_of", lambda unit: sizes.append(len(whole(unit)[0])) or whole(unit)
    )
    run([files(tmp_path, *SPEECHES)], tmp_path / "out", unit=1000)
    assert len(sizes) > 20
    assert max(sizes) < 1100
    batches = []
    rows = parquet.texts_of
    monkeypatch.setattr(parquet, "texts_of", lambda *a: batches.append(len(a[1])) or rows(*a))
    write_parquet(tmp_path / "a.parquet", ["row"] * 1000, 1000)
    run([tmp_path / "a.parquet"], tmp_path / "rows")
    assert sum(batches) == 1000
    assert max(batches) <= 64


def test_tokens_are_16_bits(tmp_path, monkeypatch):
    class Large:
        n_vocab = 2**16 + 1

    monkeypatch.setattr("minigpt.prepare.encode.Tokenizer.load", lambda name: Large())
    with pytest.raises(DataError, match=r"expected at most 65,536 ids, .* found 65,537 in small"):
        run([files(tmp_path, TEXT)], tmp_path / "out", tokenizer="small")


def test_a_shard_is_llmc_s_byte_for_byte(tmp_path):
    (tmp_path / "a.txt").write_text("qx")
    run([tmp_path / "a.txt"], tmp_path / "out", shard_tokens=2)
    ids = expected_tokens(["qx"])
    assert len(ids) == 3
    header = np.zeros(256, np.int32)
    header[:3] = 20240520, 1, 2
    assert (tmp_path / "out" / "x_val_000000.bin").read_bytes() == header.tobytes() + np.uint16(
        ids[:2]
    ).tobytes()
    header[2] = 1
    expected = header.tobytes() + np.uint16(ids[2:]).tobytes()
    assert Path(tmp_path / "out" / "x_train_000001.bin").read_bytes() == expected


def test_a_manifest_holds_the_sha256_of_the_rest(tmp_path):
    run([files(tmp_path, TEXT)], tmp_path / "out")
    content = manifest_of(tmp_path / "out")
    seal = content.pop("sha256")
    assert json.loads(sealed(content))["sha256"] == seal


@pytest.mark.parametrize("key", ["tokens", "shards", "name", "text_bytes", "inputs", "sha256", "version"])
@pytest.mark.parametrize("value", [None, -1, "y", [1], {}])
def test_a_damaged_manifest_is_never_taken_for_good(tmp_path, key, value):
    pattern = files(tmp_path, "some text")
    run([pattern], tmp_path / "out")
    path, whole = tmp_path / "out" / "manifest.json", manifest_of(tmp_path / "out")
    for damaged in (whole | {key: value}, without(whole, key)):
        path.write_text(json.dumps(damaged))
        with pytest.raises(DataError, match=r"manifest\.json: (damaged: .* make it anew|expected \{'format)"):
            run([pattern], tmp_path / "out")
        assert json.loads(path.read_text()) == damaged


def without(value, key):
    return {name: one for name, one in value.items() if name != key}
