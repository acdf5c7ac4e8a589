"""reference dump: files that other programs can read, and what they hold; bad input is one line."""

import hashlib
import io
import json
import math
import re
import resource
import struct
import subprocess
import sys
import tracemalloc
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from safetensors.numpy import load_file

import minigpt
from reference.compare import distances
from reference.diff.files import read_tensors
from reference.dump import Dump
from reference.dump_files import write_dump
from reference.dump_plan import Plan, choose
from reference.llmc import ACTIVATIONS, PARAMETERS, run
from reference.questions import question
from reference.tools import main

MODEL = "n_layer=2,n_head=2,n_embd=8,n_ctx=8,n_vocab=20,seed=3"
L, H, C, V, N, B, T, PADDED = 2, 2, 8, 20, 8, 2, 8, 128

SHAPES = {  # llm.c's, train_gpt2.c, with its padded vocabulary
    "encoded": (B, T, C), "ln1": (L, B, T, C), "ln1_mean": (L, B, T), "ln1_rstd": (L, B, T),
    "qkv": (L, B, T, 3 * C), "atty": (L, B, T, C), "preatt": (L, B, H, T, T), "att": (L, B, H, T, T),
    "attproj": (L, B, T, C), "residual2": (L, B, T, C), "ln2": (L, B, T, C), "ln2_mean": (L, B, T),
    "ln2_rstd": (L, B, T), "fch": (L, B, T, 4 * C), "fch_gelu": (L, B, T, 4 * C), "fcproj": (L, B, T, C),
    "residual3": (L, B, T, C), "lnf": (B, T, C), "lnf_mean": (B, T), "lnf_rstd": (B, T),
    "logits": (B, T, PADDED), "probs": (B, T, PADDED), "losses": (B, T),
}  # fmt: skip
WEIGHTS = {
    "wte": (PADDED, C), "wpe": (N, C), "ln1w": (L, C), "ln1b": (L, C), "qkvw": (L, 3 * C, C),
    "qkvb": (L, 3 * C), "attprojw": (L, C, C), "attprojb": (L, C), "ln2w": (L, C), "ln2b": (L, C),
    "fcw": (L, 4 * C, C), "fcb": (L, 4 * C), "fcprojw": (L, C, 4 * C), "fcprojb": (L, C), "lnfw": (C,),
    "lnfb": (C,),
}  # fmt: skip


def dump(folder, **options):
    assert Dump(out=str(folder), **{"random": MODEL} | options).run() == 0
    return load_file(folder / "tensors.safetensors")


def test_every_tensor_has_llm_cs_name_and_shape(tmp_path):
    arrays = dump(tmp_path / "d")
    expected = {**SHAPES, "loss": ()} | {f"d{name}": shape for name, shape in (SHAPES | WEIGHTS).items()}
    assert {name: array.shape for name, array in arrays.items()} == expected
    assert {str(array.dtype) for array in arrays.values()} == {"float64"}
    assert (SHAPES.keys(), WEIGHTS.keys()) == (ACTIVATIONS.keys(), PARAMETERS.keys())
    for name in ("logits", "probs", "dlogits", "dprobs"):
        assert (arrays[name][..., V:] == 0).all()
    assert (arrays["dwte"][V:] == 0).all()
    assert np.abs(arrays["probs"].sum(axis=-1) - 1).max() < 1e-14


