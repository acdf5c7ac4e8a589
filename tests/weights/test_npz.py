"""NumPy's archives: NumPy reads what is written, and what is no archive of weights is named."""

import io
import zipfile

import ml_dtypes
import numpy as np
import pytest

import minigpt

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=4, n_embd=8, n_ctx=6, n_vocab=11)


def params_of():
    return dict(minigpt.init_params(CONFIG))


def npy(array, **how):
    file = io.BytesIO()
    np.save(file, array, **how)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numpy_reads_what_is_written(tmp_path, dtype):
    params = minigpt.init_params(CONFIG, dtype=dtype)
    minigpt.save_weights(tmp_path / "model", CONFIG, params, format="npz")  # the name is not changed
    with np.load(tmp_path / "model") as found:
        assert found["n_head"] == 4
        assert set(found.files) == {"n_head", *params}
        assert all(found[name].tobytes() == params[name].tobytes() for name in params)
    config, again = minigpt.load_weights(tmp_path / "model")
    assert config == CONFIG
    assert again.buffer.tobytes() == params.buffer.tobytes()


@pytest.mark.parametrize("change", [np.asfortranarray, lambda a: a.astype(">f4"), lambda a: a.astype("f2")])
def test_other_orders_and_types_are_read_by_value(tmp_path, change):
    arrays = {name: change(array) for name, array in params_of().items()}
    np.savez(tmp_path / "x.npz", **arrays)
    _, params = minigpt.load_weights(tmp_path / "x.npz", n_head=4)
    assert params.buffer.dtype == np.float32
    assert all(np.array_equal(params[name], arrays[name]) for name in params)


def test_without_heads_they_are_asked_for(tmp_path):
    np.savez(tmp_path / "x.npz", **params_of())
    with pytest.raises(minigpt.CheckpointError, match="say n_head="):
        minigpt.load_weights(tmp_path / "x.npz")
    assert minigpt.load_weights(tmp_path / "x.npz", n_head=4)[0] == CONFIG


def rezip(path, members, method=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, content in members:
            archive.writestr(name, content)


class Trap:
    """What a pickle would run if anyone read it."""

    def __reduce__(self):
        return (pytest.fail, ("a pickle was read",))


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([("wte.weight.npy", b"")], "wte.weight: expected the header of an .npy file"),
        ([("wte.weight.npy", b"\x93NUMPY\x01\x00\xff\xff")], "the header of an .npy file"),
        ([("wte.weight.npy", npy(np.zeros(3))[:-1])], r"as many bytes as float64 of shape \(3,\), found 23"),
        ([("wte.weight.npy", npy(np.array([Trap()]), allow_pickle=True))], "object, which is a pickle"),
        ([("wte.weight.npy", npy(np.array(["a"])))], "expected plain numbers, found <U1"),
        ([("words.txt", b"")], "expected arrays, each once, found 'words.txt'"),
        (
            [("archive/data.pkl", b"\x80\x02")],
            "found weights as PyTorch pickles them; a pickle can run any code",
        ),
        ([("n_head.npy", npy(np.zeros(3)))], "n_head: expected one whole number"),
        ([("other.npy", npy(np.zeros(3)))], "expected matrices wte.weight and wpe.weight"),
        (
            [("wte.weight.npy", npy(np.zeros((2, 2)))), ("wpe.weight.npy", npy(np.zeros(2)))],
            "expected matrices",
        ),
    ],
)
def test_what_is_no_archive_of_weights_is_named(tmp_path, members, message):
    rezip(tmp_path / "x.npz", members)
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(tmp_path / "x.npz")


def test_a_header_that_is_code_is_not_run(tmp_path):
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (pytest.fail('run'),), }"
    content = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
    rezip(tmp_path / "x.npz", [("wte.weight.npy", content)])
    with pytest.raises(minigpt.CheckpointError, match=r"the header of an \.npy file"):
        minigpt.load_weights(tmp_path / "x.npz")


@pytest.mark.parametrize("change", [dict, lambda params: {"x": np.zeros(9_999)}])  # more numbers than bytes
def test_compressed_archives_are_refused_by_name(tmp_path, change):
    np.savez_compressed(tmp_path / "x.npz", **change(params_of()))
    with pytest.raises(
        minigpt.CheckpointError, match=r"found a compressed one; np\.load it and np\.savez it"
    ):
        minigpt.load_weights(tmp_path / "x.npz")


def test_bfloat16_is_no_type_of_numpys_files(tmp_path):
    halves = {name: param.astype(ml_dtypes.bfloat16) for name, param in params_of().items()}
    with pytest.raises(minigpt.CheckpointError, match="found bfloat16; write float32, or safetensors"):
        minigpt.save_weights(tmp_path / "x.npz", CONFIG, halves, format="npz")
    assert not list(tmp_path.iterdir())


def test_flipped_bits_and_cuts_are_found(tmp_path):
    path = tmp_path / "x.npz"
    minigpt.save_weights(path, CONFIG, params_of(), format="npz")
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    start = content.index(params_of()["h.1.mlp.c_fc.weight"].tobytes())
    for place in start + rng.integers(0, 8 * 32 * 4, 50):
        bad = bytearray(content)
        bad[place] ^= 1 << rng.integers(8)
        path.write_bytes(bad)
        with pytest.raises(minigpt.CheckpointError, match=r"h\.1\.mlp\.c_fc\.weight: expected a checksum of"):
            minigpt.load_weights(path)
    for length in rng.integers(0, len(content), 50):
        path.write_bytes(content[:length])
        with pytest.raises(minigpt.CheckpointError):
            minigpt.load_weights(path)
