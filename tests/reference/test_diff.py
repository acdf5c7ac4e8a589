"""reference diff: planted faults are named, other layouts are no faults, bad files are one clear line.

Faults are planted twice: in copies of reference/llmc that compute in few bits, the whole catalogue; and in a
torch program that shares nothing with it and differentiates by autograd.
"""

import contextlib
import json
import re
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save_file

import minigpt
from reference.bad_input import BadInput
from reference.diff import Diff
from reference.diff import causes as causes_room
from reference.diff.arrange import Arranged
from reference.diff.causes import first_failing
from reference.diff.compare import examine
from reference.diff.dumped import read_inputs
from reference.diff.faults import Fault, catalogue, table_of
from reference.diff.files import read_tensors
from reference.diff.probes import first_seen, looks
from reference.diff.projection import Projection, Sample, project
from reference.diff.recognise import recognise
from reference.dump import Dump
from reference.dump_files import fingerprint
from reference.llmc import Sizes, ops, run
from reference.llmc.names import AXES, label
from reference.llmc.parameters import stacked
from reference.rounding_modes import nearest
from reference.tools import main
from tests.support.questions import SMALL, inputs, program

QUESTION = inputs(seed=3, ignored=True)
FAULTS = {fault.name: fault for fault in catalogue(SMALL, QUESTION.targets)}
RUNS = 4


def verdict_on(arrays, mode="fp32", question=QUESTION):
    """(first difference or None, names of the causes, what stays unexplained)"""
    rows, _, verdict = examine(question, arrays, mode, RUNS)
    failing = first_failing(rows)
    if verdict is None:
        return failing and label(failing.key), [], None
    causes = [(fault.name, layers) for fault, layers in verdict.planted]
    return failing and label(failing.key), causes, verdict.unexplained


def faulty(*planted, mode="fp32"):
    """A program with faults: (name, layers) each."""
    return program(QUESTION, mode, table=table_of([(FAULTS[name], layers) for name, layers in planted]))


# Faults ------------------------------------------------------------------------------------------------


def test_an_honest_program_has_none():
    assert verdict_on(program(QUESTION)) == (None, [], None)


# One of each kind; all of the catalogue, in four precisions, are for `make faults`
KINDS = ("erf-gelu", "mask-late", "mask-late-forward", "mask-early", "mask-early-scores", "mask-early-itself",
         "mask-early-zero", "mask-early-nan", "mask-early-backward", "no-scale", "order-kqv", "order-by-head",
         "transposed-qkvw",
         "transposed-attprojw", "eps-outside", "variance-c-1", "no-residual-mlp", "sum", "mean-over-all",
         "targets-not-shifted", "padding-in-softmax", "tied-head-only", "repeated-tokens", "accumulated-2",
         "accumulated-2-parameters", "last-of-2", "no-mean-backward")  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
def test_each_kind_of_fault_in_the_catalogue_is_named(name):
    first, causes, unexplained = verdict_on(faulty((name, None)))
    assert causes == [(name, None)]
    assert unexplained is None
    assert first.split("[")[0] in FAULTS[name].shows_in


BY_TORCH = {"erf": "erf-gelu", "mask": "mask-late", "mask early": "mask-early",
            "mask early, -inf": "mask-early-nan", "mask early, itself": "mask-early-itself",
            "mask early, scores": "mask-early-scores", "scale": "no-scale", "order": "order-kqv",
            "transposed": "transposed-attprojw", "eps": "eps-outside", "correction": "variance-c-1",
            "residual": "no-residual-attention", "sum": "sum", "untied": "tied-encoder-only"}  # fmt: skip


@pytest.mark.parametrize(("fault", "mode"), [
    *((fault, "fp32") for fault in BY_TORCH),
    *((fault, mode) for fault in ("erf", "eps") for mode in ("bf16", "fp16")),
])  # fmt: skip
def test_a_fault_in_a_torch_program_is_named(fault, mode):
    torch = pytest.importorskip("torch", reason="torch is not installed; NumPy has the faults above")
    from tests.support import torch_llmc

    dtype = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[mode]
    arrays = {label(key): x for key, x in torch_llmc.run(QUESTION, dtype, fault).items()}
    _, causes, unexplained = verdict_on(arrays, mode)
    assert (causes, unexplained) == ([(BY_TORCH[fault], None)], None)


def test_a_fault_in_one_layer_is_named_with_the_layer():
    for layer in range(2):
        assert verdict_on(faulty(("erf-gelu", (layer,))))[:2] == (
            f"fch_gelu[{layer}]",
            [("erf-gelu", (layer,))],
        )


def test_a_fault_in_one_layer_is_named_by_the_loss_alone():
    for layer in range(2):
        loss = {"loss": faulty(("erf-gelu", (layer,)))["loss"]}
        assert verdict_on(loss)[:2] == ("loss", [("erf-gelu", (layer,))])


@pytest.mark.parametrize("names", [
    ("erf-gelu", "tied-head-only"), ("eps-outside", "mask-late"), ("no-scale", "sum"),
    ("variance-c-1", "no-residual-mlp"), ("transposed-fcw", "repeated-tokens"),
    ("transposed-attprojw", "transposed-fcprojw"),
])  # fmt: skip
def test_two_faults_at_once_are_both_named(names):
    _, causes, unexplained = verdict_on(faulty(*((name, None) for name in names)))
    assert {name for name, _ in causes} == set(names)
    assert unexplained is None


