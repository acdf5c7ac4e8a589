"""Tensor bundles: TensorFlow's own files, read to the bit; every kind of file that is none, named."""

import lzma
import re
import shutil
import struct
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt.weights import crc32c, protobuf
from minigpt.weights.stored import read
from minigpt.weights.tensor_bundle import open_bundle
from tests.support import bundles

FIXTURES = Path(__file__).parent / "fixtures"
CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
TRUTH = dict(np.load(FIXTURES / "openai.npz"))  # what TensorFlow was given
DATA = "model.ckpt.data-00000-of-00001"


def truth(dtype="float32"):
    """Our names, in the order of the parameters, with what TensorFlow was given."""
    ours = minigpt.init_params(CONFIG)
    theirs = dict(zip(ours, bundles.openai_names(ours), strict=True))
    return {name: TRUTH[theirs[name]].astype(dtype).reshape(ours[name].shape) for name in ours}


@pytest.mark.parametrize("path", ["", "model.ckpt", "model.ckpt.index", DATA])
def test_an_openai_folder_is_read_by_any_of_its_names(path):
    config, params = minigpt.load_weights(FIXTURES / "openai" / path)
    assert config == CONFIG
    assert list(params) == list(truth())
    for name, expected in truth().items():
        assert params[name].dtype == np.float32
        assert params[name].tobytes() == expected.tobytes()


@pytest.mark.parametrize("kind", ["shards", "trained", "float64", "float16", "bfloat16"])
def test_other_bundles_of_tensorflow_are_read(kind):
    _, params = minigpt.load_weights(FIXTURES / kind, n_head=2)
    written = truth({"bfloat16": ml_dtypes.bfloat16, "float16": np.float16}.get(kind, np.float32))
    assert params.buffer.dtype == ("float64" if kind == "float64" else "float32")
    for name, expected in written.items():
        assert np.array_equal(params[name], expected.astype(params[name].dtype))


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("sliced", "model/wte: expected a whole tensor, found one saved in slices"),
        ("objects", "found an object graph, as tf.train.Checkpoint and Keras save it"),
        ("version1", "found a checkpoint of TensorFlow's older format V1"),
        ("version1/model.ckpt", "found a checkpoint of TensorFlow's older format V1"),
        ("shards", r"n_embd=8; say n_head="),
    ],
)
def test_what_is_not_openais_is_named(path, message):
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(FIXTURES / path)


def write(folder, arrays=TRUTH, **changes):
    """A bundle that may be faulty; its index."""
    bundles.write_bundle(folder / "model.ckpt", arrays, **changes)
    return folder / "model.ckpt.index"


def test_the_writer_of_the_tests_is_tensorflows_byte_for_byte(tmp_path):
    write(tmp_path)
    for name in ("model.ckpt.index", DATA):
        assert (tmp_path / name).read_bytes() == (FIXTURES / "openai" / name).read_bytes()
    many = {f"{i:05d}/{'long' * 50}": np.array(i, np.float32) for i in range(2500)}
    bundles.write_bundle(tmp_path / "many", many)
    for name in ("index", "data-00000-of-00001"):
        expected = lzma.decompress((FIXTURES / f"many.{name}.xz").read_bytes())
        assert (tmp_path / f"many.{name}").read_bytes() == expected


def test_an_index_of_several_blocks_is_read_to_its_end(tmp_path):
    for name in ("many.index", "many.data-00000-of-00001"):
        (tmp_path / name).write_bytes(lzma.decompress((FIXTURES / f"{name}.xz").read_bytes()))
    found = open_bundle(tmp_path / "many.index")
    assert len(found) == 2500
    assert all(read(stored) == int(name[:5]) for name, stored in found.items())


names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40)
shapes = st.lists(st.integers(1, 5), max_size=4).map(tuple)
kinds = st.sampled_from(sorted(bundles.KINDS))


@given(
    st.dictionaries(names, st.tuples(shapes, kinds), min_size=1, max_size=40), st.integers(1, 4), st.data()
)
def test_any_bundle_comes_back(tmp_path_factory, wanted, n_shards, data):
    rng = np.random.default_rng(len(wanted))
    arrays = {name: rng.integers(-9, 9, shape).astype(kind) for name, (shape, kind) in wanted.items()}
    folder = tmp_path_factory.mktemp("bundle")
    n_shards = min(n_shards, len(arrays))
    index = write(folder, arrays, n_shards=n_shards, block_bytes=data.draw(st.sampled_from([1, 99, 2000])))
    found = open_bundle(index)
    assert list(found) == sorted(arrays, key=str.encode)
    for name, array in arrays.items():
        assert found[name].dtype == array.dtype
        assert read(found[name]).tobytes() == array.tobytes()
    shutil.rmtree(folder)


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path):
    shutil.copytree(FIXTURES / "openai", tmp_path, dirs_exist_ok=True)
    rng = np.random.default_rng(0)
    for name, message in (("model.ckpt.index", "index"), (DATA, "data-00000.*: model/.* a checksum of 0x")):
        content = (tmp_path / name).read_bytes()
        messages = []
        for place in range(len(content)) if len(content) < 2000 else rng.integers(0, len(content), 300):
            bad = bytearray(content)
            bad[place] ^= 1 << rng.integers(8)
            (tmp_path / name).write_bytes(bad)
            try:
                minigpt.load_weights(tmp_path)
                messages.append(f"byte {place} went unnoticed")
            except minigpt.CheckpointError as error:
                messages.append(str(error))
        (tmp_path / name).write_bytes(content)
        assert [found for found in messages if not re.search(message, found)] == []


