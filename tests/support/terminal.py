"""A program on a real pseudo-terminal, and what a person would see there."""

import codecs
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time

import pyte

PATIENCE = 60  # seconds without a word from a program that has hung
PAUSE = 0.005  # seconds without a word after which a piece of output is whole: half a picture is no screen


class Terminal:
    """Runs a program on a pseudo-terminal; screens: what was to be seen after each piece of output."""

    def __init__(self, words, columns=80, rows=24, environment=None, encoding="utf-8"):
        self.file, inside = pty.openpty()
        self.columns, self.rows = columns, rows
        self.raw, self.screens, self.decode = b"", [], codecs.getincrementaldecoder(encoding)("replace")
        self.screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self.stream = pyte.Stream(self.screen)
        self._size(columns, rows)
        plain = {"TERM": "xterm-256color", "PATH": os.environ["PATH"], "HOME": os.environ.get("HOME", "/")}
        plain |= {name: os.environ[name] for name in ("PYTHONPATH",) if name in os.environ}
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            stdin=inside, stdout=inside, stderr=inside, close_fds=True, preexec_fn=take_terminal,
            env=plain | {"LC_ALL": "C.UTF-8"} | (environment or {}),
        )  # fmt: skip
        os.close(inside)

    def _size(self, columns, rows):
        fcntl.ioctl(self.file, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def resize(self, columns):
        """The window is made narrower or wider; the screen starts anew, as reflowing differs by terminal."""
        self._size(columns, self.rows)
        self.columns = columns
        self.screen = pyte.HistoryScreen(columns, self.rows, history=10_000)
        self.stream = pyte.Stream(self.screen)
        self.raw = b""

    def type(self, keys):
        """Keys pressed: b"\\x03" is Ctrl-C."""
        os.write(self.file, keys)

    def until(self, seen=lambda terminal: False):
        """Read until seen(self) is true, or the program has ended; whether it was seen."""
        last = time.monotonic()
        while not seen(self):
            ready, _, _ = select.select([self.file], [], [], 0.2)
            if ready:
                try:
                    piece = os.read(self.file, 65536)
                except OSError:  # EIO: nobody writes any more
                    return False
                if not piece:
                    return False
                last = time.monotonic()
                self.raw += piece
                self.stream.feed(self.decode.decode(piece))
                if not select.select([self.file], [], [], PAUSE)[0]:
                    self.screens.append(self.shown())
            elif time.monotonic() - last > PATIENCE:
                self.process.kill()
                raise AssertionError("the program says nothing any more")
        return True

    def ended(self):
        """Read to the end; the exit code."""
        self.until()
        code = self.process.wait(timeout=PATIENCE)
        os.close(self.file)
        return code

    def shown(self):
        """The window's lines, without what is empty below."""
        return "\n".join(line.rstrip() for line in self.screen.display).rstrip()

    def scrolled(self):
        """All lines: those that have left the window at its top, then the window's."""
        above = ["".join(line[x].data for x in range(self.columns)) for line in self.screen.history.top]
        return "\n".join(line.rstrip() for line in [*above, *self.screen.display]).rstrip()


def take_terminal():
    """In the child: a session of its own, whose terminal this is, so that Ctrl-C is a signal."""
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)
    signal.signal(signal.SIGINT, signal.default_int_handler)
