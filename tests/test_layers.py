"""What is noted of each layer: lengths of gradient, weights and update, against the arrays themselves."""

import json

import numpy as np
import pytest

import minigpt
from minigpt import layers
from minigpt.comm import World
from minigpt.layers import lengths, noted, packets, parts_of
from tests.support.device_array import WAITS, on_device
from tests.support.models import TINY, random_batch, random_params
from tests.support.tiny_runs import go, recipe

KINDS = [{"weight_decay": 0.1}, {"weight_decay": 0.0}, {"weight_decay": 0.3, "decay_all": True}]


def trained(steps=3, dtype="float64", **optimizer):
    """A Trainer after some steps, the weights before the last of them, its last report."""
    trainer = minigpt.Trainer(TINY, random_params(TINY, dtype=dtype), lr=1e-2, **optimizer)
    for step in range(steps):
        before = trainer.params.buffer.copy()
        report = trainer.step_in_parts([random_batch(TINY, 2, 5, step)])
    return trainer, trainer.params.like(before), report


def of_arrays(trainer, before):
    """What lengths should say, from copies of all weights and every tensor's own sum."""
    found = {}
    for part in parts_of(before):
        names = [name for name in before if name.rpartition(".")[0] == part]
        of = [
            [trainer.state.grads[name] for name in names],
            [trainer.params[name] for name in names],
            [before[name] - trainer.params[name] for name in names],
        ]
        found[part] = [np.linalg.norm(np.concatenate([x.ravel() for x in three])) for three in of]
    return found


@pytest.mark.parametrize("size", [5, 2**16])
@pytest.mark.parametrize("optimizer", KINDS)
def test_lengths_are_those_of_the_arrays(monkeypatch, optimizer, size):
    monkeypatch.setitem(layers.PACKET, "numpy", size)
    trainer, before, report = trained(**optimizer)
    found, expected = lengths(trainer, report.lr), of_arrays(trainer, before)
    assert list(found) == list(expected)
    for part in found:
        assert found[part] == pytest.approx(expected[part], rel=1e-12), part


def test_float32_and_its_kernels_agree_to_their_rounding():
    trainer, before, report = trained(dtype="float32")
    found, expected = lengths(trainer, report.lr), of_arrays(trainer, before)
    for part in found:
        assert found[part] == pytest.approx(expected[part], rel=1e-4), part


def test_gradients_are_told_as_they_were_before_clipping():
    trainer, _, report = trained(clip=1e-3)
    gradients = [gradient for gradient, _, _ in lengths(trainer, report.lr).values()]
    assert np.linalg.norm(gradients) == pytest.approx(report.norm, rel=1e-12)
    assert report.norm > 1e-2


class Sharded(World):
    """One of several ranks, of which the others are asked by hand."""

    sharded = True

    def __init__(self, rank, size, told):
        self.rank, self.size, self.told = rank, size, told

    def gather(self, value):
        self.told[self.rank] = value
        return list(self.told.values())


@pytest.mark.parametrize("size", [2, 3, 5])
def test_shards_together_are_the_whole(size):
    trainer, _, report = trained()
    whole, told, moments = lengths(trainer, report.lr), {}, (trainer.state.first, trainer.state.second)
    for rank in range(size):
        trainer.world = Sharded(rank, size, told)
        shard = trainer.world.shard(trainer.params.buffer.size)
        first, second = (moment[shard] for moment in moments)
        trainer.state = trainer.state._replace(first=first, second=second)
        found = lengths(trainer, report.lr)
    for part in whole:
        assert found[part] == pytest.approx(whole[part], rel=1e-12), part


def test_a_device_gives_the_same_and_is_waited_for_once(monkeypatch):
    trainer, _, report = trained()
    expected, state = lengths(trainer, report.lr), trainer.state
    flats = {"params": state.params, "grads": state.grads}
    flats = {name: flat.like(on_device(flat.buffer)) for name, flat in flats.items()}
    moments = {name: on_device(getattr(state, name)) for name in ("first", "second")}
    trainer.state = state._replace(**flats, **moments)
    WAITS.clear()
    assert lengths(trainer, report.lr) == expected
    assert WAITS == ["get"]


def test_packets_cover_what_a_place_and_a_shard_share():
    assert list(packets(slice(2, 9), slice(0, 8), 4)) == [slice(2, 6), slice(6, 8)]
    assert list(packets(slice(2, 9), slice(9, 12), 4)) == []
    assert list(packets(slice(2, 9), slice(0, 2), 4)) == []


def test_the_first_step_is_noted_and_every_so_many():
    assert [step for step in range(1, 9) if noted(step, 3)] == [1, 3, 6]
    assert [step for step in range(1, 9) if noted(step, 0)] == []


def lines(folder, name="layers.jsonl"):
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def test_a_run_notes_its_layers_the_same_with_and_without_a_stop(tmp_path):
    asked = {"steps": 12, "layers_every": 5}
    assert go(recipe(tmp_path / "whole", **asked)) == 0
    whole = lines(tmp_path / "whole")
    assert [line["step"] for line in whole] == [1, 5, 10]
    assert list(whole[0]["layers"]) == [
        "wte", "wpe", "h.0.ln_1", "h.0.attn.c_attn", "h.0.attn.c_proj", "h.0.ln_2", "h.0.mlp.c_fc",
        "h.0.mlp.c_proj", "ln_f",
    ]  # fmt: skip
    assert go(recipe(tmp_path / "cut", **asked | {"steps": 7}, schedule="constant")) == 0
    assert go(recipe(tmp_path / "cut", **asked, schedule="constant", allow_changes="steps")) == 0
    assert go(recipe(tmp_path / "constant", **asked, schedule="constant")) == 0
    assert lines(tmp_path / "cut") == lines(tmp_path / "constant")


def test_a_run_says_what_it_began_on_what(tmp_path):
    for steps in (2, 4):
        assert go(recipe(tmp_path, steps=steps, allow_changes="steps", layers_every=0)) == 0
    assert not (tmp_path / "layers.jsonl").exists()
    first, second = lines(tmp_path, "starts.jsonl")
    assert (first["step"], second["step"]) == (0, 2)
    assert second["recipe"]["steps"] == 4
    assert first["machine"]["cores"] >= 1
    assert first["model"]["n_vocab"] == 258
    assert first["data"]["held_out_tokens"] > 0


def test_a_rejected_step_is_not_noted(tmp_path):
    asked = recipe(tmp_path, steps=8, lr=1e30, layers_every=1, warmup=0)
    with pytest.raises(minigpt.NumericsError):
        go(asked)
    losses = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines(tmp_path)] == [1]
    assert len(losses) == 4
