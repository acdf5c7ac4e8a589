"""minigpt replay: the tensor it names is the one in which the fault was planted, at that place."""

import io
import json
from contextlib import redirect_stdout

import numpy as np
import pytest

from minigpt import CheckpointError, Trainer, kernels, rejected
from minigpt.cli import main
from minigpt.model import backward, forward
from minigpt.seal import SEAL, sealed
from minigpt.train import new_state
from tests.support.models import HOW, TINY, random_batch, random_params

B, T = 2, 4
TOKENS, TARGETS = random_batch(TINY, B, T)
FLOAT32, FLOAT16 = float(np.finfo(np.float32).max), 65504.0


def kept(tmp_path, plant=lambda params: None, batches=((TOKENS, TARGETS),), dtype="float32"):
    """A folder of a step on weights with a fault in them."""
    params = random_params(TINY, dtype=dtype)
    plant(params)
    trainer = Trainer(TINY, params)
    trainer.state = trainer.state._replace(step=7, updates=5)
    how = HOW | {"dtype": dtype}
    return rejected.keep(tmp_path, trainer, list(batches), how, "loss is nan")


def replayed(folder, *flags, code=0):
    """What the command says, as an object."""
    with redirect_stdout(io.StringIO()) as out:
        assert main(["replay", str(folder), "--json", *flags]) == code
    return json.loads(out.getvalue())


PLACES = [
    ("wpe.weight", (2, 3), "embedding", {"b": 0, "t": 2, "c": 3}),
    ("h.0.ln_1.weight", (5,), "h.0.ln_1", {"b": 0, "t": 0, "c": 5}),
    ("h.0.attn.c_attn.bias", (17,), "h.0.attn.c_attn", {"b": 0, "t": 0, "c": 17}),
    ("h.0.attn.c_proj.weight", (1, 6), "h.0.attn.c_proj", {"b": 0, "t": 0, "c": 6}),
    ("h.1.ln_2.bias", (0,), "h.1.ln_2", {"b": 0, "t": 0, "c": 0}),
    ("h.1.mlp.c_fc.weight", (3, 5), "h.1.mlp.c_fc", {"b": 0, "t": 0, "c": 5}),
    ("h.1.mlp.c_proj.weight", (30, 2), "h.1.mlp.c_proj", {"b": 0, "t": 0, "c": 2}),
    ("ln_f.bias", (7,), "ln_f", {"b": 0, "t": 0, "c": 7}),
]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("name", "index", "where", "axes"), PLACES, ids=[place[0] for place in PLACES])
def test_a_bad_parameter_is_named_and_where_it_shows_first(tmp_path, name, index, where, axes, value):
    def plant(params):
        params[name][index] = value

    said = replayed(kept(tmp_path, plant))
    cause, shows = said["cause"], said["first_not_finite"]
    assert (cause["kind"], cause["name"], cause["index"]) == ("parameter", name, list(index))
    assert cause["value"] == repr(value)
    assert (shows["name"], shows["axes"], shows["pass"]) == (where, axes, "forward")
    layer = int(name.split(".")[1]) if name.startswith("h.") else None
    assert cause["layer"] == shows["layer"] == layer


def test_a_bad_embedding_is_named_with_the_first_place_where_its_token_stands(tmp_path):
    token = int(TOKENS[1, 2])
    b, t = (int(i[0]) for i in np.nonzero(token == TOKENS))

    def plant(params):
        params["wte.weight"][token, 3] = np.nan

    said = replayed(kept(tmp_path, plant))
    assert (said["cause"]["name"], said["cause"]["index"]) == ("wte.weight", [token, 3])
    assert (said["first_not_finite"]["name"], said["first_not_finite"]["axes"]) == (
        "embedding", {"b": b, "t": t, "c": 3},
    )  # fmt: skip


