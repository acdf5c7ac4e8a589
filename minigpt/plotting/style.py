"""What a picture is drawn in, on white and on black; colours that most colour-blind eyes tell apart."""

from typing import NamedTuple

MADE_BY = "made by minigpt plot"  # stands in every picture: it may be replaced by a newer one


class Colours(NamedTuple):
    """paper, ink, soft (what is secondary), grid; runs: one a run, then again from the first."""

    paper: str
    ink: str
    soft: str
    grid: str
    runs: tuple


LIGHT = Colours(
    "#ffffff", "#1f2023", "#5f5e5a", "#e6e3dc",
    ("#1d5fa8", "#c8501e", "#23824a", "#8b3fa0", "#a97a00", "#0f8c9c", "#c2326b", "#6a6f78"),
)  # fmt: skip
DARK = Colours(
    "#15171b", "#e7e5e0", "#a3a29d", "#2a2e35",
    ("#7db4f5", "#f3935f", "#78cf97", "#d19ae6", "#e5bf56", "#63d0de", "#f590b6", "#b4b8c0"),
)  # fmt: skip


def style(colours):
    """matplotlib's settings. svg.fonttype none: text stays text."""
    return {
        "svg.fonttype": "none", "svg.hashsalt": "minigpt", "font.size": 9.5, "font.family": "DejaVu Sans",
        "figure.facecolor": colours.paper, "axes.facecolor": colours.paper, "axes.edgecolor": colours.soft,
        "axes.labelcolor": colours.soft, "text.color": colours.ink, "xtick.color": colours.soft,
        "ytick.color": colours.soft, "axes.grid": True, "grid.color": colours.grid, "grid.linewidth": 0.7,
        "axes.spines.top": False, "axes.spines.right": False, "axes.axisbelow": True, "axes.linewidth": 0.7,
        "axes.titlelocation": "left", "axes.titlesize": 10.5, "legend.frameon": False,
        "lines.solid_capstyle": "round", "axes.xmargin": 0.01, "text.parse_math": False,
    }  # fmt: skip
