"""The ops tables that are timed against each other. What cannot be had here is listed as not installed."""

from bench.gpu.setting import trainer
from minigpt.errors import ConfigError

# name -> what Trainer is given; the table that is taken if nothing is said comes first
TABLES = {
    "fast": {},
    "scores": {"attention": "scores"},
    "tiles": {"attention": "tiles"},
    "cudnn": {"attention": "cudnn"},
    "cublaslt": {"products": "cublaslt"},
    "cublaslt + cudnn": {"products": "cublaslt", "attention": "cudnn"},
    "float32": {"dtype": "float32"},
    "tf32": {"dtype": "float32", "tf32": True},
    "reference": {"dtype": "float32", "ops": "reference"},
}
WIDE = ("float32", "tf32", "reference")  # of which the smallest batch is enough


def chosen(smallest):
    """The names of the tables for a batch."""
    return [name for name in TABLES if smallest or name not in WIDE]


def trainer_of(name, config, params=None):
    """A trainer with the table, or None if kernels.table does not know it or a package of it is missing."""
    try:
        return trainer(config, params=params, **TABLES[name])
    except (ConfigError, ImportError):
        return None
