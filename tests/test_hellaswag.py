"""HellaSwag's scores: against sums over single tokens, and against transformers, example by example."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minigpt
from minigpt import hellaswag, kernels
from minigpt.hellaswag import Question, completion, padded
from minigpt.model_files import Model
from minigpt.ops.cross_entropy import IGNORED
from reference.budgets import budgets
from reference.llmc import Inputs, Sizes
from reference.llmc.parameters import from_hub

CONFIG = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=8, n_ctx=12, n_vocab=31)
LOSSES = ("losses", None)
TABLES = {"float64": "reference", "float32": "fast"}


def model_of(dtype, config=CONFIG):
    """A model far from uniform."""
    params = minigpt.init_params(config, dtype=dtype)
    for param in params.values():
        param *= 10 if param.ndim == 2 else 1
    return Model(config, params, None, kernels.table(TABLES[dtype], dtype, 2))


MODELS = {dtype: model_of(dtype) for dtype in TABLES}
# contexts and endings that together, and endings that alone, are longer than the model can read
few = st.lists(st.integers(0, 30), min_size=1, max_size=18)
questions = st.builds(Question, few, st.lists(few, min_size=4, max_size=4), st.integers(0, 3))
some_questions = st.lists(questions, min_size=1, max_size=3)


@given(some_questions, st.integers(1, 13))
def test_nats_are_sums_over_single_tokens_for_any_batch_size(questions, batch_size):
    """Each token of an ending by what minigpt.logits says of those before it, if they are read."""
    nats, counts = hellaswag.answer(MODELS["float64"], questions, batch_size)
    assert nats.shape == counts.shape == (len(questions), 4)
    for q, question in enumerate(questions):
        for e, ending in enumerate(question.endings):
            ids, total = question.context + ending, 0.0
            start = max(0, len(ids) - 13)  # 12 places are read, and the 13th id is a target alone
            places = range(max(len(question.context), start + 1), len(ids))
            for place in places:
                logits = minigpt.logits(CONFIG, MODELS["float64"].params, [ids[start:place]])[0, -1]
                total += np.log(np.exp(logits - logits[ids[place]]).sum())
            assert nats[q, e] == pytest.approx(total, rel=1e-11, abs=1e-11)
            assert counts[q, e] == len(places)


def nats_bound(model, questions):
    """How far an honest program's -log p of a token of these endings may be from the exact one.

    Found by running llm.c's graph in the model's precision, every rounding drawn anew (reference/budgets.py).
    """
    config = model.config
    ends = [completion(q.context, ending, config.n_ctx) for q in questions for ending in q.endings]
    tokens, targets = padded(ends)
    C, H, L = config.n_embd, config.n_head, config.n_layer
    sizes = Sizes(L, H, C // H, config.n_vocab, config.n_ctx, *tokens.shape)
    inputs = Inputs(sizes, from_hub(model.params, L), tokens, targets)
    mode = {np.dtype("float32"): "fp32", np.dtype("float64"): "fp64"}[model.params["wte.weight"].dtype]
    return budgets(inputs, mode, only={LOSSES})[LOSSES].largest


@pytest.mark.parametrize("dtype", TABLES)
@settings(max_examples=25)
@given(some_questions)
def test_batches_of_any_size_agree_within_rounding(dtype, questions):
    """A completion that is filled up is scored as it is alone."""
    model = MODELS[dtype]
    found = [hellaswag.answer(model, questions, size) for size in (1, 2, 5, 4 * len(questions))]
    means = np.array([nats / counts for nats, counts in found])
    assert np.ptp(means, axis=0).max() <= 2 * nats_bound(model, questions)


@pytest.mark.parametrize(
    ("context", "ending", "n_ctx", "ids", "scored"),
    [
        (
            [1, 2, 3],
            [4, 5],
            4,
            [1, 2, 3, 4, 5],
            2,
        ),  # n_ctx places are read, and the last id is a target alone
        ([1, 2, 3], [4, 5], 3, [2, 3, 4, 5], 2),
        ([1, 2, 3], [4, 5], 2, [3, 4, 5], 2),
        ([1, 2, 3], [4, 5], 1, [4, 5], 1),  # what the first id is predicted from is not read
        ([1], [2], 9, [1, 2], 1),
    ],
)
def test_a_long_context_loses_its_beginning(context, ending, n_ctx, ids, scored):
    assert completion(context, ending, n_ctx) == (ids, scored)


def test_targets_are_the_endings_alone():
    tokens, targets = padded([([1, 2, 3, 4, 5], 2), ([6, 7], 1), ([8, 9, 1], 2)])
    no = IGNORED
    np.testing.assert_array_equal(tokens, [[1, 2, 3, 4], [6, 0, 0, 0], [8, 9, 0, 0]])
    np.testing.assert_array_equal(targets, [[no, no, 4, 5], [7, no, no, no], [9, 1, no, no]])


def test_batches_hold_completions_of_like_lengths_the_longest_first(monkeypatch):
    lengths = [3, 9, 4, 1, 7, 7, 2, 10, 5, 6, 8, 1]
    questions = [Question([1], [[2] * n for n in lengths[i : i + 4]], 0) for i in (0, 4, 8)]
    shapes, told, real = [], [], hellaswag.nats_of_rows
    monkeypatch.setattr(
        hellaswag, "nats_of_rows", lambda model, *rows: shapes.append(rows[0].shape) or real(model, *rows)
    )
    hellaswag.answer(MODELS["float64"], questions, 5, told.append)
    longest = sorted(lengths, reverse=True)
    assert shapes == [(5, longest[0]), (5, longest[5]), (2, longest[10])]
    assert told == [5, 5, 2]


def test_acc_takes_the_sum_and_acc_norm_the_mean():
    questions = [Question([1], [[1]] * 4, label) for label in (0, 1, 2, 1)]
    nats = np.array([[1.0, 2, 3, 4], [3, 4, 9, 9], [5, 6, 4, 7], [2, 2, 3, 3]])
    counts = np.array([[1, 1, 1, 1], [1, 2, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1]])
    result = hellaswag.result_of(nats, counts, questions)
    assert (result.n, result.correct, result.correct_norm) == (4, 2, 3)  # of equals, the first is taken
    assert (result.acc, result.acc_norm) == (0.5, 0.75)


# transformers ------------------------------------------------------------------------------------------


class Theirs:
    """transformers' GPT-2 in float64, and what it says of some questions."""

    def __init__(self, folder, questions):
        torch, transformers = pytest.importorskip("torch"), pytest.importorskip("transformers")
        self.torch, self.questions = torch, questions
        self.model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
        nats = [[self.nats(q.context, ending) for ending in q.endings] for q in questions]
        self.sums = np.array([[row.sum() for row in rows] for rows in nats])  # (N, 4)
        self.means = np.array([[row.mean() for row in rows] for rows in nats])  # (N, 4)

    def nats(self, context, ending):
        """-log p of each of the ending's tokens, by a log-softmax of the logits that is written out here."""
        with self.torch.no_grad():
            logits = self.model(self.torch.tensor([context + ending])).logits[0].numpy()  # (T, V)
        logits = logits[len(context) - 1 : -1]  # each says which token comes next
        top = logits.max(axis=1, keepdims=True)
        log_softmax = logits - top - np.log(np.exp(logits - top).sum(axis=1, keepdims=True))
        return -log_softmax[np.arange(len(ending)), ending]