def test_two_faults_in_one_tensor_are_found_as_a_pair():
    first, causes, unexplained = verdict_on(faulty(("no-scale", None), ("order-kqv", None)))
    assert (first, unexplained) == ("preatt[0]", None)
    assert {name for name, _ in causes} == {"no-scale", "order-kqv"}


def test_a_fault_that_shows_late_because_tensors_are_missing_is_named_all_the_same():
    arrays = {name: x for name, x in faulty(("erf-gelu", None)).items() if "gelu" not in name}
    assert verdict_on(arrays)[:2] == ("fcproj[0]", [("erf-gelu", None)])
    gradients = {name: x for name, x in faulty(("tied-head-only", None)).items() if name == "dwte"}
    assert verdict_on(gradients)[:2] == ("dwte", [("tied-head-only", None)])


def test_what_no_fault_explains_is_not_explained():
    strange = Fault("strange", "", ("fch_gelu",), {"gelu_forward": lambda x: np.maximum(x, 0)})
    arrays = program(QUESTION, table=table_of([(strange, None)]))
    assert verdict_on(arrays) == ("fch_gelu[0]", [], ("fch_gelu", 0))


def test_a_known_fault_before_an_unknown_one_is_named_and_the_rest_is_not():
    strange = Fault(
        "strange", "", ("dwpe",), {"encoder_backward": lambda *x: [1.1 * g for g in ops.encoder_backward(*x)]}
    )
    arrays = program(QUESTION, table=table_of([(FAULTS["erf-gelu"], None), (strange, None)]))
    assert verdict_on(arrays) == ("fch_gelu[0]", [("erf-gelu", None)], ("dwpe", None))


@pytest.mark.parametrize("name", ["ln1[1]", "dqkv[0]", "dwte"])
def test_one_wrong_number_is_found_where_it_is(name):
    arrays = program(QUESTION)
    arrays[name] = arrays[name].copy()
    arrays[name].ravel()[5] += 1e-3
    rows, _, _ = examine(QUESTION, arrays, "fp32", RUNS, causes=False)
    failing = first_failing(rows)
    assert label(failing.key) == name
    assert failing.where == np.unravel_index(5, failing.shape)


# Faults smaller than a rounding ------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["tf32", "fp16", "bf16"])
@pytest.mark.parametrize("name", ["erf-gelu", "erf-gelu-backward", "eps-outside", "no-eps", "eps-1e-6"])
def test_a_fault_below_the_budget_is_seen_by_its_pattern(name, mode):
    many = Sizes(L=2, H=2, D=8, V=20, N=16, B=4, T=16)
    question = inputs(many, 1)
    arrays = program(question, mode, table=table_of([(FAULTS[name], None)]))
    rows, _, verdict = examine(question, arrays, mode, RUNS)
    assert [fault.name for fault, _ in verdict.planted] == [name]
    if first_failing(rows) is None:
        assert abs(verdict.projection[0] - 1) < 0.5
        assert verdict.projection[1] < verdict.projection[0]


@pytest.mark.parametrize("mode", ["fp32", "tf32", "fp16", "bf16"])
def test_no_honest_program_is_accused(mode):
    for seed in range(10):
        question = inputs(seed=seed)
        found = Arranged(program(question, mode, seed), run(question) | question.params, SMALL, [0, 1]).found
        assert first_seen(looks(question, found, mode)) is None


@pytest.mark.parametrize("mode", ["fp16", "bf16"])
def test_a_program_that_rounds_what_it_stores_and_goes_on_with_more_digits_is_not_accused(mode):
    """As fused kernels do: computed in float32 throughout, tensors rounded on their way to memory alone."""
    for seed in range(10):
        question = inputs(seed=seed)
        arrays = {name: nearest(np.float32(x), mode) for name, x in program(question, "fp32", seed).items()}
        found = Arranged(arrays, run(question) | question.params, SMALL, [0, 1]).found
        assert first_seen(looks(question, found, mode)) is None


def test_a_program_with_a_faint_fault_is_no_equal_one(tmp_path, capsys):
    words = "n_layer=2,n_head=2,n_embd=16,n_ctx=16,n_vocab=20,seed=3"
    assert Dump(out=str(tmp_path / "ref"), random=words, batch=4, time=16).run() == 0
    arrays = program(read_inputs(tmp_path / "ref"), "fp16", table=table_of([(FAULTS["erf-gelu"], None)]))
    mine = saved(tmp_path, arrays, "npz")
    for options in ({}, {"json": True}):
        assert Diff(str(tmp_path / "ref"), str(mine), dtype="fp16", runs=RUNS, **options).run() == 1
        assert "GELU is x * Phi(x)" in capsys.readouterr().out


MANY = inputs(Sizes(L=3, H=2, D=8, V=20, N=16, B=4, T=16), 1)


@pytest.mark.parametrize("mode", ["tf32", "fp16", "bf16"])
@pytest.mark.parametrize(("name", "layers"), [
    ("erf-gelu", (0,)), ("erf-gelu", (1,)), ("erf-gelu", (0, 2)), ("erf-gelu-backward", (2,)),
    ("eps-outside", (1,)),
])  # fmt: skip
def test_a_faint_fault_in_some_layers_is_named_with_them(name, layers, mode):
    arrays = program(MANY, mode, table=table_of([(FAULTS[name], layers)]))
    rows, _, verdict = examine(MANY, arrays, mode, RUNS)
    assert [(fault.name, where) for fault, where in verdict.planted] == [(name, layers)]
    assert (verdict.projection is not None) == (first_failing(rows) is None)


