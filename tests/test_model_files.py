"""A model from files: which tokenizer it gets, and what does not fit together."""

import numpy as np
import pytest

import minigpt
from minigpt import checkpoint, cli, promises
from minigpt.model_files import load_model
from minigpt.train import new_state
from tests.support import tiny_runs

TOK = minigpt.Tokenizer.train(["the nation and the people " * 9], 270)
OTHER = minigpt.Tokenizer.train(["what else there is to say " * 9], 270)


def saved(folder, n_vocab, dtype="float32"):
    """A folder with a tiny model, and its parameters."""
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=n_vocab)
    params = minigpt.init_params(config, dtype=dtype)
    minigpt.save_weights(folder, config, params)
    return config, params


def test_the_tokenizer_that_lies_beside_the_weights_is_taken_for_a_folder_and_for_a_file(tmp_path):
    config, params = saved(tmp_path, 270)
    TOK.save(tmp_path / "tokenizer.json")
    for weights in (tmp_path, tmp_path / "model.safetensors"):
        model = load_model(weights)
        assert model.config == config
        assert model.tokenizer.tokens == TOK.tokens
        for name, param in params.items():
            np.testing.assert_array_equal(model.params[name], param)


def test_a_tokenizer_that_is_named_goes_before(tmp_path):
    saved(tmp_path, 270)
    TOK.save(tmp_path / "tokenizer.json")
    OTHER.save(tmp_path / "other.json")
    found = load_model(tmp_path, tokenizer=tmp_path / "other.json").tokenizer
    assert found.tokens == OTHER.tokens != TOK.tokens


def test_gpt2s_tokenizer_is_taken_where_none_lies_beside_a_model_of_its_size(tmp_path):
    saved(tmp_path, 50257)
    assert load_model(tmp_path).tokenizer.n_vocab == 50257
    assert load_model(tmp_path, tokenizer="gpt2").tokenizer.encode("Hello") == [15496]


@pytest.mark.parametrize("beside", [False, True])
def test_a_tokenizer_of_another_size_is_refused(tmp_path, beside):
    saved(tmp_path, 271)
    if beside:
        TOK.save(tmp_path / "tokenizer.json")
    found = (
        "found one of 270; name" if beside else "found none, and GPT-2's, which is then taken, has 50257; "
    )
    with pytest.raises(minigpt.CheckpointError, match=rf"a tokenizer of 271 ids.*, {found}"):
        load_model(tmp_path)


def test_operations_and_threads_are_those_that_were_asked_for(tmp_path):
    saved(tmp_path, 270)
    TOK.save(tmp_path / "tokenizer.json")
    fast, plain = load_model(tmp_path, threads=1).ops, load_model(tmp_path, ops="reference").ops
    assert (fast.name, fast.threads, plain.name) == ("fast", 1, "reference")
    for options in ({"threads": 0}, {"threads": 0, "ops": "reference"}, {"threads": True}, {"ops": "slow"}):
        with pytest.raises(minigpt.ConfigError, match=r"(threads|ops) must be"):
            load_model(tmp_path, **options)


@pytest.fixture
def step(tmp_path):
    """A run's checkpoint."""
    config = minigpt.GPTConfig(n_layer=1, n_head=1, n_embd=4, n_ctx=4, n_vocab=270)
    return checkpoint.save(tmp_path, config, new_state(minigpt.init_params(config)), {}, TOK)


CHANGES = {
    "of other text": lambda file: file.write_bytes(checkpoint.files_of(OTHER)["tokenizer.json"][0]),
    "gone": lambda file: file.unlink(),
    "gone, another beside": lambda file: file.rename(file.with_name("tokenizer.bpe")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_checkpoints_tokenizer_is_the_one_that_it_vouches_for(step, tmp_path, capsys, change):
    assert load_model(step).tokenizer.tokens == TOK.tokens
    saved(tmp_path / "other", 270)
    change(step / "tokenizer.json")
    readers = [
        lambda: load_model(step),
        lambda: load_model(step / "model.safetensors"),
        lambda: load_model(tmp_path / "other", tokenizer=step),
        lambda: minigpt.Tokenizer.load(step),
    ]
    if (step / "tokenizer.json").exists():
        readers.append(lambda: minigpt.Tokenizer.load(step / "tokenizer.json"))
    for read in readers:
        with pytest.raises(minigpt.CheckpointError, match=r"tokenizer\.json is damaged: expected 3,653 "):
            read()
    (tmp_path / "text.txt").write_text("the nation " * 9)
    text, hub = str(tmp_path / "text.txt"), str(tmp_path / "hub")
    for command in (
        ["sample", "--weights", str(step)],
        ["evaluate", "--weights", str(step), "--data", text],
        ["convert", str(step), hub, "--format", "safetensors"],
        ["tokenize", "encode", "a", "--tokenizer", str(step)],
    ):
        assert cli.main(command) == 2
        assert "tokenizer.json is damaged: expected " in capsys.readouterr().err
    assert not (tmp_path / "hub").exists()


def test_beside_a_damaged_state_a_file_of_weights_opens_alone_with_its_tokenizer(step):
    (step / promises.STATE).write_text("{}")
    with pytest.raises(minigpt.CheckpointError, match=r"state\.json is damaged"):
        load_model(step)
    assert load_model(step / "model.safetensors").tokenizer.tokens == TOK.tokens


def test_a_runs_folder_stands_for_its_newest_checkpoint(tmp_path, capsys):
    for step in (1, 12):
        tiny_runs.save(tmp_path, step)
    found = load_model(tmp_path)
    np.testing.assert_array_equal(found.params.buffer, tiny_runs.state_at(12).params.buffer)
    assert found.tokenizer.tokens == tiny_runs.tokenizer().tokens
    assert capsys.readouterr().err == f"weights: {tmp_path}/step_00000012, the run's newest\n"
    (tmp_path / "step_00000012" / "tokenizer.json").write_text("{}")
    with pytest.raises(minigpt.CheckpointError, match=r"step_00000012/tokenizer\.json is damaged"):
        load_model(tmp_path)  # an older one without a word would be another model
