"""reference check: what it passes, what it refuses and names, and what it answers to bad input."""

import json
import math
import re
import struct
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings, target
from hypothesis import strategies as st

import minigpt
from minigpt import kernels, model, ops
from minigpt.errors import CheckpointError, DataError
from minigpt.model import param_shapes
from minigpt.sample import generate_batch
from reference import tools as program
from reference.bad_input import BadInput
from reference.check import Check, asked, columns, condition, debug_state, published, report, slopes, subject
from reference.check.asked import model_of
from reference.check.lengths import lengths
from reference.llmc.parameters import to_hub
from reference.questions import question
from reference.shapes import random_shape
from tests.support.complex_step import derivative
from tests.support.models import loss_of

SHAPE = "n_layer=2,n_head=2,n_embd=8,n_ctx=8,n_vocab=11"


def shape_of(words):
    return random_shape(words)[0]


def random_model(words, seed):
    config = shape_of(words)
    return config, subject.random_params(config, seed)


needs_torch = pytest.mark.skipif(not columns.has_torch(), reason="torch is not installed")


if columns.has_torch():
    import torch

    torch.set_num_threads(1)  # small work, which threads make slower


@pytest.fixture
def check(capsys):
    """Run the command: exit code, standard output, standard error."""

    def run(*arguments):
        code = program.main(["check", *arguments])
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def result(check):
    """Run the command with --json: exit code and the object."""

    def run(*arguments):
        code, out, _ = check("--json", *arguments)
        return code, json.loads(out)

    return run


@pytest.fixture
def plant(monkeypatch):
    """Put another operation into minigpt's reference table: plant("gelu_backward", function)."""
    return lambda name, function: monkeypatch.setitem(kernels.REFERENCE, name, function)


@pytest.mark.parametrize("seed", [0, 3])
def test_one_seed_is_one_random_model_for_check_and_dump(seed):
    said = f"{SHAPE},seed={seed}"
    dumped = to_hub(question(random=said).params)
    for command in (Check(random=SHAPE, seed=seed), Check(random=said), Check(random=said, seed=9)):
        _, params = model_of(command)
        assert params.keys() == dumped.keys()
        assert all((params[name] == dumped[name]).all() for name in params)
    assert (model_of(Check(random=SHAPE, seed=seed + 1))[1]["wte.weight"] != dumped["wte.weight"]).any()


# What passes ---------------------------------------------------------------------------------------------


def test_the_table_has_every_tensor_and_says_pass(check):
    code, out, _ = check("--random", SHAPE, "--against", "complex-step")
    rows = {line.split()[0]: line for line in out.splitlines() if "/" in line and not line.startswith("pass")}
    assert code == 0
    config = shape_of(SHAPE)
    assert rows.keys() - {"tensor"} == param_shapes(config).keys()
    assert all(rows[name].endswith("pass") for name in param_shapes(config))
    assert "8x24" in rows["h.1.attn.c_attn.weight"]
    last = out.splitlines()[-1]
    assert last.startswith("pass: 28 tensors, 1,912 parameters; worst by complex-step ")
    assert "\ncomplex-step: 28 tensors on 4 of 4 sequences, about " in out


@needs_torch
@given(
    layers=st.integers(1, 3), heads=st.integers(1, 3), D=st.integers(1, 4),
    context=st.integers(1, 9), vocab=st.integers(1, 9), batch=st.integers(1, 3), seed=st.integers(0, 2**31),
    dtype=st.sampled_from(["float64", "float32"]),
)  # fmt: skip
@settings(max_examples=15)
@example(layers=1, heads=1, D=2, context=2, vocab=8, batch=1, seed=416244, dtype="float64")
def test_a_random_model_of_any_shape_passes(layers, heads, D, context, vocab, batch, seed, dtype):
    """`target` looks for large errors; the example is one that it has found, with two channels."""
    shape = f"n_layer={layers},n_head={heads},n_embd={heads * D},n_ctx={context},n_vocab={vocab}"
    config, params = random_model(shape, seed)
    tokens, targets, _ = subject.batch_of(config, None, None, batch, None, seed)
    exact = condition.ask(config, params, tokens, targets)
    mine = {name: param.astype(dtype) for name, param in params.items()}
    answer = condition.ask(config, mine, tokens, targets)
    unit = condition.DOUBLE if dtype == "float64" else condition.SINGLE
    bounds = condition.bounds(config, params, tokens, targets, exact, unit)
    question = columns.Question(config, params, tokens, targets, answer, unit, bounds)
    found = slopes.Slopes(config, params, tokens, targets)
    grads = {name: answer[name] for name in params}
    judges = [columns.complex_step(question, grads, found, seed, list)]
    judges += [columns.torch(question)] if config.n_embd > 1 else []
    for column in judges:
        worst = column.worst()
        assert column.passes(worst), (shape, column.judge, worst, column.errors[worst], column.bounds[worst])
        target(column.errors[worst] / column.bounds[worst], label=column.judge)


