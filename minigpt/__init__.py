"""minigpt: GPT-2 by hand on NumPy and CuPy. Start reading at minigpt/train.py.

A name is imported when it is first asked for: a program begins before NumPy is there, so that Ctrl-C finds
somebody there.
"""

import importlib

from minigpt.blas import choose_kernels

__version__ = "0.1.0"

HOMES = {
    "api": ("init_params", "logits", "loss_and_grads"),
    "config": ("PRESETS", "GPTConfig"),
    "errors": (
        "CheckpointError", "CommError", "ConfigError", "DataError", "MinigptError", "NumericsError"
    ),
    "sample": ("generate", "generate_batch"),
    "shards": ("TokenShards",),
    "tokenizer": ("Tokenizer",),
    "trainer": ("Trainer",),
    "weights": ("load_weights", "save_weights"),
}  # fmt: skip
HOME_OF = {name: home for home, names in HOMES.items() for name in names}
__all__ = sorted(HOME_OF)
choose_kernels()


def __getattr__(name):
    """A public name, from the file where it is at home; or a file that holds public names."""
    if name in HOMES:
        return importlib.import_module(f"minigpt.{name}")
    if name not in HOME_OF:
        raise AttributeError(f"module 'minigpt' has no attribute {name!r}")
    return getattr(importlib.import_module(f"minigpt.{HOME_OF[name]}"), name)


def __dir__():
    return [*globals(), *__all__]