@pytest.mark.parametrize(("x", "bound", "shows", "would_show"), [
    (1.0, 0.1, True, True), (0.6, 0.1, True, True), (1.4, 0.1, True, True), (1.2, 1.3, False, False),
    (0.4, 0.1, False, True),  # nearer to none of it
    (3.0, 0.1, False, True),  # another mistake, in the same direction
    (-1.0, 0.1, False, True), (0.0, 0.6, False, False),
])  # fmt: skip
def test_a_projection_shows_what_is_near_to_1_and_beyond_its_bound(x, bound, shows, would_show):
    assert (Projection(x, bound).shows(), Projection(x, bound).would_show()) == (shows, would_show)


def test_three_times_a_fault_is_another_one():
    def gelu(x):
        right = ops.gelu_forward(x)
        return right + 3 * (FAULTS["erf-gelu"].changes["gelu_forward"](x) - right)

    arrays = program(MANY, "bf16", table=table_of([(Fault("strange", "", (), {"gelu_forward": gelu}), None)]))
    assert examine(MANY, arrays, "bf16", RUNS)[2].planted == []


def test_a_projection_is_a_regression_with_whites_standard_error():
    rng, ones = np.random.default_rng(0), np.zeros(400)
    u = rng.normal(size=400)
    error = 0.7 * u + rng.normal(size=400) * (1 + np.abs(u))
    (slope,), *_ = np.linalg.lstsq(u[:, None], error, rcond=None)
    bread = 1 / (u @ u)
    meat = sum((e - slope * v) ** 2 * v**2 for e, v in zip(error, u, strict=True))
    deviation = (bread * meat * bread) ** 0.5
    x, bound = project([Sample(error, u, ones, ())], 3)
    assert x == pytest.approx(slope, rel=1e-12)
    assert bound == pytest.approx(2 * np.sqrt(2 * np.log(2 * 3 / 1e-6)) * deviation, rel=1e-12)
    _, wider = project([Sample(error, u, ones + 0.5, ())], 3)
    assert wider - bound == pytest.approx(0.5 * np.abs(u).sum() / (u @ u), rel=1e-9)


def test_what_rounding_hides_is_said():
    """A file of bf16 and 12 numbers a tensor: another epsilon is below its rounding, and nothing shows it."""
    arrays = {name: x.astype(ml_dtypes.bfloat16) for name, x in program(QUESTION, "bf16").items()}
    _, _, verdict = examine(QUESTION, arrays, "bf16", RUNS)
    assert verdict.planted == []
    unseen = {fault.name: why for fault, why in verdict.unseen}
    names = "ln1_rstd[0], ln2_rstd[0], ln1_rstd[1], ln2_rstd[1], lnf_rstd"
    assert unseen["no-eps"] == f"rounding hides it in {names}: give them in float32"
    wide = {name: x if "_mean" in name or "_rstd" in name else x.astype(ml_dtypes.bfloat16)
            for name, x in program(MANY, "bf16").items()}  # fmt: skip
    assert "no-eps" not in {fault.name for fault, _ in examine(MANY, wide, "bf16", RUNS)[2].unseen}


def lacking(names, mode):
    """The faults that are not visible in some tensors of an honest program."""
    arrays = {name: x for name, x in program(QUESTION, mode).items() if name.split("[")[0] in names}
    return {fault.name for fault, why in examine(QUESTION, arrays, mode, RUNS)[2].unseen if "lacks" in why}


def test_what_cannot_be_seen_for_lack_of_tensors_is_said():
    assert lacking(("logits", "loss"), "bf16") == {"erf-gelu", "eps-outside", "no-eps", "eps-1e-6"}
    assert lacking(("dwte", "dfcw"), "bf16") == {"erf-gelu", "erf-gelu-backward", "eps-outside", "no-eps",
                                                "eps-1e-6"}  # fmt: skip
    assert lacking(("fch_gelu", "dfch_gelu", "logits", "dwte"), "fp32") == set()  # their budgets see them all
    assert lacking(("encoded",), "bf16") == set()  # where no fault shows


@pytest.mark.parametrize("mode", ["fp32", "fp16", "bf16"])
def test_a_fault_that_is_not_said_to_be_hidden_is_seen(mode):
    """In the first layer alone, and in the last; where it would be beyond a budget, without a search."""
    _, _, verdict = examine(MANY, program(MANY, mode), mode, RUNS)
    hidden = {fault.name: why for fault, why in verdict.unseen}
    names = ("erf-gelu", "erf-gelu-backward", "eps-outside", "no-eps", "eps-1e-6")
    assert len(names) - len(hidden) >= (5 if mode == "fp32" else 2), hidden
    for name in set(names) - set(hidden):
        for layer in (0, MANY.sizes.L - 1):
            arrays = program(MANY, mode, table=table_of([(FAULTS[name], (layer,))]))
            rows, _, _ = examine(MANY, arrays, mode, RUNS, causes=False)
            if first_failing(rows) is None:
                assert examine(MANY, arrays, mode, RUNS)[2].planted, (name, layer)