def test_a_bad_row_without_its_token_shows_in_the_head_and_an_unused_position_nowhere(tmp_path):
    absent = (set(range(TINY.n_vocab)) - set(TOKENS.ravel().tolist())).pop()

    def plant(params):
        params["wte.weight"][absent, 0] = np.inf

    said = replayed(kept(tmp_path, plant))
    assert (said["cause"]["name"], said["cause"]["index"]) == ("wte.weight", [absent, 0])
    shows = said["first_not_finite"]
    assert (shows["name"], shows["axes"]) == ("logits", {"b": 0, "t": 0, "v": absent})

    def unused(params):
        params["wpe.weight"][T, 0] = np.inf

    assert replayed(kept(tmp_path, unused), code=1)["cause"] is None


def test_the_cube_of_gelu_is_named_where_it_leaves_float16(tmp_path):
    def plant(params):
        params["h.1.mlp.c_fc.weight"][:, 9] = 0
        params["h.1.mlp.c_fc.bias"][9] = 120  # 0.0447 * 120^3 = 77,000; 120 itself is small

    folder = kept(tmp_path, plant)
    said = replayed(folder, "--dtype", "float16")
    cause = said["cause"]
    assert (cause["kind"], cause["name"], cause["layer"], cause["pass"]) == (
        "range", "h.1.mlp.gelu", 1, "forward",
    )  # fmt: skip
    assert cause["axes"] == {"b": 0, "t": 0, "c": 9}
    assert "CUBIC * x * x * x" in cause["line"]
    assert FLOAT16 < float(cause["value"]) == pytest.approx(0.044715 * 120**3)
    assert said["first_not_finite"] is None
    assert replayed(folder, code=1)["cause"] is None  # float32 has room for it


def test_scores_that_leave_float32_are_named_with_head_and_both_positions(tmp_path):
    def plant(params):
        params["h.0.attn.c_attn.weight"][:] = 0
        params["h.0.attn.c_attn.bias"][:] = 0
        params["h.0.attn.c_attn.bias"][[5, 8 + 5]] = 1e20  # head 1 of 2: q and k; their product is 1e40

    cause = replayed(kept(tmp_path, plant))["cause"]
    assert (cause["name"], cause["axes"]) == ("h.0.attn", {"b": 0, "h": 1, "t": 0, "s": 0})
    assert cause["line"].startswith("scores = ")
    assert float(cause["value"]) == pytest.approx(1e40)


def test_a_leap_of_the_learning_rate_is_named_where_its_weights_meet(tmp_path):
    """After one step at 1e20 weights have that size, so the first square is beyond float32."""
    trainer = Trainer(TINY, random_params(TINY, dtype="float32"), lr=1e20)
    trainer.step(TOKENS, TARGETS)
    with np.errstate(all="ignore"):
        report = trainer.step_in_parts([(TOKENS, TARGETS)])
    assert not report.verdict.accepted
    folder = rejected.keep(tmp_path, trainer, [(TOKENS, TARGETS)], HOW, report.verdict.reason)
    cause = replayed(folder)["cause"]
    assert (cause["kind"], cause["name"]) == ("range", "h.0.ln_1")
    assert "variance" in cause["line"]


def test_gradients_that_fit_though_the_sum_of_their_squares_does_not_are_named_as_the_norm(tmp_path):
    def plant(params):
        for name in params:
            if "c_proj" in name:
                params[name][:] = 0  # blocks add nothing
        params["wte.weight"][:] *= 150  # and so the head's gradients are some hundreds, all else is smaller
        params["wpe.weight"][:] = 0

    cause = replayed(kept(tmp_path, plant), "--dtype", "float16")["cause"]
    assert (cause["kind"], cause["pass"], cause["name"]) == ("range", "norm", "global_norm")
    assert cause["line"] == "return (grads * grads).sum() ** 0.5"


