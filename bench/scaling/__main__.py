"""python -m bench.scaling: step time and efficiency of data-parallel training on 1 to 1,024 ranks, on paper.

Nothing is run. docs/scaling.md says how it is computed, and how far the figures that are known were missed.
"""

import dataclasses
import json
import sys

import tyro

from bench.scaling.forecast import forecast
from bench.scaling.table import check_table, head, table
from minigpt.config import PRESETS, number_between, whole_between
from minigpt.errors import ConfigError
from minigpt.gpus import GIGABIT, MACHINES
from minigpt.planning.compute import WIDTHS
from minigpt.planning.exchange import WAYS


@dataclasses.dataclass(frozen=True)
class Options:
    """Predict steps of a published recipe on many ranks; price the run."""

    model: str = "gpt2"
    """gpt2, gpt2-medium, gpt2-large or gpt2-xl."""
    gpu: str = "h100"
    """h100, h200, a100, 4090, or cpu (two cores a rank)."""
    ranks: str = "1,2,4,...,1024"
    """Numbers of ranks; ... goes on doubling. Beyond one node, whole nodes."""
    tokens_per_step: int | None = None
    """Tokens in one optimizer step. None: the recipe's."""
    batch_size: int | None = None
    """Windows in a micro-batch at most. None: the published run's, or what fits into memory."""
    zero: int = 0
    """1: each rank updates its own shard (ZeRO-1)."""
    gradients: str = "float32"
    """float32 or bfloat16: in what gradients are exchanged."""
    way: str = "nccl"
    """nccl (the faster of ring and tree) or two-level (inside nodes, then between them)."""
    gigabits: float | None = None
    """Gb/s between nodes, of one node. None: the vendor's own."""
    price: float | None = None
    """Dollars an hour a rank. None: a published one, where there is one."""
    check: bool = False
    """Show what is predicted for runs that were measured, and nothing else."""
    json: bool = False
    """Print JSON."""
    plot: str | None = None
    """Draw the table into this file, .svg or .png."""


def main(arguments=None):
    options = tyro.cli(
        Options, prog="python -m bench.scaling", args=arguments, config=(tyro.conf.FlagCreatePairsOff,)
    )
    try:
        if options.check:
            print(check_table())
            return 0
        found = forecast(*asked(options))
        print(json.dumps(dataclasses.asdict(found)) if options.json else f"{head(found)}\n\n{table(found)}")
        if options.plot:
            from bench.scaling.picture import draw

            draw(found, options.plot)
    except (ConfigError, OSError) as error:
        print(f"python -m bench.scaling: {error}", file=sys.stderr)
        return 2
    return 0


def asked(options):
    """The arguments of forecast, each checked."""
    one_of("--model", options.model, PRESETS)
    one_of("--gpu", options.gpu, MACHINES)
    one_of("--gradients", options.gradients, WIDTHS)
    one_of("--way", options.way, WAYS)
    whole_between("--zero", options.zero, 0, 1)
    machine = MACHINES[options.gpu]
    if options.gigabits is not None:
        share = number_between("--gigabits", options.gigabits, 1e-3, 1e6) * GIGABIT / machine.node
        machine = dataclasses.replace(machine, network=share)
    if options.price is not None:
        machine = dataclasses.replace(machine, price=number_between("--price", options.price, 0, 1e6))
    for name in ("tokens_per_step", "batch_size"):
        if (given := getattr(options, name)) is not None:
            whole_between("--" + name.replace("_", "-"), given, 1)
    if options.plot is not None and not options.plot.endswith((".svg", ".png")):
        raise ConfigError(f"--plot: expected a file that ends in .svg or .png, found {options.plot!r}")
    ranks = counted(options.ranks, machine.node)
    choices = {name: getattr(options, name) for name in ("zero", "gradients", "way")}
    return options.model, options.gpu, machine, ranks, options.tokens_per_step, options.batch_size, choices


def one_of(flag, value, known):
    if value not in known:
        raise ConfigError(f"{flag}: expected one of {', '.join(known)}, found {value!r}")


def counted(text, node):
    """The numbers that --ranks means: "1,2,...,8" -> [1, 2, 4, 8]."""
    found, going_on = [], False
    for item in text.split(","):
        if item.strip() == "..." and found and not going_on:
            going_on = True
            continue
        if not item.strip().isascii() or not item.strip().isdigit():
            raise ConfigError(f"--ranks: expected whole numbers and commas, found {item!r} in {text!r}")
        last = whole_between("--ranks", int(item), 1, 1024)
        while going_on and 2 * found[-1] < last:
            found.append(2 * found[-1])
        found, going_on = [*found, last], False
    if going_on:
        raise ConfigError(f"--ranks: expected a number after ..., found {text!r}")
    if split := [n for n in found if n > node and n % node]:
        raise ConfigError(f"--ranks: a node has {node}; expected whole nodes beyond one, found {split[0]}")
    return found


if __name__ == "__main__":
    sys.exit(main())