# Budgets that allow anything ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def loud(tmp_path_factory):
    """A dump of a model that overflows in fp16, and its tensors as a program in float32 has them."""
    folder = tmp_path_factory.mktemp("loud")
    minigpt.save_weights(folder / "w", *loud_model())
    np.save(folder / "x.npy", np.arange(17).reshape(1, 17) % 20)
    out = folder / "ref"
    assert Dump(out=str(out), weights=str(folder / "w"), tokens=str(folder / "x.npy")).run() == 0
    return out


def loud_model():
    config = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=16, n_vocab=20)
    params = {name: 1 * param for name, param in minigpt.init_params(config, dtype="float64").items()}
    params["h.0.mlp.c_fc.bias"] += 70_000  # fp16 ends at 65,504
    return config, params


def test_what_overflows_is_unchecked_and_not_equal(loud, capsys):
    assert diff(loud, loud, dtype="fp32") == 0
    assert diff(loud, loud, dtype="fp16") == 3
    out = capsys.readouterr().out
    assert re.search(r"fch\[0\] .* unchecked\n", out)
    assert re.search(r"unchecked: \d+ of 107 tensors, the first is fch\[0\]", out)
    assert diff(loud, loud, dtype="fp16", json=True) == 3
    report = json.loads(capsys.readouterr().out)
    assert (report["equal"], report["outcome"], report["unchecked"][0]) == (False, "unchecked", "fch[0]")


def test_an_overflow_of_mine_is_a_difference_that_is_explained(loud, tmp_path, capsys):
    with np.errstate(over="ignore"):
        arrays = {name: x.astype(np.float16) for name, x in arrays_of(loud).items()}
    assert diff(loud, saved(tmp_path, arrays, "npz"), dtype="fp16") == 1
    out = capsys.readouterr().out
    assert "not a finite number: inf at b=0 t=0 f=0" in out
    assert "an honest program in fp16 overflows too" in out
    assert "no known cause explains it" in out


def test_a_fault_whose_budget_is_infinite_explains_nothing(monkeypatch):
    """Planting it would make anything pass that is looked at."""
    arrays = faulty(("erf-gelu", None))
    assert verdict_on(arrays)[1] == [("erf-gelu", None)]
    right = causes_room.walk_with
    monkeypatch.setattr(causes_room, "walk_with", lambda *asked: [
        row._replace(verdict="unchecked") for row in right(*asked)])  # fmt: skip
    assert verdict_on(arrays)[1:] == ([], ("fch_gelu", 0))


def test_a_difference_before_what_is_unchecked_is_a_difference(loud, tmp_path):
    arrays = arrays_of(loud)
    arrays["ln1"] = arrays["ln1"] * 1.5
    assert diff(loud, saved(tmp_path, arrays, "npz"), dtype="fp16") == 1


def test_a_tolerance_that_allows_zeros_is_no_check(ref, tmp_path, capsys):
    nothing = saved(tmp_path, {name: 0 * x for name, x in arrays_of(ref).items()}, "npz")
    assert diff(ref, nothing, tolerance=0.9) == 1
    assert diff(ref, nothing, tolerance=1.0) == 3
    assert diff(ref, ref, tolerance=1e300) == 3


# Other people's layouts --------------------------------------------------------------------------------

TENSORS = run(QUESTION)
WHOLE = {name: stacked(TENSORS, name, SMALL) for name in dict.fromkeys(name for name, _ in TENSORS)}
L, B, T, H, D, C, V = SMALL.L, SMALL.B, SMALL.T, SMALL.H, SMALL.D, SMALL.C, SMALL.V


def only(name, array):
    return {name: np.ascontiguousarray(array)}


def hub_gradients(prefix="", suffix="", turned=True):
    """Parameter gradients under the hub's names, one a layer, (in, out) unless not turned."""
    words = {"ln1": "ln_1", "qkv": "attn.c_attn", "attproj": "attn.c_proj", "ln2": "ln_2", "fc": "mlp.c_fc",
             "fcproj": "mlp.c_proj"}  # fmt: skip
    arrays = {"wte.weight": WHOLE["dwte"][:V], "wpe.weight": WHOLE["dwpe"], "ln_f.weight": WHOLE["dlnfw"],
              "ln_f.bias": WHOLE["dlnfb"]}  # fmt: skip
    for layer in range(L):
        for short, long in words.items():
            weight = WHOLE[f"d{short}w"][layer]
            arrays[f"h.{layer}.{long}.weight"] = weight.T if turned and weight.ndim == 2 else weight
            arrays[f"h.{layer}.{long}.bias"] = WHOLE[f"d{short}b"][layer]
    return {f"{prefix}{name}{suffix}": array for name, array in arrays.items()}


def one_a_layer(pattern, names=("ln1", "qkv", "att", "dfch", "dqkvw")):
    return {pattern.format(name, layer): WHOLE[name][layer] for name in names for layer in range(L)}


qkv, atty, att = WHOLE["qkv"], WHOLE["atty"], WHOLE["att"]
by_head = atty.reshape(L, B, T, H, D).transpose(0, 1, 3, 2, 4)  # (L, B, H, T, D)
q, k, v = (part.reshape(L, B, T, H, D).transpose(0, 1, 3, 2, 4) for part in np.split(qkv, 3, axis=-1))
above = np.triu(np.ones((T, T), bool), 1)

