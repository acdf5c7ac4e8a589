"""What is published of OpenAI's 124M weights: ten losses in training, twice, and greedy continuations.

Losses: karpathy/llm.c, test_gpt2.c and test_gpt2.cu, on its debug batch, lr 1e-4. Continuations:
huggingface/transformers, tests/models/gpt2, and picoGPT's README. Two of transformers' prompts are continued
there in one batch, the shorter one padded on its left, and each alone; all with the same result.
"""

from typing import NamedTuple

import numpy as np

import minigpt
from minigpt.sample import generate_batch

FIRST_LOSS = 5.270007
NEAR = 1e-3  # a loss this near to it on the debug batch is no accident

# the beginning of tinyshakespeare's validation split
FIRST_IDS = (
    50256, 5962, 22307, 25, 198, 8421, 356, 5120, 597, 2252, 11, 3285, 502, 2740, 13, 628,
    50256, 3237, 25, 198, 5248, 461, 11, 2740, 13, 628, 50256, 5962, 22307, 25, 198, 1639,
)  # fmt: skip


class Curve(NamedTuple):
    """An optimizer, the losses of its first steps, and how far from them llm.c's tests let one be."""

    optimizer: dict
    losses: tuple
    tolerance: float


CURVES = {
    "test_gpt2.c": Curve(
        {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "decay_all": True, "clip": None},
        (5.270007133483887, 4.059706687927246, 3.3751230239868164, 2.8007826805114746, 2.315382242202759,
         1.8490285873413086, 1.3946564197540283, 0.9991465210914612, 0.6240804195404053, 0.37651097774505615),
        1e-2,
    ),
    "test_gpt2.cu": Curve(
        {"betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 0.0, "clip": 1.0},
        (5.270009, 4.060681, 3.320085, 2.717550, 2.181066, 1.653923, 1.168050, 0.736873, 0.401021, 0.187493),
        1e-5,
    ),
}  # fmt: skip
LR = 1e-4

CONTINUATIONS = {
    "The dog": ((464, 3290), (373, 1043, 287, 257, 2214, 1474, 262, 16246, 286, 2688, 290, 2688, 27262, 13,
                              198, 198, 464, 3290)),
    "Hello, my dog is a little": ((15496, 11, 616, 3290, 318, 257, 1310),
                                  (1643, 286, 257, 2085, 13, 314, 1101, 407, 1654, 611, 339, 338, 1016)),
    "Today, I": ((8888, 11, 314), (1101, 1016, 284, 307, 1804, 257, 1256, 286, 2267, 319, 428, 13, 314)),
    "Alan Turing theorized": (
        (36235, 39141, 18765, 1143, 326, 9061, 561, 530, 1110, 1716),
        (262, 749, 3665, 8217, 319, 262, 5440, 13, 198, 198, 464, 3644, 318, 257, 4572, 326, 460, 1620, 3716,
         16765, 11, 290, 340, 460, 1620, 777, 16765, 287, 257, 835, 326, 318, 845, 2092, 284, 262, 1692, 3632,
         13)),
}  # fmt: skip
BATCHES = (("Hello, my dog is a little", "Today, I"),)  # together, as well as alone


class Verdict(NamedTuple):
    """One published fact, what came instead, and whether that will do."""

    what: str
    expected: object
    found: object
    passed: bool


def is_debug_batch(tokens, targets):
    """Whether a batch is llm.c's: 4 x 64 tokens of tinyshakespeare, as its first 32 ids tell."""
    ids = tuple(np.ravel(tokens)[: len(FIRST_IDS)].tolist())
    return tokens.shape == (4, 64) and ids == FIRST_IDS and (targets.ravel()[:-1] == tokens.ravel()[1:]).all()


def are_openais(config, tokens, targets, loss):
    """Whether weights are OpenAI's 124M: their shape, and their loss on the debug batch, are as published."""
    known = config == minigpt.PRESETS["gpt2"] and is_debug_batch(tokens, targets)
    return bool(known and abs(loss - FIRST_LOSS) <= NEAR)


def verdicts(config, params, tokens, targets, watch, curves=CURVES, texts=CONTINUATIONS, batches=BATCHES):
    """Every published fact. params in float32; the curves need the debug batch."""
    work = [(repr(what), continued, [fact]) for what, fact in texts.items()]
    for names in batches:
        together = " and ".join(map(repr, names)) + " in one batch"
        work.append((together, continued, [texts[name] for name in names]))
    if is_debug_batch(tokens, targets):
        work += [(what, trained, (tokens, targets, curve)) for what, curve in curves.items()]
    return [judge(config, params, what, *fact) for what, judge, fact in watch(work)]


def continued(config, params, what, *facts):
    """The likeliest next token, again and again, of one prompt or of several in a batch."""
    prompts, expected = zip(*facts, strict=True)
    rows = generate_batch(config, params, [*map(list, prompts)], max_new_tokens=max(map(len, expected)))
    found = tuple(tuple(row[: len(ids)]) for row, ids in zip(rows, expected, strict=True))
    return Verdict(f"continuation of {what}", expected, found, found == tuple(map(tuple, expected)))


def trained(config, params, what, tokens, targets, curve):
    """The losses of the first steps of training, each within llm.c's own tolerance."""
    trainer = minigpt.Trainer(config, params, lr=LR, **curve.optimizer)
    found = tuple(float(trainer.step(tokens, targets)) for _ in curve.losses)
    apart = np.abs(np.subtract(found, curve.losses)).max()
    return Verdict(f"losses of llm.c's {what}", curve.losses, found, bool(apart <= curve.tolerance))
