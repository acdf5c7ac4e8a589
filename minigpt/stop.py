"""Ctrl-C and a scheduler's SIGTERM as a polite request: finish the step, save, leave."""

import contextlib
import os
import signal
from typing import Self

from minigpt.system import held_back

INTERRUPTED = 130  # exit code: ended by Ctrl-C, as shells say it
RESUMABLE = 75  # exit code: stopped by a signal, after saving (EX_TEMPFAIL of sysexits.h)
NUMBERS = [signal.SIGINT, signal.SIGTERM]
# the terminal is gone: SIGHUP, and on Windows SIGBREAK
NUMBERS += [getattr(signal, name) for name in ("SIGHUP", "SIGBREAK") if hasattr(signal, name)]


class Stopped(KeyboardInterrupt):
    """A signal came where there is nothing to save, or nothing to save any more."""


class StopSignal:
    """with StopSignal() as stop: ... if stop.asked: ... A second signal ends the process at once.

    While it is not patient, the first one raises Stopped wherever the program is.
    """

    asked = False

    def __init__(self, patient: bool = True) -> None:
        self.patient = patient

    def __enter__(self) -> Self:
        self._came, self._comes = os.pipe()  # each signal's number, as soon as it is there
        if hasattr(os, "set_blocking"):  # Windows has it from Python 3.12 on, and needs it not
            os.set_blocking(self._came, False)
            os.set_blocking(self._comes, False)
        self._wakeup = signal.set_wakeup_fd(self._comes, warn_on_full_buffer=False)
        self._before = {number: signal.signal(number, self._receive) for number in NUMBERS}
        for number, handler in self._before.items():
            if handler is signal.SIG_IGN and number != signal.SIGINT:  # as nohup asks for
                signal.signal(number, handler)
        return self

    def ask(self) -> None:
        """Stop as if a signal had come."""
        self.asked = True

    def check(self, *_: object) -> None:
        """Raise Stopped if a signal has come."""
        if self.asked:
            raise Stopped

    def _receive(self, number: int, frame: object) -> None:
        self.ask()
        with held_back(NUMBERS):
            for other in self._before:
                signal.signal(other, signal.SIG_DFL)
            with contextlib.suppress(BlockingIOError):
                if others := set(os.read(self._came, 4096)) & set(NUMBERS) - {number}:
                    os.kill(os.getpid(), min(others))  # here before Python saw the first
        if not self.patient:
            raise Stopped

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._comes)
        os.close(self._came)