LAYOUTS = {
    "llm.c's own": WHOLE,
    "ln1[0]": one_a_layer("{}[{}]"),
    "ln1_0": one_a_layer("{}_{}"),
    "h.0.ln1": one_a_layer("h.{1}.{0}"),
    "layers.0.ln1": one_a_layer("model.layers.{1}.{0}"),
    "blocks/0/ln1": one_a_layer("blocks/{1}/{0}"),
    "acts.": {f"acts.{name}": WHOLE[name] for name in ("ln1", "fch", "logits")},
    "grads_acts.": {f"grads_acts.{name}": WHOLE[f"d{name}"] for name in ("ln1", "fch", "logits")},
    "hub": hub_gradients(),
    "hub, transformer.": hub_gradients("transformer."),
    "hub, grad.": hub_gradients("grad."),
    "hub, .grad": hub_gradients(suffix=".grad"),
    "hub, (out, in)": hub_gradients(turned=False),
    "unpadded": only("logits", WHOLE["logits"][..., :V]),
    "padded otherwise": only("logits", np.pad(WHOLE["logits"][..., :V], [(0, 0), (0, 0), (0, 44)])),
    "padded with rubbish": only("logits", np.pad(WHOLE["logits"][..., :V], [(0, 0), (0, 0), (0, 44)],
                                                 constant_values=-np.inf)),
    "dwte unpadded": only("dwte", WHOLE["dwte"][:V]),
    "dwte turned": only("dwte", WHOLE["dwte"].T),
    "rows": only("ln1", WHOLE["ln1"].reshape(L, B * T, C)),
    "time first": only("ln1", WHOLE["ln1"].transpose(0, 2, 1, 3)),
    "statistics with an axis of 1": only("ln1_mean", WHOLE["ln1_mean"][..., None]),
    "statistics as rows": only("lnf_rstd", WHOLE["lnf_rstd"].ravel()),
    "atty by head": only("atty", by_head),
    "atty (B, T, H, D)": only("atty", atty.reshape(L, B, T, H, D)),
    "atty (B*H, T, D)": only("atty", by_head.reshape(L, B * H, T, D)),
    "att (B*H, T, T)": only("att", att.reshape(L, B * H, T, T)),
    "qkv (B, T, 3, C)": only("qkv", qkv.reshape(L, B, T, 3, C)),
    "qkv (3, B, H, T, D)": only("qkv", np.stack([q, k, v], axis=1)),
    "qkv (B, T, 3, H, D)": only("qkv", qkv.reshape(L, B, T, 3, H, D)),
    "q, k, v by head": {"q": q, "k": k, "v": v},
    "q, k, v": {name: part for name, part in zip("qkv", np.split(qkv, 3, axis=-1), strict=True)},
    "q, one a layer": {f"h.{i}.{n}": x[i] for n, x in {"q": q, "k": k, "v": v}.items() for i in range(L)},
    "dq, dk, dv": {f"d{n}": x for n, x in zip("qkv", np.split(WHOLE["dqkv"], 3, axis=-1), strict=True)},
    "v alone": {"v": v},
    "-inf where nothing is seen": only("preatt", np.where(above, -np.inf, WHOLE["preatt"])),
    "-1e10 where nothing is seen": only("preatt", np.where(above, -1e10, WHOLE["preatt"])),
    "zeros that llm.c leaves": {name: 0 * WHOLE[name] for name in ("dprobs", "dln1_mean", "dlnf_rstd")} | {
        "dlogits": WHOLE["dlogits"]},
    "dattprojw turned, by its neighbours": {"dattprojw": WHOLE["dattprojw"].swapaxes(1, 2),
                                            "dfcw": WHOLE["dfcw"].swapaxes(1, 2)},
    "the weights too": {"wte": QUESTION.params["wte", None], "ln1": WHOLE["ln1"]},
    "the hub's weights too": {"wte.weight": QUESTION.params["wte", None], "ln1": WHOLE["ln1"]},
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_another_layout_is_no_fault(layout):
    arrays = {name: array.astype(np.float32) for name, array in LAYOUTS[layout].items()}
    rows, _, _ = examine(QUESTION, arrays, "fp32", 2)
    assert first_failing(rows) is None
    # every layer of every array was compared
    names = {recognise(name).name for name in arrays}
    assert len(rows) >= len(names) - 2 * ("q" in names or "dq" in names)


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if not name.startswith(("zeros", "-"))])
def test_a_wrong_number_is_found_in_every_layout(layout):
    arrays = {name: array.astype(np.float32) for name, array in LAYOUTS[layout].items()}
    name = next(iter(arrays))
    arrays[name] = arrays[name].copy()
    arrays[name].ravel()[0] += 0.1
    rows, _, _ = examine(QUESTION, arrays, "fp32", 2, causes=False)
    assert first_failing(rows) is not None


def test_q_and_k_exchanged_are_a_fault_and_no_layout():
    rows, _, _ = examine(QUESTION, {"q": k, "k": q, "v": v}, "fp32", RUNS, causes=False)
    assert label(first_failing(rows).key) == "qkv[0]"


