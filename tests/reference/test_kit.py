"""The conformance kit, read by a program that knows its README alone, and held against minigpt, torch, C."""

import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

import minigpt
from minigpt import ops, optim
from minigpt.config import OptimizerConfig
from minigpt.optim import learning_rate
from reference import tools as program
from reference.kit.operations import SIGNATURES
from tests.support.oracle import copied, dense
from tests.support.tables import cpu_table, reference_table, small_blocks

DOUBLE, SINGLE = (2.0**-53, 2.0**-1022), (2.0**-24, 2.0**-126)  # from the kit's README
BRAIN, HALF = (2.0**-8, 2.0**-126), (2.0**-11, 2.0**-14)
TYPES = {"f8": "<f8", "i4": "<i4"}


class Kit:
    """A kit's tables: the independent reader, from the README alone."""

    def __init__(self, folder):
        self.data = (folder / "kit.bin").read_bytes()
        self.cases = {case["name"]: case for case in json.loads((folder / "index.json").read_text())["cases"]}

    def table(self, entry, offset="offset", dtype=None):
        count = int(np.prod(entry["shape"]))
        numbers = np.frombuffer(self.data, TYPES[dtype or entry["dtype"]], count, entry[offset])
        return numbers.reshape(entry["shape"])

    def inputs(self, case, dtype):
        """The case's inputs, floats in dtype."""
        tables = {name: self.table(entry) for name, entry in case["inputs"].items()}
        return {name: t.astype(dtype if t.dtype.kind == "f" else int) for name, t in tables.items()}

    def share(self, case, name, got, precision, stored=0.0):
        """The largest share of its bound that a result takes."""
        unit, smallest = precision
        entry = case["expected"][name]
        expected, error = self.table(entry), self.table(entry, "error_offset")
        got = np.asarray(got)
        assert got.shape == expected.shape, (case["name"], name)
        bound = 4 * unit * error + stored * np.abs(expected) + smallest
        share = np.abs(got.astype(float) - expected) / bound
        return np.inf if np.isnan(share).any() else float(share.max())


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("kit")
    assert program.main(["kit", "--out", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def kit(folder):
    return Kit(folder)


def cases_of(kit, group):
    """The cases of an operation, or of model, adamw, ..."""
    return [case for name, case in kit.cases.items() if name.startswith(f"{group}/")]


# The files -----------------------------------------------------------------------------------------------


def test_every_file_is_small_and_what_its_sum_says(folder):
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    named = {name: digest for digest, name in (line.split("  ") for line in lines)}
    assert named.keys() == {path.name for path in folder.iterdir()} - {"SHA256SUMS"}
    for name, digest in named.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == digest
    assert sum(path.stat().st_size for path in folder.iterdir()) < 2_000_000


def test_the_same_bytes_from_another_process(folder, tmp_path):
    environment = os.environ | {"PYTHONHASHSEED": "7"}
    command = [sys.executable, "-m", "reference", "kit", "--out", str(tmp_path)]
    subprocess.run(command, check=True, env=environment, cwd=Path(__file__).parents[2], capture_output=True)
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes(), path.name


def test_both_indexes_say_the_same_and_no_tables_overlap(folder, kit):
    rows = [line.split("\t") for line in (folder / "index.tsv").read_text().splitlines()[1:]]
    told = {(case, role, name): row for case, role, name, *row in rows}
    assert len(told) == len(rows)
    end = 0
    for case in kit.cases.values():
        for role, entries in (("input", case["inputs"]), ("expected", case["expected"])):
            for name, entry in entries.items():
                dtype, shape, offset, count = told[case["name"], role, name]
                assert (dtype, int(offset)) == (entry["dtype"], entry["offset"])
                assert shape == ("x".join(map(str, entry["shape"])) or "scalar")
                assert int(count) == np.prod(entry["shape"])
    for *_, dtype, _, offset, count in rows:
        assert int(offset) % 64 == 0
        assert int(offset) >= end
        end = int(offset) + int(count) * int(dtype[1])
    assert end <= len(kit.data) < end + 64


def test_inputs_are_exact_in_every_type(kit):
    from ml_dtypes import bfloat16

    for case in kit.cases.values():
        if case["name"].startswith(("schedule", "adamw/first")):
            continue
        for name, entry in case["inputs"].items():
            table = kit.table(entry)
            for dtype in (np.float32, np.float16, bfloat16) if table.dtype.kind == "f" else ():
                assert (table.astype(dtype).astype(float) == table).all(), (case["name"], name, dtype)


def test_every_operation_has_its_edges(kit):
    groups = {name.split("/")[0] for name in kit.cases}
    assert groups == {*SIGNATURES, "model", "clip", "adamw", "schedule"}
    assert {f"{name}_{way}" for name in SIGNATURES for way in ("forward", "backward")} == set(ops.__all__)
    for group in SIGNATURES:
        shapes = [entry["shape"] for case in cases_of(kit, group) for entry in case["inputs"].values()]
        assert any(shape and max(shape) == 1 for shape in shapes) or group in ("gelu", "cross_entropy"), group
    assert kit.table(kit.cases["cross_entropy/large-logits"]["inputs"]["logits"]).max() > 700
    assert (kit.table(kit.cases["cross_entropy/all-but-one-ignored"]["inputs"]["targets"]) != -1).sum() == 1
    bounds = [kit.table(e, "error_offset") for case in kit.cases.values() for e in case["expected"].values()]
    assert all((np.isfinite(bound) & (bound >= 0)).all() for bound in bounds)


# minigpt's operations ------------------------------------------------------------------------------------


def run_operation(table, kit, case, dtype):
    """An operation's output and gradients, by the kit's names."""
    operation = case["name"].split("/")[0]
    names, output, gradients = SIGNATURES[operation]
    inputs = kit.inputs(case, dtype) | case["settings"]
    y, cache = getattr(table, f"{operation}_forward")(*copied([inputs[name] for name in names]))
    y = np.array(y)  # a copy: kernels may write over it
    found = getattr(table, f"{operation}_backward")(*copied([inputs[f"d{output}"]]), cache)
    found = found if isinstance(found, tuple) else (found,)
    results = {output: y} | dict(zip(gradients, found, strict=True))
    for name, result in results.items():
        results[name] = dense(result, case["expected"][name]["shape"], dtype)
    return results


SUBJECTS = {
    "reference in float64": (reference_table(), "float64", DOUBLE),
    "reference in float32": (reference_table(), "float32", SINGLE),
    "kernels": (cpu_table(2), "float32", SINGLE),
}
subjects = pytest.mark.parametrize("subject", SUBJECTS)


@subjects
@pytest.mark.parametrize("operation", SIGNATURES)
def test_minigpt_keeps_every_bound(kit, subject, operation):
    table, dtype, precision = SUBJECTS[subject]
    with small_blocks():
        for case in cases_of(kit, operation):
            results = run_operation(table, kit, case, dtype)
            assert results.keys() == case["expected"].keys()
            for name, got in results.items():
                assert kit.share(case, name, got, precision) <= 1, (case["name"], name)


def wrong(name, change):
    """A table with one operation changed."""
    return reference_table(**{name: change(getattr(ops, name))})


FAULTS = {
    "eps": ("layernorm", lambda: wrong("layernorm_forward", lambda right: with_eps(1.001e-5))),
    "C - 1": ("layernorm", lambda: wrong("layernorm_forward", lambda right: sample_variance)),
    "sum for mean": ("cross_entropy", lambda: wrong("cross_entropy_backward", lambda right: summed(right))),
    "no 1/sqrt(D)": ("attention", lambda: wrong("attention_forward", lambda right: unscaled)),
    "a token's last gradient": ("embedding", lambda: wrong("embedding_backward", lambda right: last_wins)),
    "erf": ("gelu", lambda: wrong("gelu_forward", lambda right: erf_gelu)),
    "no shift": ("cross_entropy", lambda: wrong("cross_entropy_forward", lambda right: unshifted)),
}  # fmt: skip


def with_eps(eps):
    def layernorm(x, gain, bias):
        centred = x - x.mean(axis=-1, keepdims=True)
        rstd = 1 / ((centred * centred).mean(axis=-1, keepdims=True) + eps) ** 0.5
        return gain * centred * rstd + bias, (centred * rstd, rstd, gain)

    return layernorm


def sample_variance(x, gain, bias):
    rstd = 1 / (x.var(axis=-1, ddof=int(x.shape[-1] > 1), keepdims=True) + 1e-5) ** 0.5
    n = (x - x.mean(axis=-1, keepdims=True)) * rstd
    return gain * n + bias, (n, rstd, gain)


def summed(right):
    return lambda dloss, cache: right(dloss, (*cache[:2], np.sign(cache[2])))


def unscaled(qkv, n_head):
    D = qkv.shape[-1] // 3 // n_head
    scale = np.repeat([D**0.5, 1, 1], qkv.shape[-1] // 3)
    return ops.attention_forward(qkv * scale, n_head)


def last_wins(dx, cache):
    tokens, wte, _ = cache
    dwte = np.zeros_like(wte)
    dwte[tokens] = dx
    return dwte, ops.embedding_backward(dx, cache)[1]


def erf_gelu(x):
    import math

    return x * (1 + np.vectorize(math.erf)(x / 2**0.5)) / 2, ops.gelu_forward(x)[1]


def unshifted(logits, targets):
    weights = np.exp(logits)
    totals = weights.sum(axis=-1, keepdims=True)
    _, (_, places, share) = ops.cross_entropy_forward(logits, targets)
    nll = (np.log(totals) - np.take_along_axis(logits, places, -1))[..., 0]
    return (share * nll).sum(), (weights / totals, places, share)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:overflow", "ignore:invalid", "ignore:divide")
def test_a_fault_is_beyond_a_bound(kit, fault, dtype):
    operation, table = FAULTS[fault]
    precision = DOUBLE if dtype == "float64" else SINGLE
    shares = [
        kit.share(case, name, got, precision)
        for case in cases_of(kit, operation)
        for name, got in run_operation(table(), kit, case, dtype).items()
    ]
    assert not max(shares) <= 1


# Models and the optimizer --------------------------------------------------------------------------------


def model_of(kit, case, dtype):
    """config, params, tokens and targets of a model case."""
    inputs = kit.inputs(case, dtype)
    config = {name: size for name, size in case["settings"].items() if name.startswith("n_")}
    return minigpt.GPTConfig(**config), inputs, inputs.pop("tokens"), inputs.pop("targets")


@pytest.mark.parametrize(("dtype", "ops_name", "precision"), [
    ("float64", "reference", DOUBLE), ("float32", "reference", SINGLE), ("float32", "fast", SINGLE),
])  # fmt: skip
def test_minigpts_model_and_training_step_keep_every_bound(kit, dtype, ops_name, precision):
    for case in cases_of(kit, "model"):
        config, params, tokens, targets = model_of(kit, case, dtype)
        loss, grads = minigpt.loss_and_grads(config, params, tokens, targets, ops=ops_name)
        settings = {name: case["settings"][name] for name in ("lr", "betas", "eps", "weight_decay", "clip")}
        trainer = minigpt.Trainer(config, params, ops=ops_name, **settings)
        report = trainer.step(tokens, targets)
        found = {"logits": minigpt.logits(config, params, tokens, ops=ops_name), "loss": loss}
        found |= {f"d{name}": grad for name, grad in grads.items()}
        found |= {f"{name}.after": param for name, param in trainer.params.items()}
        assert found.keys() == case["expected"].keys() - {"norm"}
        assert kit.share(case, "loss", report, precision) <= 1
        for name, got in found.items():
            assert kit.share(case, name, got, precision) <= 1, (case["name"], name)


def test_a_models_gradient_a_little_off_is_beyond_its_bound(kit):
    """1e-12 in float64, 1e-3 in float32; and what must be 0 may not be anything else."""
    for case in cases_of(kit, "model"):
        _, params, _, _ = model_of(kit, case, "float64")
        for name in params:
            entry = case["expected"][f"d{name}"]
            got, zero = kit.table(entry), kit.table(entry, "error_offset") == 0
            assert kit.share(case, f"d{name}", got, DOUBLE) == 0
            if got.any():
                assert kit.share(case, f"d{name}", got * (1 + 1e-12), DOUBLE) > 1, (case["name"], name)
                assert kit.share(case, f"d{name}", got * (1 + 1e-3), SINGLE) > 1, (case["name"], name)
            assert not got[zero].any()
            assert not zero.any() or kit.share(case, f"d{name}", np.where(zero, 1e-30, got), SINGLE) > 1
            unused = name == "wpe.weight" and case["settings"]["n_ctx"] > 1
            assert zero.any() or not unused


def test_the_torch_twin_keeps_every_bound(kit):
    torch = pytest.importorskip("torch", reason="torch is not installed")
    from reference import torch_twin

    torch.set_num_threads(1)
    for case in cases_of(kit, "model"):
        config, params, tokens, targets = model_of(kit, case, "float64")
        for dtype, precision in ((torch.float64, DOUBLE), (torch.float32, SINGLE)):
            asked = config, params, tokens
            loss, grads = torch_twin.loss_and_grads(*asked, targets, dtype=dtype)
            settings = {name: case["settings"][name] for name in ("betas", "eps", "weight_decay", "clip")}
            rates = [case["settings"]["lr"]]
            _, after = torch_twin.train(config, params, [(tokens, targets)], rates, **settings, dtype=dtype)
            found = {"logits": torch_twin.logits(*asked, dtype=dtype), "loss": loss}
            found |= {f"d{name}": grad for name, grad in grads.items()}
            found |= {f"{name}.after": param for name, param in after.items()}
            for name, got in found.items():
                assert kit.share(case, name, got, precision) <= 1, (case["name"], name, dtype)


@pytest.mark.parametrize("kind", ["bfloat16", "float16"])
def test_torch_in_16_bits_keeps_its_bounds(kit, kind):
    """float32 inside, the result stored in 16 bits, as GPU kernels do."""
    torch = pytest.importorskip("torch", reason="torch is not installed")
    import torch.nn.functional as F

    dtype, (stored, smallest) = getattr(torch, kind), BRAIN if kind == "bfloat16" else HALF
    run = {
        "layernorm": lambda i: F.layer_norm(i["x"], i["x"].shape[-1:], i["gain"], i["bias"]),
        "gelu": lambda i: F.gelu(i["x"], approximate="tanh"),
        "linear": lambda i: F.linear(i["x"], i["weight"].T, i["bias"]),
    }
    for operation, function in run.items():
        for case in cases_of(kit, operation):
            tables = {name: torch.tensor(t).to(dtype) for name, t in kit.inputs(case, "float64").items()}
            got = function(tables).double().numpy()
            share = kit.share(case, "y", got, (SINGLE[0], smallest), stored)
            assert share <= 1, (case["name"], share)


@subjects
def test_adamw_and_clipping(kit, subject):
    table, dtype, precision = SUBJECTS[subject]
    for case in cases_of(kit, "adamw"):
        if case["name"] == "adamw/five-steps":
            continue
        inputs, settings = kit.inputs(case, dtype), dict(case["settings"])
        settings["betas"] = tuple(settings["betas"])
        names = ("params", "grads", "first", "second")
        found = table.adamw(*copied([inputs[name] for name in names]), **settings)
        for name, got in zip(("params.after", "first.after", "second.after"), found, strict=True):
            assert kit.share(case, name, got, precision) <= 1, (case["name"], name)
    for case in cases_of(kit, "clip"):
        norm = table.global_norm(kit.inputs(case, dtype)["grads"])
        assert kit.share(case, "norm", norm, precision) <= 1
        scale = np.asarray(optim.clip_scale(norm, case["settings"]["clip"]), dtype)
        assert kit.share(case, "scale", scale, precision) <= 1, case["name"]


@subjects
def test_five_steps(kit, subject):
    table, dtype, precision = SUBJECTS[subject]
    case = kit.cases["adamw/five-steps"]
    inputs, s = kit.inputs(case, dtype), SimpleNamespace(**case["settings"])
    state, course = (inputs["params"], np.zeros(5, dtype), np.zeros(5, dtype)), []
    for step, grads in enumerate(inputs["grads"], start=1):
        scale = optim.clip_scale(table.global_norm(grads.copy()), s.clip)
        rest = {"lr": s.lr, "betas": tuple(s.betas), "eps": s.eps, "weight_decay": s.weight_decay}
        params, first, second = state
        state = table.adamw(params.copy(), grads.copy(), first, second, step=step, scale=scale,
                            n_decayed=s.n_decayed, **rest)  # fmt: skip
        course.append(state[0].copy())
    assert kit.share(case, "params.after", course, precision) <= 1
    assert kit.share(case, "second.after", state[2], precision) <= 1
    assert kit.share(case, "params.after", course[::-1], precision) > 1


def test_schedules(kit):
    for case in cases_of(kit, "schedule"):
        optimizer = OptimizerConfig(schedule=case["name"].split("/")[1], **case["settings"])
        rates = [learning_rate(step, optimizer) for step in range(22)]
        assert kit.share(case, "lr", rates, DOUBLE) <= 1
        assert kit.share(case, "lr", rates[1:] + rates[:1], DOUBLE) > 1


# The example in C ----------------------------------------------------------------------------------------

COMPILER = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler; the reader above is the check")


def compiled(source, to):
    subprocess.run([COMPILER, "-O2", "-Wall", "-Werror", "-o", to, source, "-lm"], check=True)
    return to


@needs_compiler
def test_the_example_in_c_passes_and_a_wrong_one_does_not(folder, kit, tmp_path):
    right = compiled(folder / "layernorm.c", tmp_path / "right")
    cases = [case["name"] for case in cases_of(kit, "layernorm")]
    for name in cases:
        run = subprocess.run([right, folder, name], capture_output=True, text=True, check=False)
        assert run.returncode == 0, run.stdout
        assert "0 entries beyond it" in run.stdout

    source = (folder / "layernorm.c").read_text()
    changes = {"1e-5f": "1.01e-5f", "variance / C": "variance / (C > 1 ? C - 1 : 1)", "mean /= C": ""}
    for old, new in changes.items():
        assert source.count(old) == 1
        (tmp_path / "wrong.c").write_text(source.replace(old, new))
        wrong = compiled(tmp_path / "wrong.c", tmp_path / "wrong")
        runs = [subprocess.run([wrong, folder, name], capture_output=True, check=False) for name in cases]
        assert {run.returncode for run in runs} <= {0, 1}
        assert any(run.returncode for run in runs), new
    for arguments in (("nowhere",), (folder, "layernorm/none")):
        run = subprocess.run([right, *arguments], capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (2, "")


# Folders -------------------------------------------------------------------------------------------------


def refused(capsys, folder):
    assert program.main(["kit", "--out", str(folder)]) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    return error


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "expected a folder" in refused(capsys, tmp_path / "file")
    assert "cannot be written" in refused(capsys, tmp_path / "file" / "below")


@pytest.mark.parametrize("name", ["README.md", "index.json", "holiday.jpg", ".git"])
def test_the_kit_is_not_mixed_with_somebodys_files(tmp_path, capsys, name):
    (tmp_path / name).write_text('{"format": "something else"}')
    said = f"expected an empty folder, found {name!r} in it: name a new one"
    assert said in refused(capsys, tmp_path)
    assert contents(tmp_path) == {name: b'{"format": "something else"}'}


@pytest.mark.parametrize("index", [
    b'{"about": "not a minigpt conformance kit"}', b'["minigpt conformance kit 1"]', 
    b"minigpt conformance kit 1",
])  # fmt: skip
def test_an_index_is_a_kits_by_its_format(tmp_path, capsys, index):
    (tmp_path / "index.json").write_bytes(index)
    assert "expected an empty folder, found 'index.json' in it" in refused(capsys, tmp_path)
    assert contents(tmp_path) == {"index.json": index}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_older_kit_stays_whole_on_a_full_disk_and_is_replaced_on_another(folder, tmp_path):
    """kit.bin alone is longer than files may be."""
    old = contents(folder) | {"kit.bin": b"old", "layernorm": b"compiled"}
    for name, content in old.items():
        (tmp_path / name).write_bytes(content)
    command = [sys.executable, "-m", "reference", "kit", "--out", str(tmp_path)]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))  # noqa: E731
    root = Path(__file__).parents[2]
    run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=root, preexec_fn=limit)
    assert (run.returncode, run.stderr.count("\n")) == (2, 1)
    assert f"{tmp_path}: cannot be written: File too large; " in run.stderr
    assert contents(tmp_path) == old
    assert program.main(["kit", "--out", str(tmp_path)]) == 0
    assert contents(tmp_path) == contents(folder) | {"layernorm": b"compiled"}


def test_only_files_are_replaced(folder, tmp_path, capsys):
    """A folder stands in for a device: renamed over one, the kit would be there in its stead."""
    (tmp_path / "index.json").write_bytes((folder / "index.json").read_bytes())
    (tmp_path / "kit.bin").mkdir()
    assert "kit.bin: is no file" in refused(capsys, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"index.json", "kit.bin"}
