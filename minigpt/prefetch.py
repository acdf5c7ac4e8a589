"""The next step's batches, prepared on a thread while a step runs: the disk is waited for there."""

import threading


class Prefetch:
    """with Prefetch(make, end) as batches: batches.take(step), for one step after the other below end.

    take(step) returns what make(step) returns, or raises what it raises: make is a function of the step
    alone, so that it makes no difference when and where it is called.
    """

    def __init__(self, make, end):
        self.make, self.end = make, end
        self._ahead = None

    def take(self, step):
        """What was made for this step; and begin with the next."""
        ahead, self._ahead = self._ahead, None
        if ahead is None or ahead.step != step:
            ahead = Ahead(self.make, step)
        made = ahead.result()
        if step + 1 < self.end:
            self._ahead = Ahead(self.make, step + 1)
        return made

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        """Wait for what is being made, but not for a disk that has gone: the thread ends with the process."""
        if self._ahead:
            self._ahead.join(timeout=1)


class Ahead(threading.Thread):
    """make(step) on a thread of its own, begun at once."""

    def __init__(self, make, step):
        super().__init__(name=f"batches of step {step}", daemon=True)
        self.make, self.step, self.made, self.error = make, step, None, None
        self.start()

    def run(self):
        try:
            self.made = self.make(self.step)
        except BaseException as error:
            self.error = error

    def result(self):
        """What make returned, as soon as it has; raised here, if it raised."""
        self.join()
        if self.error:
            raise self.error
        return self.made