@pytest.fixture(scope="module")
def twins(tmp_path_factory):
    """A random small GPT-2 in both number types, the same in transformers, and a bound for each type."""
    config = minigpt.GPTConfig(n_layer=2, n_head=2, n_embd=16, n_ctx=40, n_vocab=97)
    ours, rng = {dtype: model_of(dtype, config) for dtype in TABLES}, np.random.default_rng(0)
    for name, param in ours["float64"].params.items():
        param[:] = ours["float32"].params[name]  # the very same numbers
    folder = tmp_path_factory.mktemp("twin")
    minigpt.save_weights(folder, config, ours["float64"].params)

    def ids(most):
        return rng.integers(0, 97, rng.integers(1, most)).tolist()

    questions = [Question(ids(25), [ids(16) for _ in range(4)], int(rng.integers(4))) for _ in range(12)]
    return ours, Theirs(folder, questions), {dtype: nats_bound(ours[dtype], questions) for dtype in TABLES}


@pytest.mark.parametrize("batch_size", [1, 7, 1000])
@pytest.mark.parametrize("dtype", TABLES)
def test_scores_and_answers_are_those_of_transformers_example_by_example(twins, dtype, batch_size):
    ours, theirs, bound = twins[0][dtype], twins[1], twins[2][dtype]
    nats, counts = hellaswag.answer(ours, theirs.questions, batch_size)
    assert np.abs(nats / counts - theirs.means).max() <= bound
    assert (np.abs(nats - theirs.sums) / counts).max() <= bound
    for found, expected in ((nats, theirs.sums), (nats / counts, theirs.means)):
        gaps = np.diff(np.sort(expected))[:, 0]  # between the likeliest ending and the next
        assert gaps.min() > 2 * 15 * bound  # so that rounding decides no answer
        np.testing.assert_array_equal(found.argmin(axis=1), expected.argmin(axis=1))
    labels = [question.label for question in theirs.questions]
    result = hellaswag.result_of(nats, counts, theirs.questions)
    assert result.correct == (theirs.sums.argmin(axis=1) == labels).sum()
    assert result.correct_norm == (theirs.means.argmin(axis=1) == labels).sum()
    assert result.correct != result.correct_norm  # the two are told apart by these questions
