"""Fine-tuning: a run starts from exactly the weights it is given, in every format, or says why it cannot."""

import dataclasses

import numpy as np
import pytest

import minigpt
from minigpt.errors import CheckpointError, ConfigError
from minigpt.first_weights import first_weights
from tests.support import tiny_runs

FINE = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=8, n_ctx=16, n_vocab=tiny_runs.CONFIG.n_vocab)


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    """A model of which every number is known, and its folder."""
    params = minigpt.init_params(FINE, seed=5)
    path = tmp_path_factory.mktemp("weights") / "model"
    minigpt.save_weights(path, FINE, params)
    return path, params


def test_the_context_may_be_shorter_and_nothing_else_differs(weights):
    path, params = weights
    shorter = first_weights(path, minigpt.GPTConfig(**vars(FINE) | {"n_ctx": 5}), "float32")
    assert shorter["wpe.weight"].tobytes() == params["wpe.weight"][:5].tobytes()
    rest = [name for name in params if name != "wpe.weight"]
    assert all(shorter[name].tobytes() == params[name].tobytes() for name in rest)


@pytest.mark.parametrize(
    ("name", "size"), [("n_layer", 2), ("n_head", 2), ("n_embd", 4), ("n_ctx", 17), ("n_vocab", 300)]
)
def test_another_shape_is_refused_by_name(weights, name, size):
    path, _ = weights
    with pytest.raises(ConfigError, match=rf"init-from: .* has {name}=\d+: found {name}={size} here"):
        first_weights(path, minigpt.GPTConfig(**vars(FINE) | {name: size}), "float32")


@pytest.mark.parametrize("value", [np.nan, -np.inf])
def test_weights_that_are_not_finite_are_refused_by_the_tensors_name_before_the_first_step(tmp_path, value):
    params = minigpt.init_params(FINE)
    params["h.0.mlp.c_fc.bias"][[1, 3]] = params["ln_f.bias"][0] = value
    minigpt.save_weights(tmp_path / "model", FINE, params)
    run = tiny_runs.recipe(tmp_path / "run", init_from=str(tmp_path / "model"), context=FINE.n_ctx)
    said = r"init-from: .*model: h.0.mlp.c_fc.bias: expected finite numbers, found 2 of 32 NaN or infinite"
    with pytest.raises(CheckpointError, match=said):
        tiny_runs.go(run)
    assert not (tmp_path / "run").exists()


def test_a_run_begins_with_them(weights, tmp_path):
    """At a learning rate that moves no number, its weights after a step are those that it was given."""
    path, params = weights
    sizes = {"context": FINE.n_ctx, "steps": 1, "warmup": 0, "lr": 1e-30}
    assert tiny_runs.go(tiny_runs.recipe(tmp_path / "run", init_from=str(path), **sizes)) == 0
    config, trained = minigpt.load_weights(tmp_path / "run" / "step_00000001")
    assert config == FINE
    assert abs(trained.buffer - params.buffer).max() <= 2e-30


def test_a_resumed_run_goes_on_from_its_checkpoint_and_not_from_them(weights, tmp_path):
    path, _ = weights
    words = {"init_from": str(path), "context": 16, "schedule": "constant"}
    assert tiny_runs.go(tiny_runs.recipe(tmp_path / "whole", steps=4, **words)) == 0
    for steps in (2, 4):
        part = tiny_runs.recipe(tmp_path / "parts", steps=steps, allow_changes="steps", **words)
        assert tiny_runs.go(part) == 0
    assert tiny_runs.same_run(tmp_path / "parts", tmp_path / "whole", 4)


def test_a_tokenizer_that_is_learned_anew_is_refused(tmp_path):
    recipe = dataclasses.replace(tiny_runs.recipe(tmp_path / "run", init_from="model"), tokenizer=None)
    with pytest.raises(ConfigError, match=r"init-from: .* expected it as --tokenizer, found train"):
        tiny_runs.go(recipe)
    assert not (tmp_path / "run").exists()


def test_no_weights_there(tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        tiny_runs.go(tiny_runs.recipe(tmp_path / "run", init_from=str(tmp_path / "nowhere")))
