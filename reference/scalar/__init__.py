"""GPT-2's operations and its optimizer as loops over plain Python numbers: slow, and nothing to get wrong.

Each file is one operation, written from its equation: no arrays, no broadcasting, no cache. A value stands
at x[b][t][c] in nested lists. A backward takes the gradient at the output and the forward's own arguments,
and writes the chain rule out, as the sum over every path, where a program would first simplify it. So a
file here is the specification of a kernel.

    x_forward(arguments...) -> output        x_backward(dout, arguments...) -> gradients

The numbers may be floats, or those of rounding.py, which give the bound for a comparison along with the
result.

B batch, T time, C channels, H heads, D = C/H, V vocabulary; N positions in wpe; I and O a linear layer's
inputs and outputs. The gradient of x is dx.
"""

from reference.scalar.attention import attention_backward, attention_forward
from reference.scalar.cross_entropy import cross_entropy_backward, cross_entropy_forward
from reference.scalar.embedding import embedding_backward, embedding_forward
from reference.scalar.gelu import gelu_backward, gelu_forward
from reference.scalar.layernorm import layernorm_backward, layernorm_forward
from reference.scalar.linear import linear_backward, linear_forward
from reference.scalar.optim import adamw, clip_scale, global_norm
from reference.scalar.unembedding import unembedding_backward, unembedding_forward

__all__ = [
    "adamw",
    "attention_backward",
    "attention_forward",
    "clip_scale",
    "cross_entropy_backward",
    "cross_entropy_forward",
    "embedding_backward",
    "embedding_forward",
    "gelu_backward",
    "gelu_forward",
    "global_norm",
    "layernorm_backward",
    "layernorm_forward",
    "linear_backward",
    "linear_forward",
    "unembedding_backward",
    "unembedding_forward",
]
