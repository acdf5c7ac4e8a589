"""What made a checkpoint: for people, and for programs that look into a difference. Nothing depends on it."""

import dataclasses
import importlib.metadata
import math
import os
import platform

import numpy as np
from threadpoolctl import threadpool_info

from minigpt.free_memory import all_of_machine

BLAS = ("internal_api", "version", "threading_layer", "architecture", "num_threads")


def provenance(recipe, ops, ranks=1):
    """The whole recipe, what it ran on, and the versions of all that computed."""
    pools = [{key: pool[key] for key in BLAS if key in pool} for pool in threadpool_info()]
    versions = {"python": platform.python_version(), "numpy": np.__version__, "thread_pools": pools}
    versions["minigpt"] = version("minigpt")
    table = {"name": ops.name, "device": recipe.device, "threads": ops.threads}
    table |= {"ranks": ranks, "zero": recipe.zero}
    return {"recipe": dataclasses.asdict(recipe), "ops": table, "versions": versions}


def differences(there, here):
    """What rounds differently here than where a state.json was saved, in words; "" if nothing does."""
    one, other = computed(there), computed(here)
    names = [name for name in other if name in one and one[name] != other[name]]
    return "; ".join(f"{name}: {one[name]} there, {other[name]} here" for name in names)


def computed(about):
    """name -> value, of all that decides in what order a sum is added up."""
    table, versions = about.get("ops"), about.get("versions")
    found = dict(table) if isinstance(table, dict) else {}
    if isinstance(versions, dict):
        found["numpy"] = versions.get("numpy")
        pools = [pool for pool in versions.get("thread_pools") or [] if pool.get("internal_api") != "openmp"]
        found["BLAS"] = sorted(" ".join(str(pool.get(key)) for key in BLAS[:2] + BLAS[3:4]) for pool in pools)
    return found


def machine():
    """The machine that this process runs on: its processor, cores, bytes of memory, system."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    memory = all_of_machine()
    known = None if math.isinf(memory) else memory
    processor = names[0] if names else platform.processor() or platform.machine()
    return {"processor": processor, "cores": os.cpu_count(), "memory": known, "system": platform.platform()}


def version(package):
    """Of an installed package; None where it runs from its sources."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
