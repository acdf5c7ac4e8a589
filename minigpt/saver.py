"""Checkpoints written while the run goes on: a copy is taken at once, one thread does the rest."""

import time

from minigpt.background import Background
from minigpt.errors import CheckpointError


class Saver:
    """with Saver(write, warn) as saver: saver.save(step, take); at the end, it waits.

    take() returns a snapshot of now; write(snapshot), on a thread, its path. A CheckpointError of either is
    warned of, warn(line): the run goes on. Whatever else they raise comes out here.

    One save at a time: another waits until it is done, so that two never meet in the folder, no more than one
    copy is in memory, and no checkpoint that was asked for is left out.
    """

    def __init__(self, write, warn):
        self.write, self.warn = write, warn
        self.latest, self.failure = None, None  # the last checkpoint there is; why the last save gave none
        self.saved = None  # its step, if it was saved here
        self.held_up = 0.0  # seconds that the run stood still for copies and for the save before
        self._under_way = None

    def save(self, step, take):
        """Begin to write what take() returns."""
        start = time.perf_counter()
        self.wait()
        if step != self.saved:
            try:
                self._under_way = self._begun(step, take())
            except CheckpointError as error:
                self._failed(error)
        self.held_up += time.perf_counter() - start

    def _begun(self, step, snapshot):
        return Background(self.write, snapshot, f"checkpoint of step {step}", daemon=False)

    def busy(self, seconds):
        """Whether a save is still under way after some seconds at most."""
        if self._under_way is None:
            return False
        start = time.perf_counter()
        self._under_way.join(seconds)
        self.held_up += time.perf_counter() - start
        self.look()
        return self._under_way is not None

    def look(self):
        """Take note of a save that has ended, if one has."""
        if self._under_way and not self._under_way.is_alive():
            self.wait()

    def wait(self):
        """Until no save is under way."""
        job, self._under_way = self._under_way, None
        if job is None:
            return
        try:
            self.latest, self.saved, self.failure = job.result(), job.argument.step, None
        except CheckpointError as error:
            self._failed(error)

    def give_up(self, step, error):
        """A step's checkpoint cannot be made: warn of it, unless there is one; the run goes on."""
        self.wait()
        if step != self.saved:
            self._failed(error)

    def _failed(self, error):
        self.failure = error
        self.warn(f"{error}; the last checkpoint is {self.latest or 'none'}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.wait()
