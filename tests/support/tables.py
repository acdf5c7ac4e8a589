"""The reference ops table: what the model and the training step call for each operation."""

from types import SimpleNamespace

from minigpt import ops, optim


def reference_table(**replacements):
    """The functions of minigpt.ops and minigpt.optim, some of them replaced by name."""
    functions = {name: getattr(ops, name) for name in ops.__all__}
    functions |= {"global_norm": optim.global_norm, "adamw": optim.adamw}
    return SimpleNamespace(**(functions | replacements))
