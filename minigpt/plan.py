"""What a training run needs and costs, before it is begun: `minigpt plan`."""

import json

from minigpt.planning import memory
from minigpt.planning.asked import asked
from minigpt.planning.groups import groups
from minigpt.planning.speed import flops, mfu
from minigpt.planning.stated import run_of
from minigpt.planning.text import text
from minigpt.screen import say

WAYS = {"plain": (0, False), "recompute": (0, True), "zero": (1, False), "zero, recompute": (1, True)}


def plan(options):
    """Print the plan that the flags ask for. Raises ConfigError."""
    found = planned(options)
    say((json.dumps(found) if options.json else text(found)) + "\n")


def planned(options):
    """The plan as JSON takes it: bytes, seconds, dollars, kilowatt hours; None is unknown."""
    about = asked(options)
    most = memory.largest_batch(about, options.zero, options.recompute)
    run = run_of(about, most)
    return {
        "model": vars(about.config),
        "machine": machine(about),
        "parameters": groups(about.config),
        "memory": taken(about, run),
        "flops_per_token": flops(about),
        "speed": {
            "tokens_per_second": run.tokens_per_second,
            "seconds_per_step": run.tokens_per_step / run.tokens_per_second,
            "mfu": mfu(about, run.tokens_per_second),
            "source": run.source,
        },
        "run": cost(about, run),
        "cache": {
            "float32": memory.cache_bytes(about.config, 4),
            "float16": memory.cache_bytes(about.config, 2),
        },
        "contradictions": run.contradictions,
    }


def machine(about):
    """What one GPU is, and how many there are."""
    there, known = about.memory, about.machine
    return {
        "name": known.name, "gpu": about.options.gpu, "gpus": about.gpus, "dtype": about.dtype,
        "peak": known.peak, "memory": there if there < float("inf") else None, "power": known.power,
        "source": known.source,
    }  # fmt: skip


def taken(about, run):
    """One GPU's memory in the chosen way, and what other ways would take, and have room for."""
    options = about.options
    parts = memory.parts_of(about, run.batch, options.zero, options.recompute)
    ways = {
        name: {
            "bytes": sum(memory.parts_of(about, run.batch, *way).values()),
            "largest_batch": memory.largest_batch(about, *way),
        }
        for name, way in WAYS.items()
    }
    chosen = {"zero": options.zero, "recompute": options.recompute, "batch_size": run.batch}
    return chosen | {"bytes": sum(parts.values()), "parts": memory.grouped(parts), "ways": ways}


def cost(about, run):
    """Time, energy and money of the whole run."""
    hours = run.seconds / 3600
    power, price = about.machine.power, about.price
    return {
        "steps": run.steps, "tokens_per_step": run.tokens_per_step, "micro_batches": run.parts,
        "tokens": run.tokens, "seconds": run.seconds,
        "kilowatt_hours": None if power is None else hours * about.gpus * power / 1e3,
        "price_per_hour": price, "dollars": None if price is None else hours * about.gpus * price,
    }  # fmt: skip
