"""HellaSwag: which of four endings does the model find likeliest? (Zellers et al. 2019, arXiv:1905.07830)

Completion style, as llm.c scores it: each ending follows the context behind a space; acc takes the ending of
the smallest sum of nats, acc_norm of the smallest mean (karpathy/llm.c, dev/data/hellaswag.py).
"""

from typing import NamedTuple

import numpy as np

from minigpt.evaluate import check_batch, nats_of_rows
from minigpt.ops.cross_entropy import IGNORED

ENDINGS = 4


class Question(NamedTuple):
    """The ids of a context and of its endings, and which ending is the right one."""

    context: list
    endings: list
    label: int


class Result(NamedTuple):
    """How many questions were answered right."""

    n: int
    correct: int  # by the sum of nats
    correct_norm: int  # by the mean

    @property
    def acc(self):
        """The share of right answers by the sum."""
        return self.correct / self.n

    @property
    def acc_norm(self):
        """The share of right answers by the mean."""
        return self.correct_norm / self.n


def answer(model, questions, batch_size, progress=lambda rows: None):
    """The nats of every ending, and how many of its tokens they are the sum of.

    Completions of one length make a batch, so that little is filled up. The longest come first: what does not
    fit into memory shows at once. progress is told after each batch how many completions it had.

    -> nats (N, E), counts (N, E)
    """
    n_ctx = model.config.n_ctx
    rows = [completion(q.context, ending, n_ctx) for q in questions for ending in q.endings]
    counts = np.array([n for _, n in rows])
    nats = np.empty(len(rows))
    longest_first = np.argsort([-len(ids) for ids, _ in rows], kind="stable")
    check_batch(model, min(batch_size, len(rows)), max(len(ids) for ids, _ in rows) - 1)
    with model.ops.session():
        for start in range(0, len(rows), batch_size):
            batch = longest_first[start : start + batch_size]
            nats[batch] = nats_of_rows(model, *padded([rows[i] for i in batch]))
            progress(len(batch))
    return nats.reshape(-1, ENDINGS), counts.reshape(-1, ENDINGS)


def completion(context, ending, n_ctx):
    """The last n_ctx + 1 ids of a context and its ending, and how many of them, at the end, are scored.

    [1, 2, 3], [4, 5], n_ctx=3 -> [2, 3, 4, 5], 2
    """
    ids = (context + ending)[-n_ctx - 1 :]
    return ids, min(len(ending), len(ids) - 1)


def padded(rows):
    """Completions as a batch; what fills it up stands behind, where no scored place sees it.

    [([1, 2, 3], 1), ([4, 5], 1)] -> [[1, 2], [4, 0]], [[IGNORED, 3], [5, IGNORED]]

    rows: B pairs of ids and how many are scored. -> tokens (B, T), targets (B, T)
    """
    shape = len(rows), max(len(ids) for ids, _ in rows) - 1
    tokens, targets = np.zeros(shape, np.int64), np.full(shape, IGNORED)
    for i, (ids, n) in enumerate(rows):
        end = len(ids) - 1
        tokens[i, :end] = ids[:-1]
        targets[i, end - n : end] = ids[-n:]
    return tokens, targets


def result_of(nats, counts, questions):
    """How many of the likeliest endings are right; of equals, the first is taken.

    nats (N, E), counts (N, E)
    """
    labels = np.array([question.label for question in questions])
    by_sum, by_mean = nats.argmin(axis=1), (nats / counts).argmin(axis=1)
    return Result(len(questions), int((by_sum == labels).sum()), int((by_mean == labels).sum()))
