"""The mathematics of GPT-2, one forward/backward pair a file: arrays in, arrays out.

Pairs follow one convention. `x_forward(...)` returns its output and a cache; `x_backward(dout, cache)`
returns the gradients of the forward's float arguments, in their order. All are pure: no argument is
written to. They run as they stand on NumPy and on CuPy arrays, in float64 and float32; forwards also in
complex128, because they are analytic functions of their arguments (see tests/support/complex_step.py).

B batch, T time, C channels, H heads, D = C/H, V vocabulary, L layers; N positions in wpe;
I and O a linear layer's inputs and outputs; F = 4C the MLP's width. The gradient of x is dx.
"""

from minigpt.ops.attention import attention_backward, attention_forward
from minigpt.ops.cross_entropy import cross_entropy_backward, cross_entropy_forward
from minigpt.ops.embedding import embedding_backward, embedding_forward
from minigpt.ops.gelu import gelu_backward, gelu_forward
from minigpt.ops.layernorm import layernorm_backward, layernorm_forward
from minigpt.ops.linear import linear_backward, linear_forward
from minigpt.ops.unembedding import unembedding_backward, unembedding_forward

__all__ = [
    "attention_backward",
    "attention_forward",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "embedding_backward",
    "embedding_forward",
    "gelu_backward",
    "gelu_forward",
    "layernorm_backward",
    "layernorm_forward",
    "linear_backward",
    "linear_forward",
    "unembedding_backward",
    "unembedding_forward",
]
