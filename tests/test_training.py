"""What a run does between its steps, and at its end."""

import dataclasses
import io
import re

import minigpt
from minigpt import training
from tests.support import tiny_runs


def test_a_finished_run_that_goes_on_elsewhere_names_the_weights_that_there_are(tmp_path):
    assert tiny_runs.go(tiny_runs.recipe(tmp_path / "first", steps=2)) == 0
    source = tmp_path / "first" / "step_00000002"
    said = io.StringIO()
    assert tiny_runs.go(tiny_runs.recipe(tmp_path / "second", steps=2, resume=str(source)), said) == 0
    assert re.findall(r"weights in (\S+)", said.getvalue()) == [str(source)]


def test_a_sample_begins_with_the_tokenizers_own_end_of_text(tmp_path, monkeypatch):
    """Which need not be the last id: other people's tokenizers number their tokens otherwise."""
    usual, begun = tiny_runs.tokenizer(), []
    n = usual.n_vocab
    unusual = minigpt.Tokenizer(usual.merges, ids=list(range(1, n)), special={"<|endoftext|>": 0})
    unusual.save(tmp_path / "tokenizer.json")

    def continuation(decoder, ids, *rest):
        begun.append(ids)
        return iter(())

    monkeypatch.setattr(training, "continuation", continuation)
    recipe = tiny_runs.recipe(tmp_path / "run", steps=1, sample_every=1)
    assert tiny_runs.go(dataclasses.replace(recipe, tokenizer=str(tmp_path / "tokenizer.json"))) == 0
    assert begun == [[0], [0]]