@needs_torch
@pytest.mark.parametrize(("dtype", "unit"), [("float64", condition.DOUBLE), ("float32", condition.SINGLE)])
def test_bounds_are_no_wider_than_they_must_be(dtype, unit):
    """Of six models the worst tensor takes a fiftieth of its bound at least: some 0.05 is what they take."""
    config, worst = shape_of(SHAPE), 0.0
    for seed in range(6):
        params = subject.random_params(config, seed)
        tokens, targets, _ = subject.batch_of(config, None, None, 2, None, seed)
        exact = condition.ask(config, params, tokens, targets)
        mine = {name: param.astype(dtype) for name, param in params.items()}
        answer = condition.ask(config, mine, tokens, targets)
        bounds = condition.bounds(config, params, tokens, targets, exact, unit)
        column = columns.torch(columns.Question(config, params, tokens, targets, answer, unit, bounds))
        worst = max(worst, *(column.errors[name] / column.bounds[name] for name in column.errors))
    assert 0.02 <= worst <= 1


# L, H, C, V and B, T all differ, and no sum of the model is as long as the vocabulary's
MID = "n_layer=3,n_head=4,n_embd=64,n_ctx=40,n_vocab=1000"


@pytest.mark.parametrize(("shape", "share"), [(SHAPE, 8.5e-6), (MID, 2e-5)])
def test_each_bound_is_of_the_tensors_own_sums(shape, share):
    """A float32 program's debug state passes; with one gradient off by a share that gradient fails.

    As long as the longest sum of all operations stood for every tensor's, it passed.
    """
    config, params = random_model(shape, 0)
    tokens, targets, _ = subject.batch_of(config, None, None, 4, None, 0)
    exact = condition.ask(config, params, tokens, targets)
    theirs = condition.ask(config, {k: p.astype("float32") for k, p in params.items()}, tokens, targets)
    faulty = {"wpe.weight": share, "h.0.attn.c_proj.weight": share, "ln_f.weight": share, "logits": share}

    def refused(grads):
        bounds = condition.bounds(config, params, tokens, targets, exact, condition.DOUBLE)
        question = columns.Question(config, params, tokens, targets, exact, condition.DOUBLE, bounds)
        state = debug_state.DebugState(tokens, targets, grads["logits"], grads["loss"], grads)
        column = columns.debug_state(question, state)
        return {name for name in column.errors if not column.passes(name)}

    changed = {name: value * (1 + faulty.get(name, 0.0)) for name, value in theirs.items()}
    assert refused(theirs) == set()
    assert refused(changed) == faulty.keys()


def test_the_errors_of_rows_that_are_alike_add_up():
    """One token 256 times at one position. Counted as random, they came to 1.5 times their bound."""
    config, params = random_model("n_layer=12,n_head=2,n_embd=4,n_ctx=1,n_vocab=11", 0)
    tokens, targets = np.full((256, 1), 9), np.full((256, 1), 9)
    exact = condition.ask(config, params, tokens, targets)
    mine = condition.ask(config, {k: p.astype("float32") for k, p in params.items()}, tokens, targets)
    bounds = condition.bounds(config, params, tokens, targets, exact, condition.SINGLE)
    question = columns.Question(config, params, tokens, targets, mine, condition.SINGLE, bounds)
    column = columns.compared("", question, exact, bounds)
    assert column.passes(column.worst()), column.worst()
    assert max(column.errors[name] / bounds[name] * 16 for name in bounds) > 1  # the factor was needed


def test_how_many_rows_are_alike():
    """Of all, or of the scored ones; five rows in groups of 3, 1 and 1: (9 + 1 + 1) / 5."""
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(3, 7))[[0, 1, 0, 2, 0]][None]
    rows *= 1 + 1e-15 * rng.normal(size=rows.shape)
    assert condition.alike(rows, np.array([[1, 1, 1, 1, 1]])) == 11 / 5
    assert condition.alike(rows, np.array([[1, -1, 1, -1, 1]])) == 3
    assert condition.alike(rows, np.full((1, 5), -1)) == 11 / 5
    assert condition.alike(rng.normal(size=(4, 64, 50)), np.ones((4, 64))) == 1


