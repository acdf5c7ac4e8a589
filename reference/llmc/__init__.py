"""GPT-2 as train_gpt2.c of karpathy/llm.c tells it: 23 activations and 16 parameters, all of them kept.

Written for looking inside: `run` returns every tensor of a forward and a backward pass, in the order in
which they come to be, in plain NumPy and float64. The formulas take an `arithmetic`, which says how sums and
products round and sees every tensor as it is born, so that the same text also runs in an emulated precision
(reference/budgets.py) or with one tensor nudged (tests/reference/test_activations.py); and a `table` of
operations, in which a fault can be planted (reference/diff/faults.py).

B batch, T time (S: the time that is looked at), C channels, H heads, D = C/H, F = 4C, V vocabulary,
N positions, L layers. Weights stand (out, in). The gradient of x is dx. A tensor's key is (name, layer),
layer None outside the blocks.
"""

from reference.llmc.model import EXACT, Exact, run
from reference.llmc.names import ACTIVATIONS, PARAMETERS, Inputs, Sizes

__all__ = ["ACTIVATIONS", "EXACT", "PARAMETERS", "Exact", "Inputs", "Sizes", "run"]
