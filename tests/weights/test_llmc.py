"""llm.c's model files against the layout written out by hand, and bfloat16 against exact arithmetic."""

import struct
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minigpt
from minigpt.weights import llmc

# L=2, H=2, C=8, maxT=6, V=11, so Vp=128
CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
# where each of the 16 tensors begins, in numbers after the header, and its shape there: added up by hand
LAYOUT = {
    "wte": (0, (128, 8)), "wpe": (1024, (6, 8)), "ln_1.weight": (1072, (2, 8)), "ln_1.bias": (1088, (2, 8)),
    "attn.c_attn.weight": (1104, (2, 24, 8)), "attn.c_attn.bias": (1488, (2, 24)),
    "attn.c_proj.weight": (1536, (2, 8, 8)), "attn.c_proj.bias": (1664, (2, 8)),
    "ln_2.weight": (1680, (2, 8)), "ln_2.bias": (1696, (2, 8)),
    "mlp.c_fc.weight": (1712, (2, 32, 8)), "mlp.c_fc.bias": (2224, (2, 32)),
    "mlp.c_proj.weight": (2288, (2, 8, 32)), "mlp.c_proj.bias": (2800, (2, 8)),
    "ln_f.weight": (2816, (8,)), "ln_f.bias": (2824, (8,)),
}  # fmt: skip
NUMBERS = 2832


def params_of(dtype="float32"):
    params = minigpt.init_params(CONFIG, dtype="float64")
    params.buffer[:] = np.random.default_rng(0).normal(size=params.buffer.size)
    return params.like(params.buffer.astype(dtype))


@pytest.mark.parametrize(("format", "version", "dtype"), [("llmc", 3, "<f4"), ("llmc-bf16", 5, "<u2")])
def test_the_file_is_llmcs_layout_number_by_number(tmp_path, format, version, dtype):
    params, path = params_of(), tmp_path / "model.bin"
    minigpt.save_weights(path, CONFIG, params, format=format)
    content = path.read_bytes()
    assert struct.unpack("<8i", content[:32]) == (20240326, version, 6, 11, 2, 2, 8, 128)
    assert content[32:1024] == bytes(992)
    assert len(content) == 1024 + np.dtype(dtype).itemsize * NUMBERS == llmc.file_bytes(CONFIG, version)
    numbers = np.frombuffer(content, dtype, offset=1024)
    for name, (start, shape) in LAYOUT.items():
        found = numbers[start : start + np.prod(shape)].reshape(shape)
        if name in ("wte", "wpe"):
            rows = len(params[f"{name}.weight"])
            assert not found[rows:].any()
            parts = {f"{name}.weight": found[:rows]}
        elif name.startswith("ln_f"):
            parts = {name: found}
        else:
            parts = {f"h.{layer}.{name}": found[layer].T for layer in range(2)}
        for ours, part in parts.items():
            expected = params[ours] if version == 3 else bits_of_bfloat16(params[ours])
            assert np.array_equal(part, expected), ours


def bits_of_bfloat16(array):
    """Rounding to the nearest, ties to even, on the bits of finite float32."""
    bits = array.astype(np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


@given(st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_bfloat16_is_the_nearest_and_of_two_the_even_one(tmp_path_factory, number):
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=1, n_ctx=1, n_vocab=1)
    params = minigpt.init_params(config)
    params.buffer[:] = number
    path = tmp_path_factory.getbasetemp() / "one.bin"
    nearest = nearest_bfloat16(Fraction(float(np.float32(number))), negative=np.signbit(number))
    if nearest & 0x7FFF == 0x7F80:  # infinity
        with pytest.raises(minigpt.CheckpointError, match=r"wte.weight: .* within bfloat16's 3.39e\+38"):
            minigpt.save_weights(path, config, params, format="llmc-bf16")
        return
    minigpt.save_weights(path, config, params, format="llmc-bf16")
    found = int.from_bytes(path.read_bytes()[1024:1026], "little")
    assert found == nearest


def nearest_bfloat16(exact, negative):
    """The bits of the bfloat16 nearest to a fraction, found among all by halving the range of bits."""
    low, high = 0, 0x7F80  # 0 and infinity, which stands where 2^128 would
    size = abs(exact)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if value_of(middle) <= size else (low, middle)
    below, above = size - value_of(low), value_of(high) - size
    bits = low if below < above or (below == above and low % 2 == 0) else high
    return bits | (0x8000 if negative else 0)


def value_of(bits):
    """The value of a positive bfloat16: 8 bits of exponent, 7 of fraction."""
    exponent, fraction = bits >> 7, bits & 0x7F
    return Fraction(128 + fraction if exponent else fraction) * Fraction(2) ** (max(exponent, 1) - 134)


def test_what_is_not_finite_stays_so_in_bfloat16(tmp_path):
    params = params_of()
    strange = np.array([0x7F800000, 0xFF800000, 0x7FFFFFFF, 0x7F800001], np.uint32).view(np.float32)
    params["ln_f.bias"][:4] = strange
    minigpt.save_weights(tmp_path / "x.bin", CONFIG, params, format="llmc-bf16")
    found = minigpt.load_weights(tmp_path / "x.bin")[1]["ln_f.bias"][:4]
    assert np.isinf(found[:2]).all()
    assert np.isnan(found[2:]).all()


@pytest.mark.parametrize(("format", "number"), [("llmc", 1e39), ("llmc-bf16", -3.4e38), ("llmc-bf16", 1e300)])
def test_a_number_beyond_the_format_is_refused_by_name(tmp_path, format, number):
    params = params_of("float64")
    params["h.1.mlp.c_fc.weight"][7, 31] = number
    with pytest.raises(minigpt.CheckpointError, match=r"h\.1\.mlp\.c_fc\.weight: expected numbers within"):
        minigpt.save_weights(tmp_path / "x.bin", CONFIG, params, format=format)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "n_params", "padded", "float32", "bfloat16"),
    [
        ("gpt2", 124_439_808, 124_475_904, 497_904_640, 248_952_832),
        ("gpt2-medium", 354_823_168, 354_871_296, 1_419_486_208, 709_743_616),
        ("gpt2-large", 774_030_080, 774_090_240, 3_096_361_984, 1_548_181_504),
        ("gpt2-xl", 1_557_611_200, 1_557_686_400, 6_230_746_624, 3_115_373_824),
    ],
)
def test_the_published_sizes(name, n_params, padded, float32, bfloat16):
    config = minigpt.PRESETS[name]
    assert llmc.padded(50257) == 50304
    assert llmc.n_params(config, 50257) == n_params
    assert llmc.n_params(config, 50304) == padded
    assert (llmc.file_bytes(config, 3), llmc.file_bytes(config, 5)) == (float32, bfloat16)


