"""Ctrl-C and a scheduler's SIGTERM as a polite request: finish the step, save, leave."""

import signal

INTERRUPTED = 130  # exit code: ended by Ctrl-C, as shells say it
RESUMABLE = 75  # exit code: stopped by a signal, after saving (EX_TEMPFAIL of sysexits.h)


class StopSignal:
    """with StopSignal() as stop: ... if stop.asked: ... A second signal ends the process at once."""

    asked = False

    def __enter__(self):
        self._before = {
            number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)
        }
        return self

    def _ask(self, number, frame):
        self.asked = True
        for other in self._before:
            signal.signal(other, signal.SIG_DFL)

    def __exit__(self, *exception):
        for number, handler in self._before.items():
            signal.signal(number, handler)