def test_every_cut_is_found_and_says_how_much_is_missing(tmp_path):
    shutil.copytree(FIXTURES / "openai", tmp_path, dirs_exist_ok=True)
    index = (tmp_path / "model.ckpt.index").read_bytes()
    for length in range(0, len(index), 3):
        (tmp_path / "model.ckpt.index").write_bytes(index[:length])
        with pytest.raises(minigpt.CheckpointError, match="index"):
            minigpt.load_weights(tmp_path)
    (tmp_path / "model.ckpt.index").write_bytes(index)
    data = (tmp_path / DATA).read_bytes()
    (tmp_path / DATA).write_bytes(data[:-100])
    with pytest.raises(
        minigpt.CheckpointError, match=r"7,584 bytes \(28 tensors\), found 7,484, 100 too few"
    ):
        minigpt.load_weights(tmp_path)
    (tmp_path / DATA).unlink()
    with pytest.raises(minigpt.CheckpointError, match=f"{DATA}: no such file"):
        minigpt.load_weights(tmp_path)


FIELD = bundles.field
WTE = bundles.entries_of(TRUTH, 1, {})[b"model/wte"]
FAULTS = {
    "big-endian": ({"header": FIELD(1, 1) + FIELD(2, 1)}, "a bundle of a big-endian machine"),
    "strings": ({"model/wte": {1: 7}}, "found TensorFlow's type 7"),
    "a size that does not fit": ({"model/wte": {5: 351}}, r"\(11, 8\) cannot have 351 bytes"),
    "a shape that does not fit": ({"model/wte": {2: FIELD(2, FIELD(1, 2**39))}}, "cannot have 352 bytes"),
    "a shape of 2^64 - 1": ({"model/wte": {2: FIELD(2, FIELD(1, 2**64 - 1))}}, "18446744073709551615"),
    "100 dimensions": ({"model/wte": {2: FIELD(2, FIELD(1, 1)) * 100}}, "a tensor of 100 dimensions"),
    "an offset beyond the end": ({"model/wte": {4: 2**50}}, "too few"),
    "a file of another number": ({"model/wte": {3: 5}}, "data file 5 of 1"),
    "a field of another kind": ({"model/wte": {1: b"x"}}, "field 1 is of another kind"),
    "the same place twice": ({"model/h1/mlp/c_proj/w": {4: 0}, "model/h0/mlp/c_fc/w": {4: 0}}, "checksum"),
    "the checksum of another": ({"model/wte": {6: struct.pack("<I", 1)}}, "wte: expected a checksum of"),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_faulty_entries_are_named(tmp_path, fault):
    changes, message = FAULTS[fault]
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(write(tmp_path, **changes), n_head=2)


def test_tensors_that_share_their_bytes_do_not_multiply_a_file(tmp_path):
    arrays = {f"model/{i}/w": np.ones(1000, np.float32) for i in range(3)}
    changes = {name: {4: 0} for name in arrays}
    index = write(tmp_path, arrays, **changes)
    with open(tmp_path / DATA, "r+b") as file:
        file.truncate(4000)
    with pytest.raises(minigpt.CheckpointError, match="lie in one place"):
        minigpt.load_weights(index)


@pytest.mark.parametrize(("kind", "name"), [(1, "snappy"), (2, "kind 2")])
def test_compressed_blocks_are_refused_by_name(tmp_path, kind, name):
    index = write(tmp_path)
    index.write_bytes(bundles.table(bundles.entries_of(TRUTH, 1, {}), kind=kind))
    with pytest.raises(minigpt.CheckpointError, match=rf"is compressed \({name}\)"):
        minigpt.load_weights(index)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({b"a": b""}, "expected the header of a tensor bundle under the key '', found b'a'"),
        ({b"": FIELD(1, 1), b"b": WTE, b"a": WTE}, "key b'a' does not come after b'b'"),
        ({b"": FIELD(1, 1), b"\xff": b""}, "is not UTF-8"),
        ({b"": FIELD(1, 1), b"k" * 600: b""}, "does not fit into its block"),
        ({b"": FIELD(1, 1), b"a": b"\x08"}, "no number of at most 64 bits"),
        ({b"": FIELD(1, 1), b"a": b"\x12\x7fa"}, "126 bytes are missing"),
        ({b"": FIELD(1, 1), b"a": b"\x0b"}, "kind 3 is not in use"),
    ],
)
def test_faulty_tables_are_named(tmp_path, entries, message):
    index = write(tmp_path)
    index.write_bytes(bundles.table(entries))
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(index)


