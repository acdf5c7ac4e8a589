"""A checkpoint's folder opens in transformers as it is, with its tokenizer."""

import pytest

from minigpt import checkpoint, texts
from minigpt.config import GPTConfig
from minigpt.model import init_params
from minigpt.tokenizer import Tokenizer
from minigpt.train import new_state

transformers = pytest.importorskip("transformers")

SPEECH = texts.load_sotu()[0][1]
TEXTS = [SPEECH, "New words, in 2026:\n\n  état, 漢字 🙂 it's", "", " "]


@pytest.mark.parametrize("tok", [Tokenizer.gpt2(), Tokenizer.train([SPEECH], 600)], ids=["gpt2", "learned"])
def test_the_folder_opens_with_its_tokenizer(tmp_path, tok):
    config = GPTConfig(n_layer=1, n_head=1, n_embd=8, n_ctx=16, n_vocab=tok.n_vocab)
    folder = checkpoint.save(tmp_path, config, new_state(init_params(config)), {}, tok)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert len(theirs) == tok.n_vocab
    assert theirs.eos_token_id == theirs.bos_token_id == tok.eot
    for text in TEXTS:
        ids = tok.encode(text)
        assert theirs(text).input_ids == ids
        assert theirs.decode(ids, clean_up_tokenization_spaces=False) == text
    model = transformers.AutoModelForCausalLM.from_pretrained(folder)
    assert model.config.vocab_size == tok.n_vocab
    assert model.config.eos_token_id == tok.eot