def test_a_fault_of_the_backward_pass_is_named_there(tmp_path, monkeypatch):
    """A derivative that overflows though the forward pass does not: 1/0 in one place of gelu's."""
    real = kernels.REFERENCE["gelu_backward"]

    def gelu_backward(dy, cache):
        dx = real(dy, cache)
        if gelu_backward.calls == 1:  # blocks come last first, so this is layer 0's
            where = np.zeros(dx.shape)
            where[1, 3, 20] = 1
            dx = dx / (1 - where)
        gelu_backward.calls += 1
        return dx

    gelu_backward.calls = 0
    monkeypatch.setitem(kernels.REFERENCE, "gelu_backward", gelu_backward)
    lost = replayed(kept(tmp_path))["first_not_finite"]
    assert (lost["pass"], lost["name"], lost["layer"]) == ("backward", "h.0.mlp.gelu", 0)
    assert lost["axes"] == {"b": 1, "t": 3, "c": 20}
    assert lost["line"] == "dx = dx / (1 - where)"


def test_the_part_of_a_step_is_named(tmp_path):
    first = np.where(TOKENS == 5, 4, TOKENS)

    def plant(params):
        params["wte.weight"][5] *= 1e25  # squared it is beyond float32; only the second part has this token
        params["ln_f.weight"][:] *= 1e-30

    second = np.full_like(TOKENS, 5)
    cause = replayed(kept(tmp_path, plant, [(first, TARGETS), (second, TARGETS)]))["cause"]
    assert (cause["part"], cause["name"], cause["pass"]) == (1, "h.0.ln_1", "forward")


def test_a_sound_step_is_said_to_be_sound_and_watching_changes_no_number(tmp_path):
    folder = kept(tmp_path, dtype="float64")
    said = replayed(folder, code=1)
    assert said["cause"] is said["first_not_finite"] is said["first_beyond"] is None
    norm = next(spot for spot in said["largest"] if spot["name"] == "global_norm")
    report = Trainer(TINY, random_params(TINY)).step_in_parts([(TOKENS, TARGETS)])
    assert said["again"] == f"loss {report.loss:.6g}, gradient norm {report.norm:.6g}"
    assert abs(float(norm["value"])) >= report.norm**2 * (1 - 1e-12)


def test_every_operation_of_a_step_is_seen_under_a_name_of_its_own(tmp_path):
    spots = replayed(kept(tmp_path), code=1)["largest"]
    names = {(spot["pass"], spot["name"]) for spot in spots}
    block = ("ln_1", "attn.c_attn", "attn", "attn.c_proj", "ln_2", "mlp.c_fc", "mlp.gelu", "mlp.c_proj")
    block += ("residual",)
    wanted = {"embedding", "ln_f", "logits", "loss", *(f"h.{i}.{name}" for i in (0, 1) for name in block)}
    for stage in ("forward", "backward"):
        assert {name for found, name in names if found == stage} - {"dwte.weight"} == wanted
    assert ("norm", "global_norm") in names


def test_the_report_for_people_has_the_place_the_line_and_a_table(tmp_path, capsys):
    def plant(params):
        params["h.1.mlp.c_fc.bias"][9] = 1e14

    folder = kept(tmp_path, plant)
    assert main(["replay", str(folder)]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"step 7 of {folder}: 1 x 2 x 4 tokens\n  then: loss is nan\n")
    assert "is beyond float32's range, in the forward pass\n  at h.1.mlp.gelu, b " in text
    assert "\n  in: squash = np.tanh(SLOPE * (x + CUBIC * x * x * x))\n" in text
    assert "  forward  h.1.mlp.gelu " in text.split("largest")[1]


# the folder


