"""A plan as text, in 80 columns: a label, right-aligned figures, what there is to know about them."""

import textwrap
from typing import NamedTuple

from minigpt.log import clock
from minigpt.planning.groups import GROUPS
from minigpt.planning.speed import FORMULAS

DAY = 86_400  # seconds
LABEL, FIGURE = 38, 16  # columns, two of which indent the label
NAMES = {"nanogpt": "nanoGPT, PaLM", "llm.c": "llm.c"}
WORK = "gradients on their way, kernels' own"


def text(plan):
    """All of it."""
    blocks = [head(plan), parameters(plan), taken(plan), ways(plan), arithmetic(plan), speed(plan), run(plan),
              cache(plan)]  # fmt: skip
    if plan["contradictions"]:
        blocks.insert(1, "\n".join(folded(f"contradiction: {one}") for one in plan["contradictions"]))
    return "\n\n".join(blocks)


def head(plan):
    """Model and machines."""
    model, machine, chosen = plan["model"], plan["machine"], plan["memory"]
    figures = folded(f"of {machine['name']}: {machine['source']}")
    return (
        f"{model['n_layer']} layers, {model['n_head']} heads, {model['n_embd']} channels, "
        f"context {model['n_ctx']}, vocabulary {model['n_vocab']}\n"
        f"on {machine['gpus']} x {machine['name']} in {machine['dtype']}, "
        f"{machine['peak'] / 1e12:,.4g} TFLOP/s each; "
        f"{plan['run']['micro_batches']} x {chosen['batch_size']} windows a step on each\n{figures}"
    )


def parameters(plan):
    """By tensor group."""
    total = sum(plan["parameters"].values())
    rows = [row(GROUPS[name], f"{n:,}", f"{n / total:6.1%}") for name, n in plan["parameters"].items()]
    return "\n".join(["parameters", *rows, row("in all", f"{total:,}")])


def taken(plan):
    """The memory of one GPU, part by part, at the peak of a step."""
    found, there = plan["memory"], plan["machine"]["memory"]
    parts, unit = found["parts"], unit_of(plan)
    named = dict(parts["always"])
    named |= {f"activations: {name}": n for name, n in parts["activations"].items()}
    named |= {f"attention: {name}": n for name, n in parts["attention"].items()}
    named |= {"logits": parts["logits"]}
    named |= {WORK if name == "work" else name: n for name, n in parts["other"].items()}
    rows = [row(name, unit.of(n)) for name, n in named.items()]
    verdict = "fits" if there is None or found["bytes"] <= there else "DOES NOT FIT"
    remark = "" if there is None else f"of {unit.of(there)}: {verdict}"
    title = f"memory of one in {unit.name}, at the peak of a step with micro-batches of {found['batch_size']}"
    return "\n".join([title, *rows, row("in all", unit.of(found["bytes"]), remark)])


class Unit(NamedTuple):
    """Of memory: how it is called, how many bytes it has, how many decimals are shown."""

    name: str
    size: float
    decimals: int

    def of(self, n):
        """Bytes in it."""
        return f"{n / self.size:,.{self.decimals}f}"


def unit_of(plan):
    """One unit for all, so that figures stand below each other."""
    return Unit("GB", 1e9, 2) if plan["memory"]["bytes"] > 4e9 else Unit("MB", 1e6, 1)


def ways(plan):
    """Totals, and the largest micro-batch that fits, in four ways."""
    found, gpus, unit = plan["memory"]["ways"], plan["machine"]["gpus"], unit_of(plan)
    lines = [
        f"{f'in {unit.name} (largest micro-batch)':{LABEL}s}{'as minigpt does':>18s}{'recomputing *':>20s}"
    ]
    names = {
        "all moments on every rank": ("plain", "recompute"),
        f"ZeRO-1: moments shared by {gpus}": ("zero", "zero, recompute"),
    }
    for label, pair in names.items():
        cells = [cell(found[name], unit) for name in pair]
        lines.append(f"  {label:{LABEL - 2}s}{cells[0]:>18s}{cells[1]:>20s}")
    return "\n".join([*lines, "  * predicted only: minigpt cannot recompute activations"])


def cell(way, unit):
    """A total, and what fits."""
    largest = "?" if way["largest_batch"] is None else way["largest_batch"] or "none"
    return f"{unit.of(way['bytes'])} ({largest})"


def arithmetic(plan):
    """Floating-point operations a token."""
    padded = {"llm.c": "; V padded to 128s"} if plan["model"]["n_vocab"] % 128 else {}
    rows = [
        row(f"{NAMES[name]}: {FORMULAS[name]}", f"{n / 1e6:,.1f}", f"MFLOP{padded.get(name, '')}")
        for name, n in plan["flops_per_token"].items()
    ]
    return "\n".join(["arithmetic of a token, forward and backward, as counted by", *rows])


def speed(plan):
    """Tokens a second, and the share of the peak."""
    found = plan["speed"]
    rows = [row("tokens/s, of all together", f"{found['tokens_per_second']:,.0f}")]
    rows.append(row("a step", f"{found['seconds_per_step']:,.3f}", "s"))
    rows += [row(f"MFU by {NAMES[name]}", f"{share:.1%}") for name, share in found["mfu"].items()]
    return "\n".join(["speed", *rows, folded(found["source"], "  ")])


def run(plan):
    """Steps, time, energy, price."""
    found, machine = plan["run"], plan["machine"]
    rows = [row("steps", f"{found['steps']:,}", f"of {found['tokens_per_step']:,} tokens")]
    rows.append(row("tokens", f"{found['tokens']:,}"))
    rows.append(row("time", span(found["seconds"])))
    energy, price = found["kilowatt_hours"], found["dollars"]
    if energy is None:
        rows.append(row("energy", "?", "unknown"))
    else:
        boards = f"boards at {machine['power']:g} W"
        rows.append(row("energy", f"{energy:,.3g}" if energy < 10 else f"{energy:,.0f}", f"kWh ({boards})"))
    if price is None:
        rows.append(row("price", "?", "unknown: give --price"))
    else:
        each = f"at ${found['price_per_hour']:.2f} an hour each"
        rows.append(row("price", f"${price:,.2f}" if price < 10 else f"${price:,.0f}", each))
    return "\n".join(["the run", *rows])


def cache(plan):
    """What generation keeps."""
    context = plan["model"]["n_ctx"]
    rows = [
        row(f"in {name}", f"{n:,}", f"bytes; {context:,}: {n * context / 1e6:,.1f} MB")
        for name, n in plan["cache"].items()
    ]
    return "\n".join(["keys and values that generation keeps of one text: of a token, of all", *rows])


def row(label, figure, remark=""):
    """A line of a table."""
    return f"  {label:{LABEL - 2}s}{figure:>{FIGURE}s} {remark}".rstrip()


def span(seconds):
    """9m20s, 1h34m or 5.6 days."""
    return f"{seconds / DAY:,.1f} days" if seconds >= 2 * DAY else clock(seconds)


def folded(sentence, indent=""):
    """In lines of 78 characters."""

    return textwrap.fill(sentence, 78, initial_indent=indent, subsequent_indent=indent + "  ")