def test_how_long_each_operations_sums_are():
    """B=2, T=3, C=20 in H=5 heads, V=17; token 1 occurs four times."""
    found = {}

    class Lengths:
        block_forward, block_backward = staticmethod(model.block_forward), staticmethod(model.block_backward)

        def __getattr__(self, name):
            def operation(*arguments):
                found.setdefault(name, []).append(lengths(name, arguments))
                return getattr(ops, name)(*arguments)

            return operation

    config, params = random_model("n_layer=1,n_head=5,n_embd=20,n_ctx=4,n_vocab=17", 0)
    tokens, table = np.array([[1, 1, 5], [1, 0, 1]]), Lengths()
    logits, tape = model.forward(config, table, params, tokens)
    _, tail = table.cross_entropy_forward(logits, tokens)
    list(model.backward(config, table, table.cross_entropy_backward(1.0, tail), tape))
    assert found == {
        "embedding_forward": [(1,)],
        "layernorm_forward": [(30,)] * 3,
        "linear_forward": [(21,), (21,), (21,), (81,)],
        "attention_forward": [(4 + 2 * 3 + 10,)],
        "gelu_forward": [(10,)],
        "unembedding_forward": [(20,)],
        "cross_entropy_forward": [(17 + 6 + 10, 17 + 10)],
        "cross_entropy_backward": [(10,)],
        "unembedding_backward": [(17, 6)],
        "layernorm_backward": [(30, 6, 6)] * 3,
        "linear_backward": [(20, 6, 6), (80, 6, 6), (20, 6, 6), (60, 6, 6)],
        "gelu_backward": [(10,)],
        "attention_backward": [(4 + 2 * 3 + 10,)],
        "embedding_backward": [(4, 2)],
    }


@pytest.mark.parametrize("name", ["wte.weight", "wpe.weight", "h.0.attn.c_attn.bias", "h.1.ln_2.weight"])
def test_playing_back_changes_no_slope(name):
    config, params = random_model(SHAPE, 0)
    tokens, targets, _ = subject.batch_of(config, None, None, 2, None, 0)
    flat = minigpt.init_params(config, dtype="float64")
    for key, param in params.items():
        flat[key][...] = param
    v = flat.like(np.zeros_like(flat.buffer))
    v[name][...] = np.random.default_rng(7).standard_normal(params[name].shape)
    plain = derivative(lambda buffer: loss_of(config, buffer, tokens, targets), flat.buffer, v.buffer)
    found = slopes.Slopes(config, params, tokens, targets)
    # against a gradient of 2 v / |v|^2 the error is |2 - slope| / 2, so it tells the slope
    size = (v[name] ** 2).sum()
    error = found.error(name, 2 * v[name] / size, np.random.default_rng(7))
    assert 2 - 2 * error == pytest.approx(plain, rel=1e-12)
    assert abs(plain) < 2


def test_weights_as_openai_released_them(check):
    """Written by TensorFlow itself, in a model of two layers."""
    fixture = Path(__file__).parents[1] / "weights" / "fixtures" / "openai"
    code, out, _ = check("--weights", str(fixture), "--against", "complex-step")
    assert code == 0
    assert "2 layers, 2 heads, 8 channels" in out


def test_large_models_are_derived_on_one_sequence(check, monkeypatch, plant):
    monkeypatch.setattr(columns, "LARGE", 100)
    code, out, _ = check("--random", SHAPE, "--against", "complex-step", "--batch", "3")
    assert code == 0
    assert "complex-step: 28 tensors on 1 of 3 sequences" in out
    plant("gelu_backward", lambda dy, cache: dy)
    assert check("--random", SHAPE, "--against", "complex-step", "--batch", "3")[0] == 1


# What fails, and where -----------------------------------------------------------------------------------


def second_result_off(operation, share):
    """A backward whose second result, a weight's or gain's gradient, is off by a share."""

    def faulty(dy, cache):
        first, second, *rest = operation(dy, cache)
        return first, second * (1 + share), *rest

    return faulty


def on_call(number, faulty, right):
    """faulty on one call alone, counted from 0, right on all others."""
    count = iter(range(10**9))
    return lambda *arguments: (faulty if next(count) == number else right)(*arguments)


judges = pytest.mark.parametrize("judge", ["complex-step", pytest.param("torch", marks=needs_torch)])


@judges
@pytest.mark.parametrize(("operation", "number", "tensor"), [
    ("layernorm_backward", 0, "ln_f.weight"),
    ("layernorm_backward", 1, "h.1.ln_2.weight"),
    ("layernorm_backward", 4, "h.0.ln_1.weight"),
    ("linear_backward", 0, "h.1.mlp.c_proj.weight"),
    ("linear_backward", 6, "h.0.attn.c_proj.weight"),
    ("embedding_backward", 0, "wpe.weight"),
])  # fmt: skip
def test_a_gradient_off_by_a_billionth_is_named(result, plant, judge, operation, number, tensor):
    right = getattr(ops, operation)
    plant(operation, on_call(number, second_result_off(right, 1e-9), right))
    code, found = result("--random", SHAPE, "--against", judge)
    assert code == 1
    assert found["failed"] == [tensor]
    assert not found["passed"]


