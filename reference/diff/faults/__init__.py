"""The catalogue: mistakes that people make in GPT-2, as the operations of reference/llmc that they change.

A fault is planted in all layers, or in one; the model is then run from the same inputs and compared with what
somebody's program computed. Where a mistake is in a forward operation there are often two entries: programs
that differentiate by machine go backward through the mistake, hand-written ones by the right formula.
"""

from reference.diff.faults.attention import attention_faults
from reference.diff.faults.fault import CHAINED, Fault, table_of
from reference.diff.faults.gelu import gelu_faults
from reference.diff.faults.layernorm import layernorm_faults
from reference.diff.faults.loss import accumulation_faults, loss_faults
from reference.diff.faults.order import order_faults, weight_faults
from reference.diff.faults.streams import residual_faults, tie_faults

__all__ = ["CHAINED", "Fault", "catalogue", "table_of"]


def catalogue(sizes, targets):
    """Every fault that a model and batch of these sizes can have."""
    faults = [
        *gelu_faults(),
        *attention_faults(),
        *order_faults(),
        *weight_faults(),
        *layernorm_faults(sizes),
    ]
    return [
        *faults,
        *residual_faults(),
        *loss_faults(targets),
        *tie_faults(),
        *accumulation_faults(sizes.B),
    ]