def test_the_inputs_in_a_dump_are_enough_to_compute_it_by_minigpt(tmp_path):
    arrays, given = dump(tmp_path / "d"), load_file(tmp_path / "d" / "inputs.safetensors")
    config = minigpt.GPTConfig(n_layer=L, n_head=H, n_embd=C, n_ctx=N, n_vocab=V)
    params = {"wte.weight": given["wte"][:V], "wpe.weight": given["wpe"], "ln_f.weight": given["lnfw"],
              "ln_f.bias": given["lnfb"]}  # fmt: skip
    words = {"ln1": "ln_1", "qkv": "attn.c_attn", "attproj": "attn.c_proj", "ln2": "ln_2", "fc": "mlp.c_fc",
             "fcproj": "mlp.c_proj"}  # fmt: skip
    for layer in range(L):
        for short, long in words.items():
            params[f"h.{layer}.{long}.weight"] = given[f"{short}w"][layer].T
            params[f"h.{layer}.{long}.bias"] = given[f"{short}b"][layer]
    params = {name: np.ascontiguousarray(array, np.float64) for name, array in params.items()}
    loss, grads = minigpt.loss_and_grads(config, params, given["tokens"], given["targets"])
    assert abs(loss - arrays["loss"]) < 1e-14
    theirs = {"dwte": grads["wte.weight"], "dlnfw": grads["ln_f.weight"]}
    theirs["dqkvw"] = np.stack([grads[f"h.{layer}.attn.c_attn.weight"].T for layer in range(L)])
    ours = {"dwte": arrays["dwte"][:V], "dlnfw": arrays["dlnfw"], "dqkvw": arrays["dqkvw"]}
    assert max(distances(ours, theirs).values()) < 1e-13


def test_the_debug_state_is_llm_cs_byte_for_byte(tmp_path):
    dump(tmp_path / "d", format="safetensors,debug-state")
    arrays = load_file(tmp_path / "d" / "tensors.safetensors")
    given = load_file(tmp_path / "d" / "inputs.safetensors")
    content = (tmp_path / "d" / "debug_state.bin").read_bytes()
    assert struct.unpack("<256i", content[:1024]) == (20240327, 2, B, T, *[0] * 252)
    words = struct.unpack(f"<{2 * B * T}i", content[1024 : 1024 + 8 * B * T])
    assert words == (*given["tokens"].ravel(), *given["targets"].ravel())
    rest = struct.unpack(f"<{(len(content) - 1024) // 4 - 2 * B * T}f", content[1024 + 8 * B * T :])
    expected = [arrays["logits"][..., :V], arrays["loss"], *(arrays[f"d{name}"] for name in WEIGHTS)]
    assert rest == tuple(np.concatenate([x.ravel() for x in expected]).astype(np.float32))


def test_the_manifest_describes_every_file(tmp_path):
    arrays = dump(tmp_path / "d", format="safetensors,npz,debug-state")
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    files = {path.name for path in (tmp_path / "d").iterdir()} - {"manifest.json"}
    assert manifest["files"].keys() == files
    for name, said in manifest["files"].items():
        content = (tmp_path / "d" / name).read_bytes()
        assert said == {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    assert {name: tuple(said["shape"]) for name, said in manifest["tensors"].items()} == {
        name: array.shape for name, array in arrays.items()
    }
    assert float.fromhex(manifest["loss"]) == arrays["loss"]
    assert manifest["source"] == {"random": MODEL}


@pytest.mark.parametrize(("layers", "words"), [(1, "1 layer"), (2, "2 layers")])
def test_of_a_debug_state_alone_it_is_said_what_is_in_it(tmp_path, capsys, layers, words):
    model = f"{MODEL},n_layer={layers}".replace("n_layer=2,", "")
    assert Dump(out=str(tmp_path / "d"), random=model, format="debug-state").run() == 0
    assert f"d: 18 tensors of {words}, float32, " in capsys.readouterr().out
    manifest = json.loads((tmp_path / "d" / "manifest.json").read_text())
    assert manifest["dtype"] == "float32"
    assert manifest["tensors"].keys() == {"logits", "loss", *(f"d{name}" for name in WEIGHTS)}
    assert manifest["tensors"]["logits"]["shape"][-1] == V
    numbers = sum(math.prod(said["shape"]) for said in manifest["tensors"].values())
    shape = manifest["sizes"]
    assert manifest["files"]["debug_state.bin"]["bytes"] == 1024 + 4 * (2 * shape["B"] * shape["T"] + numbers)


def test_the_same_question_gives_the_same_bytes(tmp_path):
    for folder in ("one", "other"):
        dump(tmp_path / folder, format="safetensors,debug-state")
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "other" / path.name).read_bytes(), path.name


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
def test_files_of_fewer_digits_hold_the_rounded_tensors(tmp_path, dtype):
    dump_of = tmp_path / "d"
    assert Dump(out=str(dump_of), random=MODEL, dtype=dtype).run() == 0
    assert json.loads((dump_of / "manifest.json").read_text())["dtype"] == dtype
    exact = {name: array for name, array in run(question(random=MODEL)).items()}
    rounded = getattr(ml_dtypes, dtype) if dtype == "bfloat16" else np.dtype(dtype)
    tensors, archive = read_tensors(dump_of / "tensors.safetensors"), np.load(dump_of / "tensors.npz")
    for layer in range(L):
        want = exact["qkv", layer].astype(rounded).astype(np.float64)
        assert tensors["qkv"].dtype == rounded
        assert (tensors["qkv"][layer].astype(np.float64) == want).all()
        assert (archive["qkv"][layer] == want).all()


