"""Damaged weights: some of every format here, 10,000 of each in make fuzz; and what was made to harm."""

import json
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

import minigpt
from tests import fuzz_weights
from tests.support import bundles

NAMES = 20_000_000  # bytes that lists of names and places may take, whatever the file's size


@pytest.mark.parametrize("name", fuzz_weights.FORMATS)
def test_damaged_files_load_or_are_refused(name):
    found = fuzz_weights.outcomes(name, 60, seed=1)
    assert found["faults"] == 0
    assert found["refused"] > 10


@pytest.mark.parametrize(
    "instead",
    [
        lambda path, n_head: {}["no such thing"],
        lambda path, n_head: (np.ones(100_000), minigpt.load_weights(path)) if path else None,
        lambda path, n_head: np.log(np.zeros(1)),
        lambda path, n_head: (fuzz_weights.CONFIG, {}),
    ],
)
def test_the_fuzzer_notices_other_exceptions_memory_warnings_and_no_models(monkeypatch, instead):
    monkeypatch.setattr(fuzz_weights.minigpt, "load_weights", instead)
    assert fuzz_weights.outcomes("llmc", 3, seed=0)["faults"] == 3


def many_entries():
    """An index of as many tensors without numbers as fit."""
    entry = bundles.message({1: 1, 2: bundles.field(2, b""), 6: struct.pack("<I", 1)})
    return bundles.table(
        {b"": bundles.field(1, 1)} | {b"%06x" % i: entry for i in range(66_000)}
    )  # nearly 2**20 bytes


def long_keys():
    """An index whose keys share all but their last bytes."""
    return bundles.table({b"": bundles.field(1, 1)} | {b"k" * 500 + b"%06x" % i: b"" for i in range(5_000)})


def header_of(entry, count):
    """A safetensors file of nothing but a header."""
    header = json.dumps({f"{i:x}": entry for i in range(count)}, separators=(",", ":")).encode()
    return len(header).to_bytes(8, "little") + header


def archive_of_names(path):
    """A zip file of nothing but names."""
    with zipfile.ZipFile(path, "w") as archive:
        for i in range(8_000):
            archive.writestr(f"{i:x}.npy", b"")


def brackets(count):
    """A safetensors file whose header is lists alone."""
    header = b'{"a":[' + b"[]," * count + b"[]]}"
    return len(header).to_bytes(8, "little") + header


HARMFUL = {
    "brackets.safetensors": lambda: brackets(87_000),  # as long as any header may be
    "brackets.safetensors.index.json": lambda: brackets(87_000)[8:],
    "many.index": many_entries,
    "long.index": long_keys,
    "nested.safetensors": lambda: header_of([[[[]]]] * 100, 250),
    "entries.safetensors": lambda: header_of({"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}, 4_500),
    "huge.safetensors": lambda: header_of({"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}, 1),
}  # fmt: skip


@pytest.mark.parametrize("name", HARMFUL)
def test_files_of_names_alone_are_refused_within_bounds(tmp_path, name):
    (tmp_path / name).write_bytes(HARMFUL[name]())
    assert_refused_within_bounds(tmp_path / name)


def test_an_archive_of_names_alone_is_refused_within_bounds(tmp_path):
    archive_of_names(tmp_path / "x.npz")
    assert_refused_within_bounds(tmp_path / "x.npz")


def assert_refused_within_bounds(path):
    tracemalloc.start()
    try:
        with pytest.raises(minigpt.CheckpointError):
            minigpt.load_weights(path)
        assert tracemalloc.get_traced_memory()[1] < 2 * path.stat().st_size + NAMES
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("n_layer", [9_999, 10**30])
def test_a_configuration_of_layers_without_end_takes_no_memory(tmp_path, n_layer):
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=1, n_vocab=2)
    minigpt.save_weights(tmp_path, config, minigpt.init_params(config))
    words = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(words | {"n_layer": n_layer}))
    tracemalloc.start()
    try:
        with pytest.raises(minigpt.CheckpointError, match=r"'h\.1\.ln_1\.weight' missing|must be between"):
            minigpt.load_weights(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 200_000
    finally:
        tracemalloc.stop()
