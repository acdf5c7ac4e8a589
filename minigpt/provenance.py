"""What made a checkpoint: for people, and for programs that look into a difference. Nothing depends on it."""

import dataclasses
import importlib.metadata
import platform

import numpy as np
from threadpoolctl import threadpool_info

BLAS = ("internal_api", "version", "threading_layer", "architecture", "num_threads")


def provenance(recipe, ops):
    """The whole recipe, what it ran on, and the versions of all that computed."""
    pools = [{key: pool[key] for key in BLAS if key in pool} for pool in threadpool_info()]
    versions = {"python": platform.python_version(), "numpy": np.__version__, "thread_pools": pools}
    versions["minigpt"] = version("minigpt")
    table = {"name": ops.name, "device": recipe.device, "threads": ops.threads}
    return {"recipe": dataclasses.asdict(recipe), "ops": table, "versions": versions}


def version(package):
    """Of an installed package; None where it runs from its sources."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