def test_layers_and_names_can_be_chosen(tmp_path):
    whole, part = dump(tmp_path / "all"), dump(tmp_path / "part", layers="1", names="ln1,dq*,lnf")
    assert part.keys() == {"ln1", "dqkv", "dqkvw", "dqkvb", "lnf"}
    for name in ("ln1", "dqkv", "dqkvw"):
        assert (part[name] == whole[name][1:]).all()
    assert (part["lnf"] == whole["lnf"]).all()
    assert json.loads((tmp_path / "part" / "manifest.json").read_text())["layers"] == [1]


# Where tokens come from --------------------------------------------------------------------------------


IDS = np.arange(17) % 7
EXPECTED = (IDS[:16].reshape(2, 8), IDS[1:].reshape(2, 8))


@pytest.mark.parametrize("kind", ["npy", "rows", "txt", "bin", "shard"])
def test_tokens_come_from_files_of_many_kinds(tmp_path, kind):
    path = tmp_path / {"npy": "a.npy", "rows": "a.npy", "txt": "a.txt"}.get(kind, "a.bin")
    if kind == "npy":
        np.save(path, IDS.astype(np.int32))
    elif kind == "rows":
        np.save(path, np.concatenate([EXPECTED[0], EXPECTED[1][:, -1:]], axis=1))
    elif kind == "txt":
        path.write_text(", ".join(map(str, IDS)))
    else:
        header = np.zeros(256, "<i4")
        header[:3] = 20240520, 1, len(IDS)
        path.write_bytes((header.tobytes() if kind == "shard" else b"") + IDS.astype("<u2").tobytes())
    asked = question(random=MODEL, tokens=str(path), batch=2, time=8)
    assert (asked.tokens == EXPECTED[0]).all()
    assert (asked.targets == EXPECTED[1]).all()


def test_targets_of_your_own_may_leave_places_out(tmp_path):
    np.save(tmp_path / "x.npy", IDS[:9])
    np.save(tmp_path / "y.npy", np.array([[1, -1, 2, -1, 3, 4, -1, 5]]))
    asked = question(random=MODEL, tokens=str(tmp_path / "x.npy"), targets=str(tmp_path / "y.npy"))
    tensors = run(asked)
    assert (tensors["losses", None] == 0).tolist() == [[False, True, False, True, False, False, True, False]]
    assert tensors["dlosses", None][0, 0] == 1 / 5


def test_a_text_is_cut_by_gpt2s_tokenizer(tmp_path):
    (tmp_path / "a.txt").write_text("Hello world\n" * 3, encoding="utf-8")
    asked = question(random="n_vocab=50257,n_layer=1,n_embd=2,n_head=1", text=str(tmp_path / "a.txt"), time=4)
    assert asked.tokens.tolist() == [[15496, 995, 198, 15496]]