def test_other_weights_than_the_references_are_found_first():
    arrays = {
        "fcw": np.stack([QUESTION.params["fcw", i] for i in range(L)]) * 1.01,
        "fch": 1.01 * WHOLE["fch"],
    }
    rows, _, _ = examine(QUESTION, arrays, "fp32", RUNS)
    assert label(first_failing(rows).key) == "fcw[0]"


@given(st.text(max_size=20))
def test_any_name_is_known_or_a_stranger(name):
    found = recognise(name)
    assert found is None or found.name in AXES or found.name.removeprefix("d") in "qkv"


@settings(max_examples=30)
@given(st.lists(st.integers(1, 12), max_size=5), st.sampled_from(sorted(WHOLE)))
def test_any_shape_is_read_or_refused_in_a_sentence(shape, name):
    with contextlib.suppress(BadInput):
        rows, _, _ = examine(QUESTION, {name: np.zeros(shape)}, "fp32", 2, causes=False)
        assert {row.key[0] for row in rows} == {name}


# Files -------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def ref(tmp_path_factory):
    """A dump, and its tensors by name."""
    folder = tmp_path_factory.mktemp("ref") / "dump"
    words = "n_layer=2,n_head=2,n_embd=8,n_ctx=8,n_vocab=20,seed=3"
    assert Dump(out=str(folder), random=words, format="safetensors,npz,debug-state").run() == 0
    return folder


def arrays_of(ref):
    return dict(np.load(ref / "tensors.npz"))


def diff(ref, mine, **options):
    return Diff(str(ref), str(mine), runs=RUNS, **options).run()


def saved(folder, arrays, kind):
    """Arrays as a file of some kind, or as several."""
    path = folder / f"mine.{kind}"
    if kind == "npz":
        np.savez(path, **arrays)
    elif kind == "safetensors":
        save_file(arrays, path)
    elif kind == "bin":
        start, words = 0, {}
        for name, array in arrays.items():
            words[name] = {"dtype": array.dtype.name, "shape": array.shape, "offset": start}
            start += array.nbytes
        path.write_bytes(b"".join(array.tobytes() for array in arrays.values()))
        Path(f"{path}.json").write_text(json.dumps(words))
    elif kind == "npy":
        np.save(path, *arrays.values())
    else:
        path.mkdir()
        for name, array in arrays.items():
            np.save(path / f"{name}.npy", array)
    return path


@pytest.mark.parametrize(("kind", "dtype"), [
    ("npz", "float16"), ("safetensors", "bfloat16"), ("bin", "float32"), ("folder", "float64"),
    ("bin", "bfloat16"), ("safetensors", "float16"), ("npz", "bfloat16"), ("folder", "float16"),
])  # fmt: skip
def test_every_kind_of_file_in_every_type_is_equal_and_a_fault_in_it_is_not(
    ref, tmp_path, capsys, kind, dtype
):
    """The file's own rounding counts: fp16 files of a program in float32 are no fault."""
    number = ml_dtypes.bfloat16 if dtype == "bfloat16" else dtype
    arrays = {
        name: x.astype(number) for name, x in arrays_of(ref).items() if name in ("ln1", "fch", "logits")
    }
    assert diff(ref, saved(tmp_path, arrays, kind)) == 0
    assert "equal: all 5 tensors" in capsys.readouterr().out
    (tmp_path / "wrong").mkdir()
    arrays["fch"] = (arrays["fch"].astype(np.float64) * 1.05).astype(number)
    assert diff(ref, saved(tmp_path / "wrong", arrays, kind)) == 1
    assert "first difference: fch[0]" in capsys.readouterr().out


def test_a_single_npy_is_called_by_its_name(ref, tmp_path, capsys):
    np.save(tmp_path / "qkv.npy", arrays_of(ref)["qkv"])
    assert diff(ref, tmp_path / "qkv.npy") == 0
    assert "equal: all 2 tensors" in capsys.readouterr().out


def test_a_debug_state_and_a_dump_of_some_layers_are_read(ref, tmp_path, capsys):
    assert diff(ref, ref / "debug_state.bin") == 0
    assert "equal: all 30 tensors" in capsys.readouterr().out
    words = "n_layer=2,n_head=2,n_embd=8,n_ctx=8,n_vocab=20,seed=3"
    assert Dump(out=str(tmp_path / "part"), random=words, layers="1", dtype="float32").run() == 0
    capsys.readouterr()
    assert diff(ref, tmp_path / "part") == 0
    assert "ln1[1]" in capsys.readouterr().out


def test_the_report_says_where_how_much_and_why(ref, tmp_path, capsys):
    arrays = arrays_of(ref)
    arrays["dwte"] = arrays["dwte"].copy()
    arrays["dwte"][4, 2] += 1
    assert diff(ref, saved(tmp_path, arrays, "npz")) == 1
    out = capsys.readouterr().out
    assert "first difference: dwte" in out
    assert "largest error at v=4 c=2" in out
    assert "no known cause explains it" in out


def test_json_says_the_same(ref, tmp_path, capsys):
    arrays = arrays_of(ref) | {"strange": np.ones(3)}
    arrays["dlosses"], arrays["loss"] = arrays["dlosses"] * 16, arrays["loss"] * 16
    arrays["ln1"] = np.where(np.arange(8) == 3, np.nan, arrays["ln1"])
    assert diff(ref, saved(tmp_path, arrays, "npz"), json=True) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["equal"] is False
    assert report["first_difference"] == "ln1[0]"
    row = next(row for row in report["tensors"] if (row["name"], row["layer"]) == ("ln1", 0))
    assert (row["largest"], row["where"], row["values"][0]) == ("inf", [0, 0, 3], "nan")
    assert any("strange" in note for note in report["notes"])


