"""A forecast as a picture: what a step is made of on so many ranks, and what share of the ranks is of use."""

import json

from bench.scaling.forecast import efficiency
from minigpt.errors import ConfigError

SALT = "minigpt"  # the same forecast gives the same names inside the file


def draw(found, path):
    """Write the picture; an .svg carries its numbers in its description. Raises ConfigError, OSError."""
    try:
        import matplotlib
        from matplotlib.figure import Figure
    except ImportError:
        raise ConfigError("--plot needs matplotlib: pip install 'minigpt[plot]'") from None
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": SALT, "font.size": 9}):
        figure = Figure(figsize=(8, 3.2), layout="constrained")
        parts, use = figure.subplots(1, 2)
        draw_parts(found, parts)
        draw_use(found, use)
        words = {"Description": described(found), "Date": None} if path.endswith(".svg") else {}
        figure.savefig(path, metadata=words)


def draw_parts(found, axes):
    """Milliseconds of the step whose batch is shared out, one part on the other."""
    steps = [many for many in found.strong if many]
    places, below = range(len(steps)), [0.0] * len(steps)
    for name in ("compute", "update", "exposed"):
        heights = [1e3 * getattr(many, name) * many.ranks for many in steps]
        label = "exchange, exposed" if name == "exposed" else name
        axes.bar(places, heights, bottom=below, label=label, width=0.8)
        below = [low + height for low, height in zip(below, heights, strict=True)]
    axes.set_xticks(places, [str(many.ranks) for many in steps])
    axes.set(title=f"{found.model} on {found.machine.name}, one batch shared out", xlabel="ranks")
    axes.set_ylabel("ms x ranks")
    axes.legend(frameon=False, loc="upper left")


def draw_use(found, axes):
    """Efficiency, both ways."""
    for name, steps in (("batch shared out", found.strong), ("batch grows", found.weak)):
        known = [many for many in steps if many]
        heights = [efficiency(found.one, many) for many in known]
        axes.plot([many.ranks for many in known], heights, marker="o", markersize=3, label=name)
    axes.set_xscale("log", base=2)
    axes.set_xticks(found.ranks, [str(ranks) for ranks in found.ranks])
    axes.set(title="efficiency against one rank", xlabel="ranks", ylim=(0, 1.05))
    axes.legend(frameon=False, loc="lower left")


def described(found):
    """The numbers of the picture, as JSON: what a test, or one who cannot see it, reads."""
    rows = [
        {
            "ranks": n,
            "strong ms": many and round(1e3 * many.seconds, 2),
            "weak ms": round(1e3 * grown.seconds, 2),
        }
        for n, many, grown in zip(found.ranks, found.strong, found.weak, strict=True)
    ]
    return json.dumps({"model": found.model, "machine": found.machine.name, "rows": rows})