def test_a_random_model_is_far_from_any_init():
    """No parameter is a constant, so that no gain and no bias can be forgotten unseen."""
    params = question(random=MODEL).params
    assert all(len(np.unique(param)) > param.size / 2 for param in params.values())
    for (name, _), param in params.items():
        gain = name.startswith("ln") and name.endswith("w")
        assert abs(param.mean() - gain) < 0.5
        assert 0.1 < param.std() < 2, name


def test_weights_come_from_minigpts_files(tmp_path):
    config = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=8, n_vocab=20)
    params = minigpt.init_params(config, dtype="float64")
    minigpt.save_weights(str(tmp_path / "w"), config, params)
    np.save(tmp_path / "x.npy", IDS)
    asked = question(weights=str(tmp_path / "w"), tokens=str(tmp_path / "x.npy"))
    logits = minigpt.logits(config, params, asked.tokens)
    assert np.abs(run(asked, backward=False)["logits", None] - logits).max() < 1e-14


# Bad input ---------------------------------------------------------------------------------------------

CASES = {
    "neither": ({"random": None}, "one of --weights PATH and --random"),
    "both": ({"weights": "w"}, "one of --weights PATH and --random"),
    "no weights": ({"random": None, "weights": "nowhere", "tokens": "good.npy"}, "nowhere"),
    "a field": ({"random": "n_layers=2"}, "found 'n_layers=2'"),
    "a number": ({"random": "n_layer=two"}, "found 'n_layer=two'"),
    "no layers": ({"random": "n_layer=0"}, "n_layer must be between 1 and 10000: found 0"),
    "heads": ({"random": "n_embd=9,n_head=2"}, "n_embd must be divisible by n_head"),
    "many layers": ({"random": "n_layer=999999999"}, "n_layer must be between 1 and 10000: found 999999999"),
    "twice": ({"random": "n_layer=2,n_layer=3"}, "n_layer is given twice"),
    "memory": ({"random": "n_embd=1000000"}, "of memory"),
    "much memory in the batch": ({"batch": 10**12}, "of memory"),
    "context": ({"time": 9}, "1 to n_ctx=8 tokens: found 9"),
    "an archive": ({"tokens": "archive.npy"}, "not a whole .npy file"),
    "a header alone": ({"tokens": "promise.npy"}, "not a whole .npy file"),
    "a shard cut off": ({"tokens": "shard.bin"}, "version 1 and 99 tokens, expected version 1 and 2"),
    "Llama's shard": ({"tokens": "llama.bin"}, "found a shard of Llama's"),
    "nothing": ({"tokens": "nothing.npy"}, "two at least: found shape (3, 1)"),
    "format": ({"format": "pickle"}, "found 'pickle'"),
    "names": ({"names": "ln9"}, "'ln9' matches none"),
    "layers": ({"layers": "0,7"}, "found '7'"),
    "batch": ({"batch": 0}, "must be 1 or more"),
    "no file": ({"tokens": "gone.npy"}, "gone.npy: no such file"),
    "ending": ({"tokens": "good.pt"}, "found .pt"),
    "too few": ({"tokens": "good.npy", "batch": 9}, "9 x 1 + 1 ids or more: found 9"),
    "too long": ({"tokens": "good.npy", "time": 9}, "found 9"),
    "vocabulary": ({"tokens": "large.npy"}, "ids must be from 0 to 19: found 20 at [0, 1]"),
    "floats": ({"tokens": "floats.npy"}, "expected integers"),
    "no npy": ({"tokens": "text.npy"}, "not a whole .npy file"),
    "odd": ({"tokens": "odd.bin"}, "odd number of bytes"),
    "words": ({"tokens": "words.txt"}, "found 'one'"),
    "text and tokens": ({"tokens": "good.npy", "text": "words.txt"}, "not both"),
    "targets' shape": ({"tokens": "good.npy", "targets": "good.npy"}, "targets must have the tokens' shape"),
    "nothing scored": ({"tokens": "good.npy", "targets": "none.npy"}, "score at least one"),
    "empty name": ({"out": ""}, "out: expected a path: found an empty one"),
    "no names": ({"names": ""}, "expected tensors, for parameters are written anyhow: found ''"),
    "a parameter": ({"names": "wte"}, "for parameters are written anyhow: found 'wte'"),
    "there already": ({"out": "full"}, "full: expected an empty folder, found 'file' in it: name a new one"),
    "a file": ({"out": "good.npy"}, "good.npy: expected a folder, found something else: name a new one"),
}


