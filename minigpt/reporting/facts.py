"""What a run was, in words and tables: its outcome, its settings, the machine."""

import numpy as np

from minigpt.history.frames import known
from minigpt.log import clock
from minigpt.reporting.numbers import counted
from minigpt.reporting.settings import steps_asked

DATA = "State of the Union addresses"  # what a run without --data reads


def lead(history):
    """One sentence: which model, trained how far on what, with which result."""
    about, losses, asked = history.about, known(history, "loss")[1], steps_asked(history)
    last = history.last_step
    steps = f"{last:,} of {counted(asked, 'step')}" if asked and asked != last else counted(last, "step")
    fall = f": from a loss of {losses[0]:.2f} to {losses[-1]:.2f} nats a token" if len(losses) > 1 else ""
    if not about:
        return f"{steps}{fall}."
    size = about["model"].get("parameters")
    text = about["data"].get("name") or about["recipe"].get("data") or DATA
    model = f"A model of {size:,} parameters" if type(size) is int else "A model"
    return f"{model}, trained for {steps} on {text}{fall}."


def figures(history):
    """[[what, how much], ...] of the outcome, as far as the logs know."""
    found = []
    for name, column, form in (
        ("validation loss", "val_loss", "{:.4f}"),
        ("bits a byte", "val_bits_per_byte", "{:.3f}"),
        ("HellaSwag", "hellaswag", "{:.1%}"),
    ):
        values = known(history, column)[1]
        if len(values):
            found.append([name, form.format(values[-1])])
    return found + pace(history)


def pace(history):
    """Tokens, time, speed and price of the training steps."""
    ms, rate = history.train["ms"], history.train["tokens_per_second"]
    there = np.isfinite(ms) & np.isfinite(rate)
    if not there.any():
        return []
    seconds, tokens = ms[there].sum() / 1e3, np.round(ms[there] / 1e3 * rate[there]).sum()
    mfu = known(history, "mfu")[1]
    found = [
        ["tokens trained on", f"{tokens:,.0f}"],
        ["time in steps", clock(seconds)],
        ["speed", f"{tokens / seconds:,.0f} tokens/s"],
    ]
    if len(mfu):
        found.append(["MFU, median", f"{np.median(mfu):.0%}"])
    about = history.about
    price, ranks = about.get("recipe", {}).get("price"), about.get("ops", {}).get("ranks", 1)
    if type(price) in (int, float) and type(ranks) is int:
        found.append(["price of the steps", f"${price * ranks * seconds / 3600:,.2f}"])
    return found


def machine(history):
    """[[what, which], ...] of what it ran on."""
    about = history.about
    here, ops, versions = (about.get(name, {}) for name in ("machine", "ops", "versions"))
    memory, peak = here.get("memory"), here.get("peak_flops")
    found = [
        ["processor", here.get("processor")],
        ["cores", here.get("cores")],
        ["memory", f"{memory / 1e9:.1f} GB" if type(memory) is int else None],
        ["computed by", here.get("computes") or ops.get("device")],
        ["peak", f"{peak / 1e9:,.0f} GFLOP/s in matrix products" if type(peak) is float else None],
        ["threads", ops.get("threads")],
        ["ranks", ops.get("ranks")],
        ["system", here.get("system")],
        *([name, versions.get(name)] for name in ("minigpt", "python", "numpy")),
        ["BLAS", blas(versions.get("thread_pools"))],
    ]
    return [[name, str(value)] for name, value in found if value is not None]


def blas(pools):
    """The libraries that multiply matrices, by name and version."""
    pools = [pool for pool in pools if type(pool) is dict] if type(pools) is list else []
    pools = [pool for pool in pools if pool.get("internal_api") != "openmp"]
    return ", ".join(f"{pool.get('internal_api')} {pool.get('version')}" for pool in pools) or None


def begun(history):
    """[[when, at which step, on what], ...] of every start that is known."""
    return [
        [str(start.get("at", "")), start["step"], str(start["machine"].get("computes", ""))]
        for start in history.starts
        if "at" in start
    ]
