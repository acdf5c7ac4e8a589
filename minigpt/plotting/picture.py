"""The picture: the loss above, below it whatever else the logs hold."""

import io
from typing import NamedTuple

import numpy as np

from minigpt.errors import ConfigError
from minigpt.history.frames import frame_of_losses, known, top_of_norms
from minigpt.history.references import CHANCE, HELLASWAG, LOSSES
from minigpt.history.smooth import mean_around, usual_width
from minigpt.plotting.style import DARK, LIGHT, MADE_BY, style

try:
    import matplotlib
    from matplotlib.figure import Figure
    from matplotlib.ticker import FuncFormatter, MaxNLocator, PercentFormatter
except ImportError:
    raise ConfigError("plot needs matplotlib: pip install 'minigpt[plot]'") from None

SIZE, DPI = (10, 6.4), 160  # inches, dots an inch
SMALL = {
    "hellaswag": "HellaSwag, acc_norm",
    "norm": "gradient norm",
    "lr": "learning rate",
    "tokens_per_second": "tokens a second",
}
MARGIN = 0.05  # of the frame's height
MANY = 30  # points that are drawn small


class Asked(NamedTuple):
    """How to draw."""

    axis: str  # what x is
    smooth: int | None
    corpus: str | None  # whose losses to draw beside
    dark: bool


def drawn(runs, asked, kind):
    """The bytes of a picture. runs: (name, History, steps -> places); kind: png or svg."""
    colours = DARK if asked.dark else LIGHT
    words = {"Description": MADE_BY} | ({"Date": None} if kind == "svg" else {"Software": None})
    with matplotlib.rc_context(style(colours)):
        figure = Figure(figsize=SIZE, layout="constrained")
        below = [name for name in SMALL if any(len(known(run, name)[0]) for _, run, _ in runs)]
        rows = [["loss"] * max(1, len(below)), *([below] if below else [])]
        axes = figure.subplot_mosaic(rows, height_ratios=[2.1, 1][: len(rows)])
        notes = list(draw_loss(axes["loss"], runs, asked, colours))
        for name in below:
            draw_small(axes[name], name, runs, asked, colours)
        figure.supxlabel("; ".join(notes), x=0.99, ha="right", fontsize=7.5, color=colours.soft)
        file = io.BytesIO()
        figure.savefig(file, format=kind, dpi=DPI, metadata=words)
    return file.getvalue()


def draw_loss(axes, runs, asked, colours):
    """Training losses as lines, faint before they are smoothed; validations as points.

    Yields what has been done to the numbers, and what lines stand for.
    """
    alone, widths = len(runs) == 1, set()
    for number, (name, history, place) in enumerate(runs):
        colour = colours.runs[number % len(colours.runs)]
        label = "training" if alone else with_score(name, history)
        widths.add(draw_line(axes, history, "loss", place, asked, colour, label))
        draw_points(axes, history, place, colours.runs[1] if alone else colour, colours.paper, alone)
    scores = LOSSES.get(asked.corpus, {})
    draw_references(axes, scores, colours, "{} {:.3f}")
    above = frame_losses(axes, runs, min(scores.values(), default=np.inf))
    axes.set(title=f"loss, nats a token{': ' + runs[0][0] if alone else ''}", xlabel=asked.axis)
    plain_ticks(axes, 8)
    axes.legend(loc="upper right", handlelength=1.4)
    if max(widths) > 1:
        each = f"{min(widths)} to {max(widths)}" if len(widths) > 1 else f"{max(widths)}"
        yield f"lines are means of {each} steps, faint: each step"
    if not alone:
        yield "points: validation"
    if above:
        yield "the first steps are above the frame"
    if scores:
        yield f"dashed: OpenAI's GPT-2 on {asked.corpus}'s validation shard, windows of 1,024"


def with_score(name, history):
    """A run's name and its last validation."""
    scores = known(history, "val_loss")[1]
    return f"{name}: {scores[-1]:.4f}" if len(scores) else name


