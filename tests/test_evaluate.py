"""The score of a text: against an exact one, for any batch size, and in no more memory than a batch takes."""

import io
import math
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigpt
from minigpt import kernels, run
from minigpt.data import ordered_windows
from minigpt.evaluate import evaluate, nats_of_rows, text_bytes
from minigpt.log import Log
from minigpt.model import forward
from minigpt.model_files import Model
from minigpt.ops.cross_entropy import IGNORED
from minigpt.options import Recipe
from minigpt.reading import last_states
from minigpt.recipe import resolved
from reference.budgets import budgets
from reference.llmc import Inputs, Sizes
from reference.llmc import run as exact_pass
from reference.llmc.parameters import from_hub
from tests.support.tables import small_blocks

TOK = minigpt.Tokenizer.train(["the nation and the people, the people and the nation"], 270)
V = TOK.n_vocab
CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=8, n_vocab=V)
TABLES = {"float64": "reference", "float32": "fast"}
LOSS = ("loss", None)
ROUNDING = 4 * V * 2.0**-53  # 4 n u of the longest sum, over the vocabulary


def model_of(dtype, config=CONFIG, threads=2):
    """A model far from uniform."""
    params = minigpt.init_params(config, dtype=dtype)
    for param in params.values():
        param *= 10 if param.ndim == 2 else 1
    return Model(config, params, TOK, kernels.table(TABLES[dtype], dtype, threads))


MODELS = {dtype: model_of(dtype) for dtype in TABLES}
texts = st.lists(st.integers(0, V - 1), min_size=1, max_size=60).map(lambda ids: np.array([*ids, 0]))


def windows_of(model, ids, context):
    """The windows of a text, as the independent program in reference/ takes them."""
    tokens, targets = ordered_windows(ids, context)
    sizes = Sizes(2, 2, 4, V, CONFIG.n_ctx, *tokens.shape)
    return Inputs(sizes, from_hub(model.params, CONFIG.n_layer), tokens, targets)


@pytest.mark.parametrize("dtype", TABLES)
@settings(max_examples=30)
@given(ids=texts, context=st.integers(1, 8), more=st.integers(2, 70), cut=st.booleans())
def test_any_batch_size_gives_the_exact_score_within_rounding(dtype, ids, context, more, cut):
    """Batches of one window, of all, of 3 and of any number, most of which divide nothing.

    How far an honest program may be from the exact mean is found by running llm.c's graph with every
    rounding drawn anew (reference/budgets.py), so two may be twice as far apart.
    """
    model = MODELS[dtype]
    windows = windows_of(model, ids, context)
    exact = exact_pass(windows, backward=False)[LOSS]
    bound = budgets(windows, {"float32": "fp32", "float64": "fp64"}[dtype], only={LOSS})[LOSS].largest
    sizes = sorted({1, 3, more, len(windows.tokens)})
    if cut:  # kernels cut even these few rows into blocks, tiles and shares of threads
        with small_blocks():
            found = [evaluate(model, ids, context, size).nats_per_token for size in sizes]
    else:
        found = [evaluate(model, ids, context, size).nats_per_token for size in sizes]
    assert max(abs(nats - exact) for nats in found) <= bound
    assert max(found) - min(found) <= min(2 * bound, 1e-6)


