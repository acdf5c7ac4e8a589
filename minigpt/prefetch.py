"""The next step's batches, prepared on a thread while a step runs: the disk is waited for there."""

from minigpt.background import Background


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
        if ahead is None or ahead.argument != step:
            ahead = self._begun(step)
        made = ahead.result()
        if step + 1 < self.end:
            self._ahead = self._begun(step + 1)
        return made

    def _begun(self, step):
        return Background(self.make, step, f"batches of step {step}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        """Wait for what is being made, but not for a disk that has gone: the thread ends with the process."""
        if self._ahead:
            self._ahead.join(timeout=1)
