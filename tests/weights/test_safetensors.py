"""safetensors against its own library, and Hugging Face's ways with GPT-2's names, head and masks."""

import json

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import minigpt
from minigpt.weights.safetensors_files import open_safetensors, read_tensors, write_tensors

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=6, n_vocab=11)
HEAD = "lm_head.weight"


def params_of(seed=0):
    return dict(minigpt.init_params(CONFIG, seed=seed))


def folder_with(folder, tensors, **words):
    """A folder as transformers leaves it, with any tensors and changes to config.json."""
    minigpt.save_weights(folder, CONFIG, params_of())
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})
    config = json.loads((folder / "config.json").read_text()) | words
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def assert_is(params, expected):
    assert set(params) == set(expected)
    for name, array in expected.items():
        assert np.array_equal(params[name], array), name


names = st.text(min_size=1, max_size=20).filter(lambda name: name != "__metadata__")
shapes = st.lists(st.integers(0, 5), max_size=4).map(tuple)
dtypes = st.sampled_from(["f8", "f4", "f2", "i8", "i4", "i2", "i1", "u8", "u4", "u2", "u1", "?"])


@given(st.dictionaries(names, st.tuples(shapes, dtypes), max_size=10))
def test_what_the_library_writes_is_read_and_the_other_way_round(tmp_path_factory, wanted):
    rng = np.random.default_rng(len(wanted))
    arrays = {name: rng.integers(0, 99, shape).astype(dtype) for name, (shape, dtype) in wanted.items()}
    folder = tmp_path_factory.mktemp("tensors", numbered=True)
    save_file(arrays, folder / "theirs", {"any": "words"})
    write_tensors(folder / "ours", arrays)
    for found in (read_tensors(folder / "theirs"), load_file(folder / "ours")):
        assert found.keys() == arrays.keys()
        for name, array in arrays.items():
            assert (found[name].dtype, found[name].shape) == (array.dtype, array.shape)
            assert found[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("half", [np.float16, ml_dtypes.bfloat16])
def test_halves_come_as_float32_unless_another_type_is_asked_for(tmp_path, half):
    halves = {name: array.astype(half) for name, array in params_of().items()}
    folder = folder_with(tmp_path, halves)
    for dtype, expected in ((None, "float32"), ("float32", "float32"), ("float64", "float64"), (half, half)):
        _, params = minigpt.load_weights(folder, dtype)
        assert params.buffer.dtype == expected
        assert_is(params, {name: array.astype(expected) for name, array in halves.items()})
    mixed = halves | {"ln_f.bias": np.full(8, 0.1, np.float32)}  # layernorms kept in float32
    assert_is(minigpt.load_weights(folder_with(tmp_path, mixed))[1], mixed)
    with pytest.raises(minigpt.ConfigError, match=r"dtype must be one of float32, .*, bfloat16: found"):
        minigpt.load_weights(folder, "int8")


def test_prefix_masks_and_a_tied_head_are_taken_off(tmp_path):
    params = params_of()
    masks = {f"h.{i}.attn.bias": np.ones((1, 1, 6, 6), "?") for i in range(2)}
    masks |= {f"h.{i}.attn.masked_bias": np.array(-1e4, np.float32) for i in range(2)}
    theirs = {f"transformer.{name}": array for name, array in (params | masks).items()}
    assert_is(minigpt.load_weights(folder_with(tmp_path, theirs))[1], params)
    theirs[HEAD] = params["wte.weight"]
    assert_is(minigpt.load_weights(folder_with(tmp_path, theirs))[1], params)
    theirs[HEAD] = params["wte.weight"].astype("f8")  # the same numbers
    assert_is(minigpt.load_weights(folder_with(tmp_path, theirs))[1], params)
    theirs[HEAD] = params["wte.weight"]
    del theirs["transformer.wte.weight"]  # safetensors keeps one of two tensors that share memory
    assert_is(minigpt.load_weights(folder_with(tmp_path, theirs))[1], params)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda t: t.update({HEAD: t["wte.weight"] + 1}),
            f"{HEAD}: .* found a head of its own; .* untied head",
        ),
        (lambda t: t.update({HEAD: t["wte.weight"][:9]}), r"found shape \(9, 8\), not \(11, 8\)"),
        (lambda t: t.update({"transformer.ln_f.bias": t["ln_f.bias"]}), "ln_f.bias with and without"),
    ],
)
def test_an_untied_head_and_doubled_names_are_explained(tmp_path, change, message):
    tensors = params_of()
    change(tensors)
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(folder_with(tmp_path, tensors))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ({"activation_function": "gelu"}, r"'gelu' \(with erf, where GPT-2 has tanh\)"),
        ({"layer_norm_epsilon": 1e-6}, "layer_norm_epsilon to be 1e-05, found 1e-06"),
        ({"model_type": "llama"}, "model_type to be 'gpt2', found 'llama'"),
        ({"scale_attn_by_inverse_layer_idx": True}, "minigpt computes GPT-2 alone"),
        ({"n_inner": 33}, "n_inner to be 4 n_embd, found 33"),
        ({"n_head": 3}, "n_embd must be divisible by n_head"),
        ({"n_layer": 3}, "found 'h.2.ln_1.weight' missing, 28 tensors"),
        ({"n_layer": 1}, "12 unknown, first 'h.1"),
        ({"vocab_size": 12}, r"wte.weight: expected shape \(12, 8\) by config.json, found shape \(11, 8\)"),
        ({"n_embd": "8"}, "n_embd must be a whole number"),
    ],
)
def test_a_configuration_that_is_another_models_is_refused(tmp_path, words, message):
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(folder_with(tmp_path, params_of(), **words))


