"""The ops tables that are compared with each other."""

from bench.gpu.setting import trainer

USUAL, LIBRARIES = "fast", "cublaslt + cudnn"  # what is taken if nothing is said; what NVIDIA's libraries can
# name -> what Trainer is given
TABLES = {
    USUAL: {},
    "scores": {"attention": "scores"},
    "cudnn": {"attention": "cudnn"},
    "cublaslt": {"products": "cublaslt"},
    LIBRARIES: {"products": "cublaslt", "attention": "cudnn"},
    "float32": {"dtype": "float32"},
    "tf32": {"dtype": "float32", "tf32": True},
    "reference": {"dtype": "float32", "ops": "reference"},
}
WIDE = ("float32", "tf32", "reference")  # of which the smallest batch is enough


def chosen(smallest):
    """The names of the tables for a batch."""
    return [name for name in TABLES if smallest or name not in WIDE]


def trainer_of(name, config, params=None, **options):
    """A trainer with the table. Raises ConfigError if a library that it needs is missing."""
    return trainer(config, params=params, **TABLES[name] | options)
