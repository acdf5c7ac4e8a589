"""K: how many roundings stand one behind the other in each number that an operation gives.

A sum of n terms rounds n times; what happens to a number alone, in a layernorm or a GELU, some TEN times:

    embedding              forward 1, two terms; backward dwte as often as a token occurs, dwpe B
    layernorm              C + TEN; gain and bias B*T: they are summed over all rows
    linear                 forward I + 1; backward dx O, dweight and dbias B*T
    attention              D + 2 T + TEN: scores, softmax and mix one after the other, and the same back
    gelu                   TEN
    unembedding            forward C; backward dx V, dwte B*T
    cross-entropy          loss V + B*T + TEN, softmax V + TEN; backward TEN
"""

import numpy as np

TEN = 10


def lengths(operation, arguments):
    """K of each result of an operation, in their order; what is kept for the way back counts as the last.

    >>> lengths("unembedding_forward", (np.ones((2, 3, 4)), np.ones((50, 4))))
    (4,)
    """
    return LENGTHS[operation](*arguments)


def rows(x):
    """x (B, T, C) -> B*T"""
    return x.size // x.shape[-1]


def embedding_backward(dx, cache):
    tokens, *_ = cache
    return int(np.unique(tokens, return_counts=True)[1].max()), len(tokens)


def linear_backward(dy, cache):
    return dy.shape[-1], rows(dy), rows(dy)


def layernorm_backward(dy, cache):
    return dy.shape[-1] + TEN, rows(dy), rows(dy)


def attention_forward(qkv, n_head):
    return (qkv.shape[-1] // 3 // n_head + 2 * qkv.shape[1] + TEN,)


def attention_backward(dy, cache):
    q, *_ = cache  # (B, H, T, D)
    return (q.shape[3] + 2 * q.shape[2] + TEN,)


def cross_entropy_forward(logits, targets):
    return logits.shape[-1] + targets.size + TEN, logits.shape[-1] + TEN


LENGTHS = {
    "embedding_forward": lambda tokens, wte, wpe: (1,),
    "embedding_backward": embedding_backward,
    "layernorm_forward": lambda x, gain, bias: (x.shape[-1] + TEN,),
    "layernorm_backward": layernorm_backward,
    "linear_forward": lambda x, weight, bias: (x.shape[-1] + 1,),
    "linear_backward": linear_backward,
    "attention_forward": attention_forward,
    "attention_backward": attention_backward,
    "gelu_forward": lambda x: (TEN,),
    "gelu_backward": lambda dy, cache: (TEN,),
    "unembedding_forward": lambda x, wte: (x.shape[-1],),
    "unembedding_backward": lambda dlogits, cache: (dlogits.shape[-1], rows(dlogits)),
    "cross_entropy_forward": cross_entropy_forward,
    "cross_entropy_backward": lambda dloss, cache: (TEN,),
}