def test_a_bare_file_needs_to_be_told_the_heads(tmp_path):
    params = params_of()
    save_file(params, tmp_path / "bare.safetensors")
    with pytest.raises(minigpt.CheckpointError, match=r"1600\), as .*, found n_embd=8; say n_head="):
        minigpt.load_weights(tmp_path / "bare.safetensors")
    config, found = minigpt.load_weights(tmp_path / "bare.safetensors", n_head=2)
    assert config == CONFIG
    assert_is(found, params)
    with pytest.raises(minigpt.CheckpointError, match="n_embd must be divisible by n_head"):
        minigpt.load_weights(tmp_path / "bare.safetensors", n_head=3)
    with pytest.raises(minigpt.ConfigError, match="n_head must be between 1"):
        minigpt.load_weights(tmp_path / "bare.safetensors", n_head=0)


@pytest.mark.parametrize(("width", "heads"), [(768, 12), (1024, 16), (1280, 20), (1600, 25)])
def test_gpt2s_own_widths_say_their_heads(tmp_path, width, heads):
    config = minigpt.GPTConfig(n_layer=1, n_head=heads, n_embd=width, n_ctx=1, n_vocab=2)
    minigpt.save_weights(tmp_path, config, minigpt.init_params(config))
    (tmp_path / "config.json").unlink()
    assert minigpt.load_weights(tmp_path / "model.safetensors")[0] == config


def test_a_file_beside_its_configuration_is_read_with_it(tmp_path):
    minigpt.save_weights(tmp_path, CONFIG, params_of())
    assert minigpt.load_weights(tmp_path / "model.safetensors")[0] == CONFIG
    with pytest.raises(
        minigpt.CheckpointError, match=r"config\.json: expected n_head=4, which was given, found 2"
    ):
        minigpt.load_weights(tmp_path, n_head=4)


def spoiled(content, header=None, **changes):
    """A file's bytes with another header, or one entry changed."""
    length = int.from_bytes(content[:8], "little")
    words = json.loads(content[8 : 8 + length])
    words["ln_f.bias"] |= changes
    text = json.dumps(words).encode() if header is None else header
    return len(text).to_bytes(8, "little") + text + content[8 + length :]


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c[:-3], "3 too few; it was cut off or damaged"),
        (lambda c: c + b"abc", "3 too many"),
        (lambda c: c[:9], "found 9, .* too few"),
        (lambda c: (2**63).to_bytes(8, "little") + c[8:], "a header of 9,223,372,036,854,775,808 bytes in"),
        (lambda c: spoiled(c, b"[]"), "expected a safetensors file, found no header of JSON"),
        (lambda c: spoiled(c, b"{}"), "too many"),
        (lambda c: spoiled(c, b"{" * 900), "one not readable"),
        (lambda c: spoiled(c, b'{"a":' * 50_000), "one not readable"),
        (lambda c: spoiled(c, b'{"a":' + b"9" * 5000 + b"}"), "one not readable"),
        (lambda c: spoiled(c, b'{"a":{},"a":{}}'), "a name stands there twice"),
        (lambda c: spoiled(c, b'{"\xff":{}}'), "one not readable"),
        (lambda c: spoiled(c, dtype="F8_E4M3"), "ln_f.bias: expected a dtype among .*, found 'F8_E4M3'"),
        (lambda c: spoiled(c, dtype=[]), r"ln_f.bias: expected a dtype among .*, found \[\]"),
        (lambda c: spoiled(c, shape=[9]), r"ln_f.bias: expected as many bytes as F32 of shape \[9\]"),
        (lambda c: spoiled(c, shape=[-8]), "a shape of whole numbers"),
        (lambda c: spoiled(c, shape=[8.0]), "a shape of whole numbers"),
        (lambda c: spoiled(c, shape=8), "a shape of whole numbers"),
        (lambda c: spoiled(c, shape=[1] * 40 + [8]), "as many bytes as"),
        (lambda c: spoiled(c, data_offsets=[0, 2**60]), "its data to begin at|as many bytes as"),
        (lambda c: spoiled(c, data_offsets=[8, 4]), "data_offsets of a first and a last byte"),
        (lambda c: spoiled(c, data_offsets=[True, 33]), "data_offsets of a first and a last byte"),
        (lambda c: spoiled(c, data_offsets=None), "data_offsets of a first and a last byte"),
        (lambda c: spoiled(c, data_offsets=[0, 32]), "its data to begin at"),
    ],
)
def test_every_fault_of_a_file_is_named(tmp_path, spoil, message):
    minigpt.save_weights(tmp_path, CONFIG, params_of())
    path = tmp_path / "model.safetensors"
    path.write_bytes(spoil(path.read_bytes()))
    with pytest.raises(minigpt.CheckpointError, match=message):
        minigpt.load_weights(tmp_path / "model.safetensors")