@judges
def test_a_fault_that_spreads_is_named_where_it_begins(check, plant, judge):
    right = ops.gelu_backward
    plant("gelu_backward", on_call(1, lambda dy, cache: dy, right))  # layer 0, for real
    code, out, _ = check("--random", SHAPE, "--against", judge)
    assert code == 1
    assert "FAIL: " in out.splitlines()[-1]
    assert "the first on the way back is h.0.mlp.c_fc.bias" in out.splitlines()[-1]
    assert re.search(r"FAIL: (\d+) of 28 tensors, the", out.splitlines()[-1])
    rows = {line.split()[0]: line.endswith("FAIL") for line in out.splitlines() if line.startswith("h.")}
    assert not rows["h.1.ln_1.weight"]
    assert not rows["h.0.mlp.c_proj.weight"]
    assert rows["h.0.mlp.c_fc.weight"]
    assert rows["h.0.ln_1.weight"]


def attention_without_softmax_mean(dy, cache):
    """dscores = probs * dprobs: the sum that softmax takes off is forgotten."""
    q, k, v, probs = cache
    n_head, scale = q.shape[1], 1 / math.sqrt(q.shape[-1])
    do = ops.attention.split_heads(dy, n_head)
    dscores = probs * (do @ v.swapaxes(-1, -2))
    parts = scale * (dscores @ k), scale * (dscores.swapaxes(-1, -2) @ q), probs.swapaxes(-1, -2) @ do
    return np.concatenate([ops.attention.merge_heads(part) for part in parts], axis=-1)


def forgotten_head(right):
    """The tied table's gradient without the head's part."""
    return lambda dlogits, cache: (right(dlogits, cache)[0], 0 * right(dlogits, cache)[1])


FAULTS = {
    "softmax": ("attention_backward", lambda right: attention_without_softmax_mean, "h.1.attn.c_attn.bias"),
    "tied": ("unembedding_backward", forgotten_head, "wte.weight"),
    "all zero": ("embedding_backward", lambda right: lambda dx, cache: (right(dx, cache)[0], 0 * cache[2]),
                 "wpe.weight"),
    "not finite": ("linear_backward", lambda right: lambda dy, cache: (*right(dy, cache)[:2], dy[0, 0] / 0),
                   "h.1.mlp.c_proj.bias"),
}  # fmt: skip


@judges
@pytest.mark.parametrize("fault", FAULTS)
def test_classic_faults_are_noticed(result, plant, judge, fault):
    operation, faulty, tensor = FAULTS[fault]
    plant(operation, faulty(getattr(ops, operation)))
    code, found = result("--random", SHAPE, "--against", judge)
    assert code == 1
    assert found["failed"][0] == tensor


def test_a_kernel_that_is_wrong_in_float32_is_noticed(result, monkeypatch):
    from minigpt.kernels.cpu import gelu

    right = gelu.value_and_slope

    def wrong(x, y):
        right(x, y)
        x *= np.float32(1.001)  # the slope

    assert result("--random", SHAPE, "--dtype", "float32", "--against", "complex-step")[0] == 0
    monkeypatch.setattr(gelu, "value_and_slope", wrong)
    code, found = result("--random", SHAPE, "--dtype", "float32", "--against", "complex-step")
    assert code == 1
    assert found["failed"][0] == "h.1.mlp.c_fc.bias"


@needs_torch
def test_a_wrong_forward_is_seen_by_torch_alone(check, result, monkeypatch):
    monkeypatch.setattr(ops.layernorm, "EPS", 1.01e-5)
    assert result("--random", SHAPE, "--against", "complex-step")[0] == 0
    code, found = result("--random", SHAPE, "--against", "torch")
    assert code == 1
    assert found["failed"][0] == "logits"
    code, out, _ = check("--random", SHAPE, "--against", "torch,torch")
    assert "FAIL: 28 of 28 tensors, logits, loss, the first on the way back is logits" in out.splitlines()[-1]
    assert out.count("worst by torch") == 1


# llm.c's debug state -------------------------------------------------------------------------------------