sizes = st.integers(1, 3)


@given(sizes, sizes, sizes, st.integers(1, 9), st.sampled_from([1, 5, 127, 128, 129]), st.data())
def test_any_model_comes_back(tmp_path_factory, n_layer, n_head, width, n_ctx, n_vocab, data):
    config = minigpt.GPTConfig(n_layer, n_head, n_head * width, n_ctx, n_vocab)
    params = minigpt.init_params(config, seed=data.draw(st.integers(0, 9)), dtype="float64")
    params.buffer[:] += np.random.default_rng(0).normal(size=params.buffer.size)
    folder = tmp_path_factory.getbasetemp()
    single = params.buffer.astype(np.float32)
    rounded = (bits_of_bfloat16(single).astype(np.uint32) << 16).view(np.float32)
    for format, expected in (("llmc", single), ("llmc-bf16", rounded), ("npz", params.buffer)):
        minigpt.save_weights(folder / format, config, params, format=format)
        found_config, found = minigpt.load_weights(folder / format)
        assert found_config == config
        assert found.buffer.dtype == expected.dtype
        assert found.buffer.tobytes() == expected.tobytes()


def spoil_header(**changes):
    places = {
        "magic": 0,
        "version": 1,
        "n_ctx": 2,
        "n_vocab": 3,
        "n_layer": 4,
        "n_head": 5,
        "n_embd": 6,
        "padded": 7,
    }

    def spoil(content):
        header = bytearray(content)
        for name, number in changes.items():
            header[4 * places[name] : 4 * places[name] + 4] = struct.pack("<i", number)
        return bytes(header)

    return spoil


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c[:-5], r"expected 12,352 bytes .* found 12,347, 5 too few"),
        (lambda c: c + b"12345", "5 too many"),
        (lambda c: c[:900], "found 900, 125 too few"),
        (spoil_header(version=1), "found version 1: an old one, with a vocabulary that is not padded"),
        (spoil_header(version=7), r"expected version 3 \(float32\) or 5 \(bfloat16\), found version 7"),
        (spoil_header(magic=20240520), "found a shard of llm.c; give an OpenAI folder"),
        (spoil_header(magic=20240801), "found a llama-3 shard of llm.c"),
        (spoil_header(n_layer=0), "n_layer must be between 1"),
        (spoil_header(n_layer=9999), "too few"),
        (spoil_header(n_embd=2**31 - 2), "n_embd must be between"),
        (spoil_header(n_head=3), "n_embd must be divisible by n_head"),
        (spoil_header(n_vocab=-1), "n_vocab must be between 1"),
        (spoil_header(n_vocab=129), "a vocabulary of 129, padded to 256, found one padded to 128: wrong voc"),
        (spoil_header(n_vocab=10), "expected 0 behind the 10 rows of the token table, found numbers there"),
        (spoil_header(n_vocab=1), "expected 0 behind the 1 rows"),
        (spoil_header(padded=2**31 - 1), "found one padded to 2,147,483,647: wrong vocabulary"),
        (lambda c: c[:1500] + b"\1" + c[1501:], "expected 0 behind the 11 rows of the token table"),
        (lambda c: c[3::-1] + c[4:], "a model of llm.c with swapped bytes"),
    ],
)
def test_every_fault_of_a_header_is_named(tmp_path, spoil, message):
    path = tmp_path / "model.bin"
    minigpt.save_weights(path, CONFIG, params_of(), format="llmc")
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(path)