@settings(max_examples=50)
@given(ids=texts, every=st.integers(1, 5))
def test_scores_are_sums_over_each_nth_window(ids, every):
    """One token at a time, from what minigpt.logits says of the tokens before it."""
    model, nats, told = MODELS["float64"], [], []
    scored = [place for place in range(1, len(ids)) if (place - 1) // 4 % every == 0]
    for place in scored:
        start = (place - 1) // 4 * 4
        logits = minigpt.logits(CONFIG, model.params, ids[None, start:place])[0, -1].astype(float)
        nats.append(math.log(np.exp(logits - logits[ids[place]]).sum()))
    size = len(b"".join(TOK.tokens[id] for id in ids[scored] if id != TOK.eot))
    if not size:
        with pytest.raises(minigpt.DataError, match=f"nothing to score: {len(scored)} tokens"):
            evaluate(model, ids, 4, 2, every)
        return
    score = evaluate(model, ids, 4, 2, every, told.append)
    assert score.nats_per_token == pytest.approx(math.fsum(nats) / len(nats), rel=ROUNDING)
    assert score.bits_per_byte == pytest.approx(math.fsum(nats) / math.log(2) / size, rel=ROUNDING)
    assert (score.n_tokens, score.n_bytes) == (len(scored), size)
    n_windows = math.ceil(math.ceil((len(ids) - 1) / 4) / every)
    assert told == [2] * (n_windows // 2) + [1] * (n_windows % 2)


def test_a_model_that_knows_nothing_needs_log2_of_v_bits_a_token():
    model = MODELS["float64"]
    model = model._replace(params={name: 0 * param for name, param in model.params.items()})
    ids = np.array([0, *TOK.encode("nation"), TOK.eot, *TOK.encode("people")])
    score = evaluate(model, ids, 8, 2)
    assert score.nats_per_token == pytest.approx(math.log(V), rel=1e-14)
    assert score.bits_per_byte == pytest.approx(
        math.log2(V) * (len(ids) - 1) / len("nationpeople"), rel=1e-14
    )


def test_special_tokens_stand_for_no_text():
    targets = np.array([[TOK.eot, *TOK.encode("the nation é"), IGNORED]])
    assert text_bytes(targets, TOK) == len("the nation é".encode())
    tok = minigpt.Tokenizer(TOK.merges, special={"<|endoftext|>": V - 1, "<|pad|>": V})
    assert text_bytes(np.array([[V, V - 1, *tok.encode("nation"), IGNORED, V]]), tok) == len("nation")


@pytest.mark.parametrize("dtype", TABLES)
@given(
    rows=st.lists(st.lists(st.integers(0, V - 1), min_size=8, max_size=8), min_size=1, max_size=4),
    data=st.data(),
)
def test_rows_are_scored_where_they_have_targets(dtype, rows, data):
    """Against model.forward, whose states are these bit for bit, and cross-entropies in float64."""
    model, tokens = MODELS[dtype], np.array(rows)
    target = st.lists(st.integers(IGNORED, V - 1), min_size=8, max_size=8)
    targets = np.array(data.draw(st.lists(target, min_size=len(rows), max_size=len(rows))))
    targets[:, 3] = 5
    logits, tape = forward(CONFIG, model.ops, model.params, tokens)
    np.testing.assert_array_equal(last_states(CONFIG, model.ops, model.params, tokens), tape[-1][0])
    logits = logits.astype(float)
    losses = np.log(np.exp(logits).sum(-1)) - np.take_along_axis(logits, targets[..., None], -1)[..., 0]
    expected = np.where(targets == IGNORED, 0, losses).sum(1)
    bound = 8 * 4 * V * np.finfo(dtype).eps / 2  # of 8 logarithms, each of a sum of V terms: 4 n u
    np.testing.assert_allclose(nats_of_rows(model, tokens, targets), expected, rtol=0, atol=bound)


def peak(n_layer, n_vocab=V, T=64, B=8):
    """Bytes that scoring a batch takes beside its arguments, at most."""
    config = minigpt.GPTConfig(n_layer=n_layer, n_head=2, n_embd=16, n_ctx=T, n_vocab=n_vocab)
    # one thread: two hold their temporaries at the same moment, or do not
    model, ids = model_of("float32", config, threads=1), np.zeros((B, T), int)
    nats_of_rows(model, ids, ids)  # what is made once
    tracemalloc.start()
    nats_of_rows(model, ids, ids)
    found = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return found


def test_memory_does_not_grow_with_layers_nor_hold_all_logits():
    block = 4 * 64 * 8 * 16  # bytes of (B, T, C)
    assert peak(12) - peak(1) < block  # the tape of a block is 17 of these
    row = 4 * 64 * 4000  # bytes of (T, V)
    assert peak(1, 4000) - peak(1) < 2.5 * row  # all logits are 8 of these


def test_training_scores_by_the_same_code(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text("the nation and the people, the people and the nation. " * 200)
    words = {"n_layer": 1, "n_head": 2, "n_embd": 16, "n_vocab": 280, "context": 8, "batch_size": 3}
    recipe = Recipe(data=str(tmp_path / "text.txt"), out=str(tmp_path), tokens_per_step=24, steps=1, **words)
    training = run.Run(resolved(recipe), Log(tmp_path, io.StringIO()))
    ids, tokenizer = training.corpus.val_ids, training.corpus.tokenizer
    assert len(ids) > 100
    model = Model(training.config, training.trainer.params, tokenizer, training.trainer.ops)
    assert training.validate(whole=True) == evaluate(model, ids, 8, 5)
    monkeypatch.setattr("minigpt.training.QUICK_LOOK", len(ids) // 3)
    assert training.validate() == evaluate(model, ids, 8, 5, every=3)
    assert training.validate().n_tokens < len(ids) / 2
