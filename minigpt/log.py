"""What a run writes while it goes: one line a step on the terminal, and files for other programs."""

import contextlib
import datetime
import errno
import json
import math
import os
import sys
from pathlib import Path

from minigpt.disk import write_all
from minigpt.screen import open_screen, tell
from minigpt.system import BYTES

GONE = (errno.EPIPE, errno.EIO)  # writing to a pipe that nobody reads, to a terminal that was closed
LONGEST = 2**20  # bytes of a line, at most


class Log:
    """The terminal, main.log in llm.c's grammar, metrics.jsonl in full precision, samples.txt, and for the
    report layers.jsonl and starts.jsonl.

    Files are appended to: after a resume, later lines win. A disk that takes no line is warned of once and
    does not end the run; nor does a terminal that has gone, of which on_gone() is told.
    """

    def __init__(self, out, terminal=None, on_gone=lambda: None):
        if terminal is None and sys.stdout:
            open_screen()
        self.out, self.terminal, self.on_gone = Path(out), terminal or sys.stdout, on_gone
        self.gone = False  # whether nobody reads the terminal any more
        self.live = None  # a view at the terminal's foot, instead of a line a step; see watch.py
        self.boards = []  # who else is told of numbers and samples
        self._failed, self._mended = set(), set()  # what could not be written; what ends with a whole line

    def say(self, text=""):
        """A line for the person at the terminal."""
        self._show(lambda: self._put(text), text)

    def _put(self, text):
        if self.live:
            self.live.say(text)
        else:
            print(text, file=self.terminal, flush=True)

    def _show(self, put, text=""):
        """Carry out what writes to the terminal, and outlive its end. text: what is written."""
        try:
            put()
        except UnicodeEncodeError as error:  # a terminal that was handed in, in which é has no letter
            self.say(text.encode(error.encoding, "backslashreplace").decode(error.encoding))
        except (OSError, ValueError) as error:
            if getattr(error, "errno", errno.EPIPE) in GONE:
                self._leave_terminal()
            else:
                self._warn_once("standard output", error)

    def warn(self, text):
        """A line on standard error."""
        with contextlib.suppress(OSError, ValueError):
            tell(f"minigpt: {text}")

    def step(self, step, steps, report, seconds, waited, tokens, mfu, left, spent=None):
        """One optimizer step; seconds in all, of which it waited for its batches; spent: dollars so far."""
        rate = tokens / seconds
        line = (
            f"step {step:>{len(str(steps))}}/{steps} | loss {report.loss:.4f} | norm {report.norm:.2f} | "
            f"lr {report.lr:.2e} | {seconds * 1e3:.0f} ms | {rate:,.0f} tok/s | mfu {mfu:.0%} | "
            f"{clock(left)} left"
        )
        if self.live:
            self._show(lambda: self.live.step(step, steps, report, seconds, tokens, mfu, left, spent))
        else:
            self.say(line)
        self._append("main.log", f"s:{step} trl:{report.loss:.4f} lr:{report.lr:.6f} norm:{report.norm:.2f}")
        numbers = {"step": step, "loss": report.loss, "norm": report.norm, "lr": report.lr}
        times = {"ms": seconds * 1e3, "wait_ms": waited * 1e3, "tokens_per_second": rate, "mfu": mfu}
        self._metrics(numbers | times)

    def validation(self, step, steps, score):
        """A score on held-out text."""
        self.say(
            f"step {step:>{len(str(steps))}}/{steps} | validation {score.nats_per_token:.4f} nats a token | "
            f"{score.bits_per_byte:.3f} bits a byte"
        )
        self._append("main.log", f"s:{step} tel:{score.nats_per_token:.4f}")
        numbers = {"step": step, "val_loss": score.nats_per_token, "val_bits_per_byte": score.bits_per_byte}
        self._metrics(numbers)

    def sample(self, step, text):
        """What the model writes at this step."""
        self.say(f"--- sample at step {step}: {text!r}")
        self._append("samples.txt", f"step {step}: {text!r}")
        for board in self.boards:
            board.text(step, text)

    def start(self, about):
        """What a process begins to train, or goes on with, and on what machine: a line of starts.jsonl."""
        now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._append("starts.jsonl", json.dumps({"at": now} | about))

    def layers(self, step, lengths):
        """How long gradient, weights and update of each part are, to six digits; see layers.py."""
        rounded = {part: [in_json(float(f"{n:.6g}")) for n in three] for part, three in lengths.items()}
        self._append("layers.jsonl", json.dumps({"step": step, "layers": rounded}))

    def close(self):
        """Take the view off the terminal, and leave the boards; nothing is written after it."""
        if self.live:
            self._show(self.live.close)
        for board in self.boards:
            board.close()
        self.live, self.boards = None, []

    def _metrics(self, numbers):
        for board in self.boards:
            board.scalars(numbers["step"], {name: n for name, n in numbers.items() if name != "step"})
        self._append("metrics.jsonl", json.dumps({name: in_json(n) for name, n in numbers.items()}))

    def _append(self, name, line):
        if name not in self._mended:
            self._mended.add(name)
            mend(self.out / name)
        try:
            append(self.out / name, (line + "\n").encode())
        except OSError as error:
            self._warn_once(self.out / name, error)

    def _warn_once(self, what, error):
        if what not in self._failed:
            self._failed.add(what)
            self.warn(f"{what}: not written: {error.strerror or error}; the run goes on without these lines")

    def _leave_terminal(self):
        """Write on to nowhere; what Python still holds for the terminal goes there too."""
        live, self.live = self.live, None
        if live:
            with contextlib.suppress(OSError, ValueError):
                live.close()
        if self.terminal is sys.stdout:
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        self.terminal, self.gone = open(os.devnull, "w", encoding="utf-8"), True
        self.on_gone()


class Nobody(Log):
    """The log of a rank that is not the first: all that it would say, rank 0 says."""

    def say(self, text=""):
        """Nothing."""

    warn = say

    def _append(self, name, line):
        pass


def in_json(number):
    """A number as JSON has it; it has none for nan and inf, which become strings."""
    return number if math.isfinite(number) else repr(float(number))


def append(path, content):
    """Add whole lines to the end of a file, or nothing."""
    file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | BYTES, 0o666)
    try:
        size = os.fstat(file).st_size
        try:
            write_all(file, content)
        except OSError:
            with contextlib.suppress(OSError):  # a device has no size
                os.ftruncate(file, size)
            raise
    finally:
        os.close(file)


def mend(path):
    """Cut off what stands behind the last whole line of a file: a power cut may have left a part of one."""
    with contextlib.suppress(OSError):
        size = path.stat().st_size if path.is_file() else 0
        if size:
            with open(path, "rb") as file:
                file.seek(max(0, size - LONGEST))
                end = file.read()
            os.truncate(path, size - len(end) + end.rfind(b"\n") + 1)


def clock(seconds):
    """A span of time as 1h02m, 3m05s or 7s."""
    seconds = round(seconds)
    if seconds >= 3600:
        return f"{seconds // 3600}h{seconds % 3600 // 60:02d}m"
    return f"{seconds // 60}m{seconds % 60:02d}s" if seconds >= 60 else f"{seconds}s"