def header_of(shape):
    """A .npy file that promises numbers, and holds none."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": "<i8", "fortran_order": False, "shape": shape})
    return file.getvalue()


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_exit_code_2(tmp_path, monkeypatch, capsys, case):
    monkeypatch.chdir(tmp_path)
    np.save("good.npy", IDS[:9])
    np.save("large.npy", np.array([1, 20, 3]))
    np.save("floats.npy", np.ones(9))
    np.save("none.npy", np.full((1, 8), -1))
    (tmp_path / "text.npy").write_text("words")
    (tmp_path / "odd.bin").write_bytes(b"abc")
    np.savez(tmp_path / "archive", ids=IDS)
    (tmp_path / "archive.npz").rename(tmp_path / "archive.npy")
    (tmp_path / "promise.npy").write_bytes(header_of((10**12,)))
    np.save("nothing.npy", np.zeros((3, 1), int))
    for name, magic in (("shard", 20240520), ("llama", 20240801)):
        (tmp_path / f"{name}.bin").write_bytes(struct.pack("<256i2H", magic, 1, 99, *[0] * 253, 1, 2))
    (tmp_path / "words.txt").write_text("one two")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "file").touch()
    options, says = CASES[case]
    assert Dump(**{"out": "d", "random": MODEL} | options).run() == 2
    error = capsys.readouterr().err
    assert error.startswith("reference dump: ")
    assert error.count("\n") == 1
    assert says in error


# What does not fit -------------------------------------------------------------------------------------

ROOT = Path(__file__).parents[2]


def limited(limit, most, *arguments):
    """A command under a limit of the system: its exit code, and what it said."""
    command = [sys.executable, "-m", "reference", *arguments]
    set_limit = lambda: resource.setrlimit(limit, (most, most))  # noqa: E731
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, preexec_fn=set_limit)
    return run.returncode, run.stderr


LEFT_OUT = {
    "names": ({"names": "l*"}, "holds dwte, which --names leaves out"),
    "layers": ({"layers": "1"}, "holds all 2 layers, and --layers names 1"),
    "half": ({"dtype": "float16"}, "holds float32, and --dtype is float16"),
    "brain": ({"dtype": "bfloat16"}, "holds float32, and --dtype is bfloat16"),
}


@pytest.mark.parametrize("case", LEFT_OUT)
def test_what_llm_cs_layout_cannot_hold_is_left_out_with_a_word(tmp_path, capsys, case):
    options, reason = LEFT_OUT[case]
    dump(tmp_path / "d", **options)
    assert capsys.readouterr().out.splitlines()[1:] == [
        f"{tmp_path / 'd'}: no debug_state.bin, for llm.c's layout {reason}"
    ]
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert names == {"inputs.safetensors", "manifest.json", "tensors.npz", "tensors.safetensors"}
    assert Dump(out=str(tmp_path / "e"), random=MODEL, format="npz,debug-state", **options).run() == 2
    said = f"--format: no debug-state can be written, for llm.c's layout {reason}: leave it out\n"
    assert capsys.readouterr().err == f"reference dump: {said}"
    assert not (tmp_path / "e").exists()


@pytest.mark.parametrize("options", [{}, {"layers": "0,1", "dtype": "float32"}, {"names": "lo*,d*"}])
def test_all_three_formats_are_written_unless_others_are_named(tmp_path, capsys, options):
    dump(tmp_path / "d", **options)
    assert capsys.readouterr().out.count("\n") == 1
    names = {path.name for path in (tmp_path / "d").iterdir()}
    assert {"debug_state.bin", "tensors.npz", "tensors.safetensors"} < names


@pytest.mark.parametrize("words", ["--format=safetensors", "--format=npz", "--format=debug-state"])
def test_a_full_disk_leaves_nothing_behind_and_is_one_line(tmp_path, words):
    """Files may not grow beyond 30 kB: inputs.safetensors fits, what follows does not."""
    arguments = ["dump", "--random", MODEL, "--batch", "64", "--out", str(tmp_path / "d"), words]
    code, error = limited(resource.RLIMIT_FSIZE, 30_000, *arguments)
    assert (code, error.count("\n")) == (2, 1), error
    assert re.search(r"d: cannot be written: .*; [\d,]+ bytes are needed, [\d,]+ are free there", error)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_was_there_empty_is_empty_again(tmp_path):
    code, _ = limited(resource.RLIMIT_FSIZE, 20_000, "dump", "--random", MODEL, "--out", str(tmp_path))
    assert code == 2
    assert list(tmp_path.iterdir()) == []
    dump(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "debug_state.bin", "inputs.safetensors", "manifest.json", "tensors.npz",
        "tensors.safetensors"}  # fmt: skip


def test_a_disk_that_is_known_to_be_too_small_is_not_tried(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("reference.dump_plan.free_bytes", lambda folder: 1000)
    assert Dump(out=str(tmp_path / "d"), random=MODEL).run() == 2
    assert re.search(r"d: [\d,]+ bytes are needed, 1,000 are free there", capsys.readouterr().err)


def test_memory_under_ulimit_is_asked_for_beforehand(tmp_path):
    arguments = ["dump", "--random", "n_embd=4096", "--out", str(tmp_path / "d")]
    code, error = limited(resource.RLIMIT_AS, 4 * 10**9, *arguments)
    assert (code, error.count("\n")) == (2, 1), error
    assert re.search(r"a dump of L=2, .* needs about [\d.]+ GB of memory, [\d.]+ GB are available", error)


@pytest.mark.parametrize(("words", "formats"), [
    ("n_embd=64,n_ctx=64,n_vocab=200", "safetensors,npz"),  # as many activations as parameters
    ("n_embd=128,n_layer=3", "npz"),  # mostly parameters
    ("n_vocab=9000", "safetensors,debug-state"),  # mostly logits
])  # fmt: skip
def test_memory_and_bytes_are_about_what_is_said(tmp_path, words, formats):
    plan, told = Plan(tmp_path / "d", "", "*", "float32", formats.split(",")), {}

    def before(sizes):
        names, layers = choose(sizes, "", "*")
        told.update(memory=plan.memory(sizes, names), bytes=plan.bytes(sizes, names, layers))

    tracemalloc.start()
    asked = question(random=words, batch=8, before=before)
    write_dump(plan, asked, run(asked), {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert 0.7 <= peak / told["memory"] <= 1.1
    written = sum(path.stat().st_size for path in (tmp_path / "d").iterdir())
    assert told["bytes"] <= written <= 1.02 * told["bytes"] + 60_000  # headers and the manifest


def test_the_command_line(tmp_path, capsys):
    arguments = ["dump", "--random", MODEL, "--out", str(tmp_path / "d"), "--names", "ln1", "--layers", "0"]
    assert main(arguments) == 0
    assert "1 tensor of 1 layer," in capsys.readouterr().out


def test_a_float32_model_stays_float32_in_the_inputs(tmp_path):
    dump(tmp_path / "d")
    given = load_file(tmp_path / "d" / "inputs.safetensors")
    assert {str(given[name].dtype) for name in WEIGHTS} == {"float32"}