def test_json_names_the_cause(ref, tmp_path, capsys):
    arrays = {name: x for name, x in arrays_of(ref).items() if name in ("loss", "logits")}
    arrays["loss"] = arrays["loss"] * 16
    assert diff(ref, saved(tmp_path, arrays, "npz"), json=True) == 1
    assert [cause["name"] for cause in json.loads(capsys.readouterr().out)["causes"]] == ["sum"]


def test_files_without_inputs_need_a_tolerance(ref, tmp_path, capsys):
    one = saved(tmp_path, {"anything": np.ones(4)}, "npz")
    np.savez(tmp_path / "other.npz", anything=np.ones(4) * 1.001)
    assert diff(one, tmp_path / "other.npz") == 2
    assert "--tolerance" in capsys.readouterr().err
    assert diff(one, tmp_path / "other.npz", tolerance=1e-2) == 0
    assert diff(one, tmp_path / "other.npz", tolerance=1e-4) == 1


def test_the_command_line(ref, capsys):
    assert main(["diff", str(ref), str(ref / "tensors.npz"), "--dtype", "bf16", "--runs", "4"]) == 0
    assert "what bf16 costs" in capsys.readouterr().out


# Bad input ---------------------------------------------------------------------------------------------


def raw(folder, content=b"\0" * 64, words=None):
    path = folder / "raw.bin"
    path.write_bytes(content)
    if words is not None:
        (folder / "raw.bin.json").write_text(words)
    return path


def text(folder, name):
    (folder / name).write_text("<html>")
    return folder / name


def pickled(folder):
    np.save(folder / "ln1.npy", np.array([{}], dtype=object), allow_pickle=True)
    return folder / "ln1.npy"