def draw_points(axes, history, place, colour, paper, alone):
    """Validations; of a run alone, the last one's number beside it."""
    steps, losses = known(history, "val_loss")
    size = 5 if len(steps) <= MANY else 3
    axes.plot(
        place(steps), losses, color=colour, marker="o", markersize=size, markeredgecolor=paper,
        markeredgewidth=0.6, linewidth=1, linestyle=(0, (1, 1.6)), zorder=4,
        label="validation" if alone and len(steps) else None,
    )  # fmt: skip
    if alone and len(steps):
        end = place(steps)[-1], losses[-1]
        axes.annotate(f"{losses[-1]:.4f}", end, (0, 8), textcoords="offset points", ha="right", color=colour,
                      fontweight="bold", zorder=5)  # fmt: skip


def draw_line(axes, history, name, place, asked, colour, label=None):
    """What each training step noted, smoothed; how many steps each mean is of."""
    steps, values = known(history, name)
    width = (asked.smooth or usual_width(len(steps))) // 2 * 2 + 1  # as many on either side
    if width > 1:
        axes.plot(place(steps), values, color=colour, alpha=0.22, linewidth=0.7, zorder=2)
    axes.plot(place(steps), mean_around(values, width), color=colour, linewidth=1.5, label=label, zorder=3)
    return width


def draw_small(axes, name, runs, asked, colours):
    """One of the pictures below."""
    axes.set_title(SMALL[name])
    plain_ticks(axes, 4)
    for number, (_, history, place) in enumerate(runs):
        colour = colours.runs[number % len(colours.runs)]
        steps, values = known(history, name)
        if name == "hellaswag":
            axes.plot(place(steps), values, color=colour, marker="o", markersize=2.5, linewidth=1)
        elif name == "lr":
            axes.plot(place(steps), values, color=colour, linewidth=1.5)
        else:
            draw_line(axes, history, name, place, asked, colour)
    if name == "hellaswag":
        draw_references(axes, HELLASWAG | {"chance": CHANCE}, colours, "{}")
        axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    elif name == "norm":
        frame_norms(axes, runs)
    else:
        axes.set_ylim(bottom=0)
        axes.yaxis.set_major_formatter(FuncFormatter(short))


def frame_losses(axes, runs, lowest):
    """Leave the runs' beginnings out of the frame; whether they are. lowest: what is to be in it, too."""
    curves = [known(history, name) for _, history, _ in runs for name in ("loss", "val_loss")]
    if not (found := frame_of_losses(curves)):
        return False
    low, top, above = found
    low = min(low, lowest)
    margin = MARGIN * (top - low) or 1.0
    axes.set_ylim(low - margin, top + margin)
    return above


def frame_norms(axes, runs):
    """Leave spikes out of the frame, and say how high they are."""
    norms = np.concatenate([known(history, "norm")[1] for _, history, _ in runs])
    if (top := top_of_norms(norms)) < norms.max():
        axes.set_title(f"{SMALL['norm']}, up to {norms.max():.3g}")
    axes.set_ylim(0, top * (1 + MARGIN) or 1.0)


def draw_references(axes, scores, colours, form):
    """Dashed lines at known scores, their names as a staircase."""
    for number, (name, score) in enumerate(scores.items()):
        axes.axhline(score, color=colours.soft, linewidth=0.8, linestyle=(0, (5, 3)), zorder=1)
        place = 30 + (58 if ":" in form else 26) * number
        axes.annotate(
            form.format(name, score), (0, score), (place, 0), xycoords=("axes fraction", "data"),
            textcoords="offset points", va="center", color=colours.soft, fontsize=7.5, zorder=1.5,
            bbox={"facecolor": colours.paper, "edgecolor": "none", "pad": 1.5},
        )  # fmt: skip


def plain_ticks(axes, most):
    """Few numbers, 20k for 20,000."""
    axes.xaxis.set_major_locator(MaxNLocator(most, steps=[1, 2, 2.5, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(short))


def short(number, _=None):
    """A tick's number: 1.5B, 20k, 0.0006."""
    for size, letter in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(number) >= size:
            return f"{number / size:g}{letter}"
    return f"{number:g}"