def write_debug_state(path, config, tokens, targets, logits, loss, grads, pad=0.0):
    """The file as FORMATS.md, section 2, has it, one number after the other."""
    L, C, V = config.n_layer, config.n_embd, config.n_vocab
    B, T = tokens.shape
    content = struct.pack("<4i", 20240327, 2, B, T) + bytes(1024 - 16)
    content += tokens.astype("<i4").tobytes() + targets.astype("<i4").tobytes()
    content += logits.astype("<f4").tobytes() + struct.pack("<f", loss)
    padding = np.full(((V + 127) // 128 * 128 - V, C), pad)
    tensors = [np.concatenate([grads["wte.weight"], padding]), grads["wpe.weight"]]
    for part in ("ln_1", "attn.c_attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.c_proj"):
        for kind in ("weight", "bias"):
            tensors += [grads[f"h.{layer}.{part}.{kind}"].T for layer in range(L)]  # (in, out) to (out, in)
    tensors += [grads["ln_f.weight"], grads["ln_f.bias"]]
    path.write_bytes(content + b"".join(np.ascontiguousarray(tensor, "<f4").tobytes() for tensor in tensors))


@pytest.fixture
def state(tmp_path):
    """A model's folder, and a maker of debug states of it."""
    config, params = random_model(SHAPE, 3)
    minigpt.save_weights(tmp_path / "model", config, params)
    tokens, targets = np.random.default_rng(0).integers(0, config.n_vocab, (2, 3, 5))
    logits = minigpt.logits(config, params, tokens)

    def make(change=lambda grads: None, unscored=None, **how):
        if unscored is not None:
            targets[unscored] = -1
        loss, grads = minigpt.loss_and_grads(config, params, tokens, targets)
        changed = {name: grad.copy() for name, grad in grads.items()}
        change(changed)
        path = tmp_path / "debug_state.bin"
        write_debug_state(path, config, tokens, targets, logits, loss, changed, **how)
        return ["--weights", str(tmp_path / "model"), "--against", "debug-state", str(path)]

    return make


def test_a_debug_state_that_agrees(check, state):
    code, out, _ = check(*state())
    assert code == 0
    assert "batch (3, 5): the debug state's" in out
    assert "worst by debug-state" in out.splitlines()[-1]


def test_the_one_sequence_is_one_with_a_target(result, state, monkeypatch):
    monkeypatch.setattr(columns, "LARGE", 1)
    arguments = state(unscored=0)
    arguments[3] = "complex-step,debug-state"
    code, found = result(*arguments)
    assert code == 0
    assert found["passed"]


@pytest.mark.parametrize("name", ["wte.weight", "h.0.attn.c_attn.weight", "h.1.mlp.c_proj.bias", "ln_f.bias"])
def test_a_debug_state_that_does_not(result, state, name):
    def change(grads):
        grads[name] *= 1.001

    code, found = result(*state(change))
    assert (code, found["failed"]) == (1, [name])


def test_a_debug_state_beside_other_judges(result, state):
    arguments = state()
    arguments[3] = "complex-step,debug-state"
    code, found = result(*arguments)
    assert code == 0
    assert found["tensors"][2]["errors"].keys() == {"complex-step", "debug-state"}
    assert found["tensors"][0]["errors"].keys() == {"debug-state"}  # the loss


@pytest.mark.parametrize(("place", "found"), [(0, 11), (0, -1), (1, 5000), (1, -2)])
def test_ids_of_another_vocabulary_are_named_with_their_file(check, state, place, found):
    arguments = state()
    path = Path(arguments[-1])
    content = bytearray(path.read_bytes())
    B, T = struct.unpack("<2i", content[8:16])
    struct.pack_into("<i", content, 1024 + 4 * B * T * place, found)
    path.write_bytes(content)
    code, _, err = check(*arguments)
    what = ("an input from 0", "a target from -1")[place]
    assert code == 2
    assert f"{path}: expected {what} to 10, found {found}\n" in err


def test_one_layer_is_no_layers():
    one, two = (asked.words(shape_of(f"n_layer={n},n_head={n},n_embd={n}")) for n in (1, 2))
    assert one.startswith("1 layer, 1 head, 1 channel, ")
    assert two.startswith("2 layers, 2 heads, 2 channels, ")


def test_the_size_of_the_published_debug_state():
    config = minigpt.PRESETS["gpt2"]
    numbers = sum(math.prod(shape) for shape in param_shapes(config).values()) + 47 * 768
    assert debug_state.HEADER + 4 * (2 * 256 + 256 * 50257 + 1 + numbers) == 549_369_860  # FORMATS.md


@pytest.mark.parametrize(("spoil", "said"), [
    (lambda content: content[:-4], "expected .* bytes, found"),
    (lambda content: content + b"\0\0\0\0", "expected .* bytes, found"),
    (lambda content: b"", "magic 0, version 0 in 0 bytes"),
    (lambda content: content[:10], "expected a debug state of llm.c"),
    (lambda content: b"\0" + content[1:], "expected a debug state of llm.c"),
    (lambda content: content[:4] + b"\1" + content[5:], "version 1"),
    (lambda content: content[:8] + struct.pack("<i", -3) + content[12:], "B=-3"),
])  # fmt: skip
def test_a_file_that_is_no_debug_state(check, state, spoil, said):
    arguments = state()
    with open(arguments[-1], "rb") as file:
        content = file.read()
    with open(arguments[-1], "wb") as file:
        file.write(spoil(content))
    code, out, err = check(*arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    with pytest.raises(CheckpointError, match=said):
        debug_state.read(arguments[-1], shape_of(SHAPE), param_shapes(shape_of(SHAPE)))


@pytest.mark.parametrize("flag", ["--batch", "--time", "--text"])
def test_a_debug_state_brings_its_own_batch(check, state, flag):
    code, _, err = check(*state(), flag, "3")
    said = f"{flag}: a debug state brings its own batch: leave out {flag}"
    assert (code, err) == (2, f"reference check: {said}\n")


def test_padding_that_is_not_zero(check, state):
    code, _, err = check(*state(pad=0.5))
    assert code == 2
    assert "expected zeros in the wte gradient's rows from 11 on" in err


# What is published ---------------------------------------------------------------------------------------


def debug_batch():
    """A batch that begins as llm.c's does."""
    ids = np.resize(published.FIRST_IDS, 257)
    return ids[:-1].reshape(4, 64), ids[1:].reshape(4, 64)


def test_openais_weights_are_known_by_their_loss_on_the_debug_batch():
    gpt2, batch = minigpt.PRESETS["gpt2"], debug_batch()
    assert published.are_openais(gpt2, *batch, 5.270007)
    assert not published.are_openais(gpt2, *batch, 5.28)
    assert not published.are_openais(minigpt.PRESETS["gpt2-medium"], *batch, 5.270007)
    assert not published.are_openais(gpt2, batch[0] + 1, batch[1], 5.270007)
    assert not published.are_openais(gpt2, batch[0], batch[0], 5.270007)
    assert not published.are_openais(gpt2, batch[0].reshape(8, 32), batch[1].reshape(8, 32), 5.270007)


def test_the_debug_batch_is_what_llm_c_makes_of_its_text():
    """The first 32 published ids, from the text that they decode to."""
    tokenizer = minigpt.Tokenizer.gpt2()
    text = tokenizer.decode(published.FIRST_IDS).replace("<|endoftext|>", "")
    found = subject.first_ids(tokenizer, text + "\n\nand so on", len(published.FIRST_IDS) - 1)
    assert tuple(found) == published.FIRST_IDS[:-1]  # the last is the beginning of a word


def greedy(config, params, prompt, count):
    """The likeliest next id by torch, without a cache and without a batch, count times."""
    from reference import torch_twin

    ids = list(prompt)
    for _ in range(count):
        ids.append(int(torch_twin.logits(config, params, [ids])[0, -1].argmax()))
    return tuple(ids[len(prompt) :])


@needs_torch
def test_a_batch_that_sees_its_padding_is_not_as_published(monkeypatch):
    """What left-padding can do wrong: the pads of the shorter prompt are looked at."""
    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=8, n_ctx=64, n_vocab=300)
    params = {name: 20 * p.astype("float32") for name, p in minigpt.init_params(config, 1).items()}
    texts = {name: (ids, greedy(config, params, ids, 6)) for name, ids in
             (("five", (7, 7, 3, 99, 5)), ("two", (11, 31)))}  # fmt: skip
    asked = config, params, *debug_batch(), list, {}, texts, (("five", "two"),)
    assert [verdict.passed for verdict in published.verdicts(*asked)] == [True, True, True]

    def padded(config, params, prompts, **options):
        rows = [[0] * (max(map(len, prompts)) - len(prompt)) + prompt for prompt in prompts]
        return generate_batch(config, params, rows, **options)

    monkeypatch.setattr(published, "generate_batch", padded)
    assert [verdict.passed for verdict in published.verdicts(*asked)] == [True, True, False]


@needs_torch
def test_curves_and_continuations_as_torch_has_them():
    """The machinery of the published facts on a small model, whose facts are torch's."""
    from reference import torch_twin

    config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=8, n_ctx=64, n_vocab=50257)
    params = {name: param.astype("float32") for name, param in minigpt.init_params(config, 1).items()}
    tokens, targets = debug_batch()

    curves = {}
    for what, curve in published.CURVES.items():
        optimizer = {name: value for name, value in curve.optimizer.items() if name != "decay_all"}
        if curve.optimizer.get("decay_all"):
            optimizer |= {"weight_decay": 0.0}  # the twin decays matrices only
        losses, _ = torch_twin.train(config, params, [(tokens, targets)] * 2, [published.LR] * 2, **optimizer)
        curves[what] = published.Curve(dict(curve.optimizer) | {"weight_decay": optimizer["weight_decay"]},
                                       tuple(losses), curve.tolerance)  # fmt: skip
    texts = {"two words": ((11, 314), greedy(config, params, [11, 314], 4)),
             "a wrong one": ((11, 314), (1, 2, 3)),
             "five": ((7, 7, 3, 99, 5), greedy(config, params, [7, 7, 3, 99, 5], 6))}  # fmt: skip
    batches = (("five", "two words"), ("a wrong one", "five"))

    asked = config, params, tokens, targets, list, curves, texts, batches
    found = published.verdicts(*asked)
    assert [(verdict.what, verdict.passed) for verdict in found] == [
        ("continuation of 'two words'", True),
        ("continuation of 'a wrong one'", False),
        ("continuation of 'five'", True),
        ("continuation of 'five' and 'two words' in one batch", True),
        ("continuation of 'a wrong one' and 'five' in one batch", False),
        ("losses of llm.c's test_gpt2.c", True),
        ("losses of llm.c's test_gpt2.cu", True),
    ]
    few = published.verdicts(config, params, tokens[:2], targets[:2], list, curves, texts, batches)
    assert [verdict.what for verdict in few] == [verdict.what for verdict in found[:5]]
    shifted = {what: curve._replace(losses=(0, *curve.losses[1:])) for what, curve in curves.items()}
    wrong = published.verdicts(config, params, tokens, targets, list, shifted, {}, ())
    assert [verdict.passed for verdict in wrong] == [False, False]


def test_facts_as_they_are_published():
    first, second = published.CURVES.values()
    assert [len(curve.losses) for curve in (first, second)] == [10, 10]
    assert all(abs(curve.losses[0] - published.FIRST_LOSS) < 1e-5 for curve in (first, second))
    assert first.optimizer["decay_all"]
    text = minigpt.Tokenizer.gpt2().decode
    assert text(published.CONTINUATIONS["Today, I"][0]) == "Today, I"
    assert text(published.CONTINUATIONS["The dog"][1]).startswith(" was found in a field near")
    for name in published.BATCHES[0]:
        assert text(published.CONTINUATIONS[name][0]) == name
        assert len(published.CONTINUATIONS[name][1]) == 13  # 20 in all, the shorter prompt padded to 7


# Batches -------------------------------------------------------------------------------------------------


def test_a_text_is_cut_into_sections_that_begin_with_endoftext():
    tokenizer = minigpt.Tokenizer.gpt2()
    found = subject.first_ids(tokenizer, "First Citizen:\n\nSpeak\n\nAll", 99)
    parts = ["First Citizen:\n\n", "Speak\n\n", "All"]
    assert found.tolist() == [id for part in parts for id in [50256, *tokenizer.encode(part)]]


def test_a_real_batch_for_gpt2s_vocabulary(tmp_path):
    config = types.SimpleNamespace(n_vocab=50257, n_ctx=1024)
    tokens, targets, origin = subject.batch_of(config, None, None, 4, None, 0)
    assert tokens.shape == targets.shape == (4, 64)
    assert tokens[0, 0] == 50256
    assert (tokens.ravel()[1:] == targets.ravel()[:-1]).all()
    assert "State of the Union" in origin
    (tmp_path / "a.txt").write_text("Hello world")
    with pytest.raises(DataError, match="needs 257 tokens, the text has 3"):
        subject.batch_of(config, str(tmp_path / "a.txt"), None, 4, None, 0)
    assert subject.batch_of(config, str(tmp_path / "a.txt"), None, 1, 2, 0)[0].tolist() == [[50256, 15496]]


def test_a_model_with_a_tokenizer_beside_it_gets_a_text(tmp_path):
    tokenizer = minigpt.Tokenizer.train(["the people of the States " * 9], 270)
    config, params = random_model(f"n_vocab={tokenizer.n_vocab},n_ctx=8", 0)
    minigpt.save_weights(tmp_path, config, params)
    tokenizer.save(tmp_path / "tokenizer.json")
    tokens, _, origin = subject.batch_of(config, None, tmp_path, 2, None, 0)
    assert origin == "the State of the Union addresses"
    assert tokens[0, 0] == tokenizer.eot
    config, _ = random_model("n_vocab=271,n_ctx=8", 0)
    assert subject.batch_of(config, None, tmp_path, 2, None, 0)[2] == "random ids"  # another vocabulary's


# Bad input -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arguments", "said"), [
    ([], "give one of --weights PATH and --random SHAPE"),
    (["--weights", "x", "--random", "gpt2"], "give one of --weights PATH and --random SHAPE"),
    (["--weights", "no/such/folder"], "no/such/folder"),
    (["--random", "gpt3"], "--random: expected gpt2, gpt2-medium"),
    (["--random", SHAPE, "--seed", "-1"], "--seed must be between 0 and"),
    (["--random", SHAPE, "--n-head", "2"], "--n-head is for weights files"),
    (["--random", "n_layer=10000,n_embd=65536", "--batch", "1"], "GB are available: take a smaller model"),
    (["--random", "n_vocab=50257,n_ctx=1024", "--batch", "100000"], "are available: take a smaller model"),
    (["--random", "n_layer=-1"], "found 'n_layer=-1'"),
    (["--random", "n_layer=0"], "n_layer must be between"),
    (["--random", "n_embd=9"], "n_embd must be divisible by n_head"),
    (["--random", SHAPE, "--against", "tensorflow"], "expected names of complex-step, torch, debug-state"),
    (["--random", SHAPE, "--against", "debug-state"], "expected one FILE for debug-state: found none"),
    (["--random", SHAPE, "--against", "debug-state", "a", "b"], "found a, b"),
    (["--random", SHAPE, "--against", "debug-state", "no-such-file"], "no-such-file"),
    (["--random", SHAPE, "--text", "x"], "needs a tokenizer"),
    (["--random", "n_vocab=50257,n_ctx=8", "--text", "no-such-text"], "no-such-text: not readable"),
    (["--random", SHAPE, "--batch", "0"], "--batch and --time must be 1 or more: found 0 and None"),
    (["--random", SHAPE, "--time", "9"], "up to n_ctx=8 tokens"),
    (["--random", SHAPE, "--text", ""], "text: expected a path: found an empty one"),
    (["--random", SHAPE, "--against", ""], "--against: expected a judge or a path: found an empty one"),
    (["--weights", ""], "weights: expected a path: found an empty one"),
    (["--weights", "no\nsuch"], "no such: no such file"),  # the line break is a space
    (["--random", SHAPE, "--golden"], "--golden: what is published is of OpenAI's 124M"),
])  # fmt: skip
def test_bad_input_is_one_line(check, arguments, said):
    code, _, err = check(*arguments)
    assert code == 2
    assert said in err
    assert err.startswith("reference check: ")
    assert err.count("\n") == 1


