"""Generation with a cache: keys and values of earlier tokens are kept, so a new token costs one position.

The blocks are the model's own. Only attention is another: it looks at what the cache holds as well.
"""

import math
from functools import partial

import numpy as np

from minigpt.arrays import device_of, on_device, on_host
from minigpt.model import within
from minigpt.ops.attention import merge_heads, softmax


class Cache:
    """Room for the keys and values of B sequences of up to n_ctx tokens, 2 L B n_ctx C numbers in all.

    What stands behind `length` is read by nobody: to take a smaller length is to forget what came later.

    like: an array of the model's, whose number type and device are the cache's.
    pads: how many places before each sequence's first token are empty, so that sequences of unequal lengths
    end at the same place. Nobody looks there, and positions count from the first token.
    """

    def __init__(self, config, like, pads=(0,)):
        B, H, N, D = len(pads), config.n_head, config.n_ctx, config.n_embd // config.n_head
        shape = 2, config.n_layer, B, H, N, D
        self.keys, self.values = np.empty(shape, like.dtype, like=like)  # (L, B, H, N, D) each
        self.pads = np.array(pads)  # (B)
        self.length = 0  # places filled so far, pads among them

    @property
    def nbytes(self):
        """Bytes of all keys and values, from the beginning on: the cache never grows."""
        return self.keys.nbytes + self.values.nbytes

    def positions(self, T):
        """Where the next T places stand in their sequences; pads, which nobody sees, at 0.

        -> positions (B, T)
        """
        return np.maximum(self.length + np.arange(T) - self.pads[:, None], 0)

    def hidden(self, T):
        """Which of all places each of the next T does not see: later ones, and pads. A pad sees itself alone.

        -> hidden (B, 1, T, S)
        """
        places = np.arange(self.length + T)  # (S)
        queries = places[self.length :, None]  # (T, 1)
        pads = places < self.pads[:, None, None]  # (B, 1, S)
        return ((places > queries) | (pads & (places != queries)))[:, None]


class Decoder:
    """A model that reads on from what its cache holds."""

    def __init__(self, config, ops, params):
        self.config, self.ops, self.params = config, ops, ops.weights(params)
        self.blocks = [within(self.params, f"h.{layer}.") for layer in range(config.n_layer)]

    def read(self, cache, tokens):
        """The logits of what follows tokens, which follow what is in the cache and go into it.

        tokens (B, T) -> logits (B, V)
        """
        with self.ops.session(tokens.size):
            tokens, positions = self.ops.upload((tokens, cache.positions(tokens.shape[1])))  # (B, T) each
            x = self.params["wte.weight"][tokens] + self.params["wpe.weight"][positions]  # (B, T, C)
            for layer, block in enumerate(self.blocks):
                attention = partial(cached_attention, ops=self.ops, cache=cache, layer=layer)
                x = self.ops.block_read(self.ops, block, x, self.config.n_head, attention)  # (B, T, C)
            cache.length += tokens.shape[1]
            return on_host(self.last_logits(x))

    def last_logits(self, x):
        """The logits of what follows the last place.

        x (B, T, C) -> logits (B, V)
        """
        params = self.params
        with self.ops.session(len(x)):  # a place each
            x = x[:, -1:]  # (B, 1, C)
            x, _ = self.ops.layernorm_forward(x, params["ln_f.weight"], params["ln_f.bias"])
            logits, _ = self.ops.unembedding_forward(x, params["wte.weight"])  # (B, 1, V)
        return logits[:, 0]


def cached_attention(qkv, n_head, *, ops, cache, layer):
    """attention_forward for places that see those in the cache too; their keys and values go into it.

    qkv (B, T, 3C) -> y (B, T, C)
    """
    B, T, width = qkv.shape
    q, k, v = qkv.reshape(B, T, 3, n_head, width // 3 // n_head).transpose(2, 0, 3, 1, 4)  # (B, H, T, D) each
    end = cache.length + q.shape[2]
    cache.keys[layer, :, :, cache.length : end] = k
    cache.values[layer, :, :, cache.length : end] = v
    if cache.length == 0 and not cache.pads.any():
        return ops.attention_forward(qkv, n_head)  # nothing but these: what the model itself does
    keys, values = cache.keys[layer, :, :, :end], cache.values[layer, :, :, :end]  # (B, H, S, D)
    # keys first: a matrix times a column, for a single place, is what BLAS shares among its threads
    scores = (keys @ q.swapaxes(-1, -2)).swapaxes(-1, -2) / math.sqrt(q.shape[-1])  # (B, H, T, S)
    if q.shape[2] > 1 or cache.pads.any():  # a single place sees all before it
        hidden = on_device(cache.hidden(q.shape[2]), device_of(scores))  # (B, 1, T, S)
        scores = np.where(hidden, -math.inf, scores)
    return merge_heads(softmax(scores) @ values), None
