"""The view of a run at the foot of a terminal, redrawn in its place; what is said scrolls away above it.

rich moves the cursor and knows terminals: those that cannot move it (TERM=dumb), or want no colours
(NO_COLOR), their width at this moment, their letters. No thread draws: a run that is busy with a step, a
signal or its end is never interrupted. The cursor is not hidden, so that nothing must be mended after a kill.
"""

import sys
import time

from minigpt.errors import ConfigError

CHOICES = ("auto", "on", "off")
EVERY = 0.1  # seconds between two drawings, at least
COLOURS = ("bold", "green", "dim")  # of the view's lines


def opened(choice, terminal, view):
    """A Live for a terminal, None where lines are better. choice: one of CHOICES."""
    if choice == "off" or (choice == "auto" and not is_terminal(terminal)):
        return None
    try:
        import rich  # noqa: F401
    except ImportError:
        if choice == "auto":
            return None
        raise ConfigError("live: on needs rich: pip install rich, or use --live off") from None
    live = Live(terminal, view, force=choice == "on")
    return live if live.able else None


def is_terminal(file):
    """Whether a file is one; a closed one is none."""
    try:
        return file.isatty()
    except (AttributeError, ValueError, OSError):
        return False


class Live:
    """view: what has lines(width, plain). force: draw even where there seems to be no terminal."""

    def __init__(self, terminal, view, force=False):
        from rich.console import Console

        self.view, self.console = view, Console(file=terminal, force_terminal=force or None, highlight=False)
        self.able = self.console.is_terminal and not self.console.is_dumb_terminal
        self._live, self._drawn = None, -EVERY

    def step(self, step, steps, *about):
        """Take note of a step, and show it; the first and the last at once. about: see View.step."""
        self.view.step(step, steps, *about)
        self.draw(at_once=step == steps)

    def draw(self, at_once=False):
        """Show the view as it is now, unless it has just been shown."""
        if not at_once and time.monotonic() - self._drawn < EVERY:
            return
        if self._live is None:
            self._begin()
        self._live.refresh()
        self._drawn = time.monotonic()

    def _begin(self):
        from rich.live import Live as RichLive

        options = {"auto_refresh": False, "transient": True, "redirect_stdout": False}
        # remarks are printed above, too, if they go to the same place
        options |= {"redirect_stderr": is_terminal(sys.stderr), "vertical_overflow": "crop"}
        self._live = RichLive(self, console=self.console, **options)
        self._live.start()
        self.console.show_cursor(True)

    def say(self, text):
        """A line above the view."""
        from rich.text import Text

        self.console.print(Text(text), soft_wrap=True)

    def close(self):
        """Take the view away; the cursor stands where it began."""
        live, self._live = self._live, None
        if live is not None:
            live.stop()

    def __rich_console__(self, console, options):
        from rich.text import Text

        lines = self.view.lines(max(1, options.max_width - 1), options.ascii_only)
        for line, style in zip(lines, COLOURS, strict=False):
            yield Text(line, style=style, no_wrap=True, overflow="crop")
        yield Text("")  # where a shell's prompt would come to stand, should the run be killed