CASES = {
    "nothing there": (lambda f: f / "gone.npz", "no such file or folder"),
    "ending": (lambda f: text(f, "mine.pt"), "found .pt"),
    "no npz": (lambda f: text(f, "mine.npz"), "not a whole .npz"),
    "no npy": (lambda f: text(f, "ln1.npy"), "not a whole .npy"),
    "no safetensors": (lambda f: text(f, "mine.safetensors"), "not a whole safetensors"),
    "pickle": (pickled, "not a whole .npy"),
    "empty folder": (lambda f: f, "holds none of"),
    "no map": (raw, "need a shape map"),
    "map is no JSON": (lambda f: raw(f, words="{"), "not readable as JSON"),
    "map is a list": (lambda f: raw(f, words="[1]"), "expected {"),
    "map without shape": (lambda f: raw(f, words='{"ln1": {}}'), "shape must be a list"),
    "map of a type": (lambda f: raw(f, words='{"ln1": {"dtype": "int3", "shape": [2]}}'), "found 'int3'"),
    "file too short": (lambda f: raw(f, words='{"ln1": {"shape": [99]}}'), "ends at 396, the file at 64"),
    "debug state": (lambda f: raw(f, (20240327).to_bytes(4, "little") + b"\0" * 2000), "not a whole debug"),
    "no known name": (lambda f: saved(f, {"foo": np.ones(2)}, "npz"), "no name is known, found foo"),
    "wrong shape": (lambda f: saved(f, {"ln1": np.ones((2, 5))}, "npz"), "ln1: shape (2, 5) is none of"),
    "no such layer": (lambda f: saved(f, {"h.7.ln1": np.ones((2, 8, 8))}, "npz"), "from 0 to 1: found 7"),
    "no layers there": (lambda f: saved(f, {"h.0.logits": np.ones((2, 8, 20))}, "npz"), "outside the layers"),
    "twice": (lambda f: saved(f, dict.fromkeys(["acts.lnf", "lnf"], np.ones((2, 8, 8))), "npz"), "give one"),
    "no number": (lambda f: saved(f, {f"h.{5000 * '9'}.ln1": np.ones((2, 8, 8))}, "npz"), "no name is known"),
    "empty": (lambda f: saved(f, {"ln1": np.ones((0, 3))}, "npz"), "ln1: shape (0, 3) is none of"),
    "npz called npy": (lambda f: saved(f, {"ln1": np.ones(2)}, "npz").rename(f / "ln1.npy"), "whole .npy"),
    "npy called npz": (lambda f: saved(f, {"ln1": np.ones(2)}, "npy").rename(f / "ln1.npz"), "whole .npz"),
    "another file's map": (lambda f: raw(f, words='{"ln1": {"shape": [2], "file": 3}}'), "found none"),
    "integers": (lambda f: saved(f, {"ln1": np.ones(2, int)}, "npz"), "found int64"),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_bad_input_is_one_line_and_exit_code_2(ref, tmp_path, capsys, case):
    make, says = CASES[case]
    assert diff(ref, make(tmp_path)) == 2
    error = capsys.readouterr().err
    assert error.startswith("reference diff: ")
    assert error.count("\n") == 1
    assert says in error


def test_a_changed_dump_is_refused(ref, tmp_path, capsys):
    folder = tmp_path / "dump"
    folder.mkdir()
    for path in ref.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    content = bytearray((folder / "inputs.safetensors").read_bytes())
    content[-1] ^= 1
    (folder / "inputs.safetensors").write_bytes(content)
    assert diff(folder, ref) == 2
    assert "is not the file that manifest.json describes" in capsys.readouterr().err


SPOILT = {
    "no table": ({"wte": None}, "not the inputs of a dump"),
    "heads": ({"sizes": np.array([3, 20])}, "no model has sizes H=3, V=20"),
    "no heads": ({"sizes": np.array([0, 20])}, "no model has sizes H=0"),
    "vocabulary": ({"sizes": np.array([2, 5])}, "tokens: ids must be from 0 to 4"),
    "large vocabulary": ({"sizes": np.array([2, 10**9])}, "wte: expected (1000000000, 8): found (128, 8)"),
    "tokens": ({"tokens": np.full((2, 8), -99)}, "tokens: ids must be from 0 to 19: found -99"),
    "targets": ({"targets": np.full((2, 8), -1)}, "one at least not -1"),
    "one row": ({"targets": np.zeros(8, int)}, "targets: expected (2, 8)"),
    "long rows": ({"tokens": np.zeros((2, 9), int)}, "T=9"),
    "a matrix": ({"qkvw": np.zeros((2, 24, 7))}, "qkvw: expected (2, 24, 8): found (2, 24, 7)"),
    "not finite": ({"fcb": np.full((2, 32), np.nan)}, "REF: fcb[0] is not finite"),
}


@pytest.mark.parametrize("case", SPOILT)
def test_inputs_that_fit_no_model_are_one_line(ref, tmp_path, capsys, case):
    changes, says = SPOILT[case]
    arrays = load_file(ref / "inputs.safetensors") | changes
    path, manifest = tmp_path / "inputs.safetensors", json.loads((ref / "manifest.json").read_text())
    save_file({name: array for name, array in arrays.items() if array is not None}, path)
    manifest["files"][path.name] = fingerprint(path)
    (tmp_path / "manifest.json").write_text(json.dumps(manifest))
    assert diff(tmp_path, ref) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert says in error


@pytest.mark.parametrize("layers", ["x", [2], [0, 0], [1, 0], [None], {"0": 1}, [0.5]])
def test_a_manifest_of_other_layers_is_one_line(ref, tmp_path, capsys, layers):
    (tmp_path / "manifest.json").write_text(json.dumps({"files": {}, "layers": layers}))
    np.save(tmp_path / "ln1.npy", np.ones((2, 2, 8, 8)))
    assert diff(ref, tmp_path) == 2
    assert "layers must be of 0 to 1" in capsys.readouterr().err


def test_damaged_files_are_one_line_or_read(ref, tmp_path, capsys):
    """Bytes at random places, most of them in the header, are other bytes."""
    arrays = {name: x for name, x in arrays_of(ref).items() if name in ("ln1", "loss")}
    files = [saved(tmp_path, arrays, kind) for kind in ("npz", "safetensors")]
    files.append(saved(tmp_path, {"ln1": arrays["ln1"]}, "npy").rename(tmp_path / "ln1.npy"))
    rng = np.random.default_rng(0)
    for path in files:
        content = path.read_bytes()
        for _ in range(60):
            spoilt = bytearray(content)
            for _ in range(rng.integers(1, 4)):
                spoilt[rng.integers(200 if rng.random() < 0.7 else len(content))] = rng.integers(256)
            path.write_bytes(spoilt)
            code = diff(ref, path, causes=False)
            assert (code, capsys.readouterr().err.count("\n")) in ((0, 0), (1, 0), (2, 1))


def test_paths_that_are_not_there_are_one_line(ref, tmp_path, capsys):
    for options, says in (
        ((tmp_path / "gone", ref), "gone: no such file or folder"),
        ((ref, ref, "gone"), "--shapes: gone: no such file"),
        ((ref, ""), "mine: expected a path"),
    ):
        assert Diff(*map(str, options)).run() == 2
        assert says in capsys.readouterr().err


def test_one_map_may_describe_several_files(ref, tmp_path, capsys):
    whole, words = arrays_of(ref), {}
    for name in ("ln1", "fch"):
        (tmp_path / f"{name}.bin").write_bytes(whole[name].astype("<f4").tobytes())
        words[name] = {"shape": whole[name].shape, "file": f"{name}.bin"}
    (tmp_path / "map.json").write_text(json.dumps(words))
    assert diff(ref, tmp_path, shapes=str(tmp_path / "map.json")) == 0
    assert "equal: all 4 tensors" in capsys.readouterr().out


@pytest.mark.parametrize("ending", ["npz", "safetensors"])
def test_a_tensor_of_whole_numbers_is_not_passed_over(tmp_path, ending):
    arrays = {"ln1": np.ones((2, 2), np.float32), "qkv": np.zeros((2, 6), np.int32)}
    path = tmp_path / f"mine.{ending}"
    np.savez(path, **arrays) if ending == "npz" else save_file(arrays, path)
    with pytest.raises(BadInput, match=r"qkv: expected numbers of a float type: found (int32|I32)"):
        read_tensors(path)
    arrays["step"] = arrays.pop("qkv")  # a stranger's name
    np.savez(path, **arrays) if ending == "npz" else save_file(arrays, path)
    assert [*read_tensors(path)] == ["ln1"]