def test_torch_is_asked_for_where_it_is_missing(check, monkeypatch):
    monkeypatch.setattr(columns, "has_torch", lambda: False)
    assert check("--random", SHAPE)[0] == 0
    code, _, err = check("--random", SHAPE, "--against", "torch")
    assert code == 2
    assert "torch is not installed" in err


def test_weights_that_are_not_finite_fail_and_are_named_first(check, result, tmp_path):
    config, params = random_model(SHAPE, 0)
    params["h.0.mlp.c_fc.bias"][0] = np.nan
    minigpt.save_weights(tmp_path, config, params)
    arguments = "--weights", str(tmp_path), "--against", "complex-step"
    code, found = result(*arguments)
    assert code == 1
    assert found["tensors"][0]["norm"] == "nan"
    code, out, _ = check(*arguments)
    assert code == 1
    assert out.splitlines()[1] == "weights: not finite in h.0.mlp.c_fc.bias: what fails below fails for that"


def test_float32_and_float64_check_the_same_weights(tmp_path):
    config, params = random_model(SHAPE, 0)
    assert all((param == param.astype("float32")).all() for param in params.values())
    minigpt.save_weights(tmp_path, config, {name: param / 3 for name, param in params.items()})
    for dtype in ("float64", "float32"):
        _, loaded = model_of(Check(weights=str(tmp_path), dtype=dtype))
        assert param_shapes(config).keys() == loaded.keys()
        rounded = {name: (param / 3).astype(dtype) for name, param in params.items()}
        assert all((loaded[name] == rounded[name]).all() for name in params)
        assert all(param.dtype == "float64" for param in loaded.values())


