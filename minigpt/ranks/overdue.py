"""Whether work on a GPU does not come to its end."""

import time


class Overdue:
    """overdue() is whether the event's last record has been waited for too long.

    Time counts from the first question after a record: a GPU may have much to do before, but when nothing new
    is recorded for so long the program is waiting, too.
    """

    def __init__(self, event, seconds, clock=time.monotonic):
        self.event, self.seconds, self.clock = event, seconds, clock
        self.turn, self.seen, self.since = 0, 0, clock()

    def begin(self):
        """The event has been recorded anew."""
        self.turn += 1

    def __call__(self):
        if self.seen != self.turn or self.event.done:
            self.seen, self.since = self.turn, self.clock()
        return self.clock() - self.since > self.seconds
