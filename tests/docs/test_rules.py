"""What the test of the documents' commands would notice: each of these is planted into a document."""

import pytest

from tests.docs import place, rules
from tests.docs.blocks import ROOT
from tests.docs.session import carry_out

FLAWS = {
    "a flag of minigpt that is not there": "```sh\nminigpt plan --presett gpt2\n```",
    "a file that is not there": "```sh\nminigpt inspect models/gpt3-openai\n```",
    "a command that is not there": "```sh\nminigpt dream\n```",
    "a flag behind what it needs": "```sh\nminigpt download gpt2 --form hub  # needs the network\n```",
    "a value behind what it needs": "```sh\ntorchrun -m minigpt train --lr -1  # needs GPUs\n```",
    "a flag before a GPU is asked for": "```sh\nminigpt train --devise cupy --out runs/x  # needs a GPU\n```",
    "no GPU that is asked for": "```sh\nminigpt plan --preset small  # needs a GPU\n```",
    "an unknown need": "```sh\nminigpt plan --preset small  # needs patience\n```",
    "a size that cannot be": "```sh\nminigpt train --n-embd 100 --n-head 3 --out runs/x\n```",
    "a target of make": "```sh\nmake trian\n```",
    "an extra of pip": "```sh\npip install 'minigpt[cuppy]'\n```",
    "a flag of the oracle": "```sh\npython -m reference dump --randon n_layer=1 --out ref\n```",
    "a program that fails": "```python\nimport minigpt\n\nminigpt.load_weight('model')\n```",
    "a block of another language": "```bash\nminigpt plan\n```",
    "a command without a language": "```\nminigpt plan\n```",
    "another number": "```console\n$ minigpt tokenize encode 'Hello world'\n15496 996\n```",
    "a line that is not printed": "```console\n$ minigpt plan --preset gpt2\n...\nhooray\n...\n```",
    "lines in another order": "```console\n$ ls models/gpt2-hub\nmodel.safetensors\nconfig.json\n```",
    "another word": "```console\n$ minigpt inspect models/gpt2-hub\nmodels/gpt2-hub: a file\n...\n```",
}


@pytest.fixture(scope="module")
def small_place(tmp_path_factory):
    root = tmp_path_factory.mktemp("place")
    place.weights(root)
    place.executables(root)
    (root / "sotu.txt").write_text("We the people of the United States. " * 200)
    return root


def written(path, text):
    """A document in a folder of the name that pages of docs/ have."""
    path = path / "docs" / "page.md"
    path.parent.mkdir()
    path.write_text(f"# A page\n\n{text}\n")
    return path


@pytest.mark.parametrize("flaw", FLAWS)
def test_what_is_wrong_is_noticed(flaw, small_place, tmp_path):
    with pytest.raises((AssertionError, ValueError), match=r"page\.md:3"):
        carry_out(written(tmp_path, FLAWS[flaw]), small_place)


def test_what_is_right_passes(small_place, tmp_path):
    right = """```console
$ minigpt tokenize encode 'Hello world'
15496 995
$ ls models/gpt2-hub
config.json
model.safetensors
```

```sh
minigpt download gpt2 --from hub  # needs the network
make train
```
"""
    carry_out(written(tmp_path, right), small_place)


def test_only_sizes_and_places_are_changed():
    """No substitution brings a command along, and what a document asks for still stands at its beginning."""
    for command in ("minigpt train", "minigpt train --preset gpt2 --data shards", "minigpt plan"):
        assert rules.smaller(command).startswith(command)
    flags = {word for _, words in rules.SMALLER for word in words.split() if word.startswith("--")}
    sizes = {"--n-layer", "--n-head", "--n-embd", "--context", "--batch-size", "--tokens-per-step", "--steps"}
    assert flags <= sizes | {"--warmup", "--data", "--shard-tokens", "--workers"}


def test_every_document_is_tested():
    from tests.docs.blocks import DOCUMENTS, ELSEWHERE

    tested = {path.name for path in DOCUMENTS if path.parent.name == "docs"} | set(ELSEWHERE)
    assert tested == {path.name for path in (ROOT / "docs").glob("*.md")}