def test_every_command_is_there(capsys):
    with pytest.raises(SystemExit) as left:
        program.main(["--help"])
    assert left.value.code == 0
    out = capsys.readouterr().out
    assert all(f"• {name} " in out for name in program.COMMANDS)
    for name in program.COMMANDS:
        with pytest.raises(SystemExit) as left:
            program.main([name, "--help"])
        assert left.value.code == 0
    with pytest.raises(SystemExit) as left:
        program.main(["check", "--no-such-flag"])
    assert left.value.code == 2


def test_durations():
    told = [report.duration(seconds) for seconds in (0.2, 99.4, 99.6, 359.9, 3661)]
    assert told == ["0s", "99s", "1m40s", "6m00s", "61m01s"]


def test_a_shape_in_words():
    assert shape_of("gpt2-xl") == minigpt.PRESETS["gpt2-xl"]
    assert shape_of("gpt2, n_layer=2").n_layer == 2
    assert shape_of("gpt2,n_layer=2").n_embd == 768
    for words, says in {
        "": "found ''",
        "n_layer=2,n_layer=3": "n_layer is given twice",
        "gpt2,gpt2": "found 'gpt2'",
        "n_layer=2,gpt2": "found 'gpt2'",  # which would take the 2 back
        "n_layer=10001": "between 1 and 10000: found 10001",
    }.items():
        with pytest.raises(BadInput, match=says):
            shape_of(words)


@pytest.mark.slow
@needs_torch
def test_a_model_of_124m_in_all_its_tensors():
    command = [sys.executable, "-m", "reference", "check", "--random", "gpt2", "--json"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert found["passed"] is True
    assert {"logits", "loss"} < {tensor["name"] for tensor in found["tensors"]}
    assert len(found["tensors"]) == 2 + 148
    assert all({"complex-step", "torch"} <= tensor["errors"].keys() for tensor in found["tensors"][2:])
    assert found["peak_bytes"] < 24e9