def test_a_rejected_step_comes_back_bit_for_bit(tmp_path):
    trainer = Trainer(TINY, random_params(TINY, dtype="float32"), lr=0.5, betas=(0.7, 0.8))
    trainer.step(TOKENS, TARGETS)
    batches = [(TOKENS, TARGETS), (TARGETS * 0, TARGETS)]
    folder = rejected.keep(tmp_path, trainer, batches, HOW, "loss is inf")
    found = rejected.load(folder)
    assert folder.name == "rejected_00000001"
    assert (found.config, found.optimizer, found.how) == (TINY, trainer.optimizer, HOW)
    assert (found.step, found.updates, found.reason) == (1, 1, "loss is inf")
    for name, array in trainer.params.items():
        assert found.params[name].tobytes() == array.tobytes()
    for ours, theirs in zip(batches, found.batches, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(ours, theirs, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]


def test_any_damage_to_the_folder_is_named(tmp_path):
    folder = kept(tmp_path)
    for path in sorted(folder.iterdir()):
        good = path.read_bytes()
        for bad in (good[: len(good) // 2], b"", None):
            path.unlink() if bad is None else path.write_bytes(bad)
            with pytest.raises(CheckpointError, match=path.name):
                rejected.load(folder)
        path.write_bytes(good)
    rejected.load(folder)


@pytest.mark.parametrize(
    "change",
    [{"step": -1}, {"parts": "1"}, {"parts": 2}, {"how": {}}, {"how": None}, {"how": HOW | {"tf32": 1}},
     {"optimizer": {"lr": -1.0}}, {"optimizer": {"lrr": 1.0}}, {"files": {}}, {"reason": 3}],
)  # fmt: skip
def test_a_manifest_that_says_something_else_is_refused(tmp_path, change, capsys):
    folder = kept(tmp_path)
    path = folder / rejected.MANIFEST
    record = json.loads(path.read_text()) | change
    path.write_text(json.dumps(record))
    assert main(["replay", str(folder)]) == 2
    assert "rejected.json is damaged: expected SHA-256" in capsys.readouterr().err
    record.pop(SEAL)
    path.write_bytes(sealed(record))
    assert main(["replay", str(folder)]) == 2
    err = capsys.readouterr().err
    assert err.startswith(f"minigpt: {folder}")
    assert "SHA-256" not in err


def test_keeping_leaves_nothing_half_done_if_the_disk_is_full(tmp_path, monkeypatch):
    monkeypatch.setattr(rejected, "flush", lambda path: (_ for _ in ()).throw(OSError(28, "No space")))
    with pytest.raises(OSError, match="No space"):
        kept(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_watching_is_the_same_mathematics(tmp_path):
    """The traced table is the reference's; with another table the test above could not name its lines."""
    table = kernels.table("reference", "float64")
    state = new_state(random_params(TINY))
    logits, tape = forward(TINY, table, state.params, TOKENS)
    _, tail = table.cross_entropy_forward(logits, TARGETS)
    grads = dict(backward(TINY, table, table.cross_entropy_backward(1.0, tail), tape))
    spots = {(s["pass"], s["name"]): s for s in replayed(kept(tmp_path, dtype="float64"), code=1)["largest"]}
    assert abs(float(spots["forward", "logits"]["value"])) == np.abs(logits).max()
    assert abs(float(spots["backward", "dwte.weight"]["value"])) == np.abs(grads["wte.weight"]).max()


def test_of_many_numbers_beyond_the_range_the_first_is_named_not_the_largest(tmp_path):
    def plant(params):
        params["h.0.mlp.c_fc.weight"][:, (3, 9)] = 0
        params["h.0.mlp.c_fc.bias"][[3, 9]] = 120, 150

    cause = replayed(kept(tmp_path, plant), "--dtype", "float16")["cause"]
    assert (cause["name"], cause["axes"]) == ("h.0.mlp.gelu", {"b": 0, "t": 0, "c": 3})


def test_of_two_lost_the_first_in_the_order_of_the_step_is_named(tmp_path):
    def plant(params):
        params["h.0.mlp.c_fc.weight"][:, 9] = 0
        params["h.0.mlp.c_fc.bias"][9] = 120
        params["ln_f.bias"][7] = np.nan

    cause = replayed(kept(tmp_path, plant), "--dtype", "float16")["cause"]
    assert (cause["kind"], cause["name"]) == ("range", "h.0.mlp.gelu")
    assert replayed(tmp_path / "rejected_00000007")["cause"]["name"] == "ln_f.bias"