def test_a_key_may_not_stand_there_twice(tmp_path):
    class Twice(dict):
        def items(self):
            return [(b"", FIELD(1, 1)), (b"a", WTE), (b"a", WTE)]

    index = write(tmp_path)
    index.write_bytes(bundles.table(Twice()))
    with pytest.raises(minigpt.CheckpointError, match="key b'a' does not come after b'a'"):
        minigpt.load_weights(index)


@pytest.mark.parametrize("length", [8, 47, 48])
def test_the_end_of_a_table_is_no_table(tmp_path, length):
    index = write(tmp_path)
    index.write_bytes(index.read_bytes()[-length:])
    with pytest.raises(minigpt.CheckpointError, match="damage"):
        minigpt.load_weights(index)


@pytest.mark.parametrize(
    ("length", "message"), [(512, "found TensorFlow's type None"), (513, "does not fit")]
)
def test_a_key_has_at_most_512_bytes(tmp_path, length, message):
    index = write(tmp_path)
    index.write_bytes(bundles.table({b"": FIELD(1, 1), b"k" * length: b""}))
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(index)


def test_of_several_checkpoints_the_one_that_is_named_is_read(tmp_path):
    shutil.copytree(FIXTURES / "openai", tmp_path, dirs_exist_ok=True)
    write(tmp_path / "other", {name: array + 1 for name, array in TRUTH.items()})
    for path in (tmp_path / "other").iterdir():
        path.rename(tmp_path / path.name.replace("model.ckpt", "model-7"))
    (tmp_path / "checkpoint").write_text('model_checkpoint_path: "/somewhere/model-7"\n')
    assert np.array_equal(minigpt.load_weights(tmp_path)[1]["wte.weight"], TRUTH["model/wte"] + 1)
    (tmp_path / "checkpoint").unlink()
    with pytest.raises(minigpt.CheckpointError, match=r"found 2 .* give the \.index file that you mean"):
        minigpt.load_weights(tmp_path)


def test_hparams_that_contradict_the_tensors_are_named(tmp_path):
    shutil.copytree(FIXTURES / "openai", tmp_path, dirs_exist_ok=True)
    (tmp_path / "hparams.json").write_text(
        '{"n_vocab": 12, "n_ctx": 6, "n_embd": 8, "n_head": 2, "n_layer": 2}'
    )
    with pytest.raises(
        minigpt.CheckpointError, match=r"wte.weight: expected shape \(12, 8\) by hparams.json"
    ):
        minigpt.load_weights(tmp_path)
    (tmp_path / "hparams.json").write_text('{"n_vocab": 11}')
    with pytest.raises(minigpt.CheckpointError, match="found no n_layer"):
        minigpt.load_weights(tmp_path)


# https://www.rfc-editor.org/rfc/rfc3720, appendix B.4
@pytest.mark.parametrize(
    ("content", "expected"),
    [(bytes(32), 0x8A9136AA), (b"\xff" * 32, 0x62A8AB43), (bytes(range(32)), 0x46DD794E)],
)
def test_the_checksum_is_the_published_one(content, expected):
    assert crc32c.crc32c(content) == expected
    assert crc32c.crc32c(content[5:], crc32c.crc32c(content[:5])) == expected


@given(st.integers(0, 2**32 - 1))
def test_masks_come_off(crc):
    assert crc32c.unmasked(bundles.masked(crc)) == crc


@given(st.integers(0, 2**64 - 1), st.binary(max_size=3))
def test_varints_come_back(number, after):
    content = bundles.varint(number)
    assert protobuf.varint(content + after, 0) == (number, len(content))


numbers = st.integers(0, 2**64 - 1)
messages = st.lists(
    st.one_of(
        st.tuples(st.just(0), numbers),
        st.tuples(st.just(1), numbers),
        st.tuples(st.just(2), st.binary(max_size=300)),
        st.tuples(st.just(5), st.integers(0, 2**32 - 1)),
    ).flatmap(lambda field: st.tuples(st.integers(1, 2**29 - 1), st.just(field[0]), st.just(field[1])))
)
ENCODERS = {
    0: bundles.varint,
    1: lambda value: struct.pack("<Q", value),
    2: lambda value: bundles.varint(len(value)) + value,
    5: lambda value: struct.pack("<I", value),
}


@given(messages)
def test_messages_come_back_and_no_cut_one_does(message):
    content = b"".join(bundles.varint(n << 3 | kind) + ENCODERS[kind](value) for n, kind, value in message)
    assert list(protobuf.fields(content)) == message
    if message:
        with pytest.raises(protobuf.Malformed):
            list(protobuf.fields(content[:-1]))


@pytest.mark.parametrize("content", [b"", b"\x80", b"\xff" * 9 + b"\x02", b"\x80" * 10 + b"\0"])
def test_what_is_no_varint_is_refused(content):
    with pytest.raises(protobuf.Malformed):
        protobuf.varint(content, 0)