def in_parts(folder, tensors, n_parts=3):
    """Tensors in several files and the index that names them."""
    places = {}
    for part in range(n_parts):
        name = f"model-{part + 1:05d}-of-{n_parts:05d}.safetensors"
        mine = dict(list(tensors.items())[part::n_parts])
        save_file(mine, folder / name)
        places |= dict.fromkeys(mine, name)
    index = {"metadata": {"total_size": 1}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return index


def test_weights_in_several_files_are_read(tmp_path):
    minigpt.save_weights(tmp_path, CONFIG, params_of())
    (tmp_path / "model.safetensors").unlink()
    index = in_parts(tmp_path, params_of(3))
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        assert_is(minigpt.load_weights(path)[1], params_of(3))
    for name, message in (
        ("../model.safetensors", "from names of tensors to files of this folder"),
        ("model-00009-of-00003.safetensors", "model-00009-of-00003.safetensors: no such file"),
        ("model-00001-of-00003.safetensors", "expected wpe.weight, by .*index.json, found no such tensor"),
        (7, "from names of tensors to files"),
    ):
        changed = {"weight_map": index["weight_map"] | {"wpe.weight": name}}
        (tmp_path / "model.safetensors.index.json").write_text(json.dumps(changed))
        with pytest.raises(minigpt.CheckpointError, match=message):
            minigpt.load_weights(tmp_path)


def test_the_folder_opens_in_transformers_and_gives_equal_logits(tmp_path):
    transformers, torch = pytest.importorskip("transformers"), pytest.importorskip("torch")
    params = params_of(5)
    params = {name: array.astype("float64") * 8 for name, array in params.items()}  # far from uniform
    minigpt.save_weights(tmp_path, CONFIG, params)
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float64).eval()
    tokens = np.random.default_rng(0).integers(0, 11, (3, 6))
    theirs = model(torch.from_numpy(tokens)).logits.detach().numpy()
    ours = minigpt.logits(CONFIG, params, tokens)
    assert np.abs(theirs - ours).max() <= 1e-11 * np.abs(ours).max()
    assert np.abs(ours).max() > 1

    for folder, size in (("whole", "1GB"), ("parts", "3KB")):
        model.save_pretrained(tmp_path / folder, max_shard_size=size)
        config, found = minigpt.load_weights(tmp_path / folder)
        assert config == CONFIG
        assert_is(found, params)
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 2


def test_only_what_is_asked_for_is_in_the_file(tmp_path):
    minigpt.save_weights(tmp_path, CONFIG, params_of())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["config.json", "model.safetensors"]
    first = (tmp_path / "model.safetensors").read_bytes()
    minigpt.save_weights(tmp_path, CONFIG, params_of())
    assert (tmp_path / "model.safetensors").read_bytes() == first
    assert open_safetensors(tmp_path / "model.safetensors").keys() == params_of().keys()


def test_a_head_that_is_promised_and_absent_is_explained(tmp_path):
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=7)
    minigpt.save_weights(tmp_path / "model", config, minigpt.init_params(config))
    path = tmp_path / "model" / "config.json"
    path.write_text(path.read_text().replace('"tie_word_embeddings": true', '"tie_word_embeddings": false'))
    for name in ("", "model.safetensors"):
        with pytest.raises(minigpt.CheckpointError, match="tie_word_embeddings false and no lm_head"):
            minigpt.load_weights(tmp_path / "model" / name)


def test_a_checkpoint_is_not_written_over(tmp_path):
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=7)
    (tmp_path / "step").mkdir()
    (tmp_path / "step" / "state.json").write_text("{}")
    with pytest.raises(minigpt.CheckpointError, match="found a checkpoint of a run"):
        minigpt.save_weights(tmp_path / "step", config, minigpt.init_params(config))
    assert [path.name for path in (tmp_path / "step").iterdir()] == ["state.json"]
    for path, said in (("", "expected a path, found none"), ("/", "path must name a file or a folder")):
        with pytest.raises(minigpt.CheckpointError, match=said):
            minigpt.save_weights(path, config, minigpt.init_params(config))
