"""Whether exchanges between GPUs stand still."""

import contextlib
import time


class Overdue:
    """overdue() is whether a call has not returned, or the event's last record not come, for too long.

    Time counts from the first question after anything was begun: a GPU may have much to do before, but when
    nothing new begins for so long the program is waiting, too.
    """

    event = None  # recorded behind the exchanges

    def __init__(self, seconds, clock=time.monotonic):
        self.seconds, self.clock = seconds, clock
        self.turn, self.seen, self.since, self.inside = 0, 0, clock(), False

    def begin(self):
        """Something has been begun."""
        self.turn += 1

    @contextlib.contextmanager
    def calling(self):
        """A call that may wait for other ranks, to the end of the block."""
        self.begin()
        self.inside = True
        try:
            yield
        finally:
            self.inside = False

    def __call__(self):
        at_rest = not self.inside and (self.event is None or self.event.done)
        if self.seen != self.turn or at_rest:
            self.seen, self.since = self.turn, self.clock()
        return self.clock() - self.since > self.seconds
