"""How far, how fast, how long still: a bar on a terminal, a line now and then elsewhere."""

import datetime
import math
import sys
import time

EVERY = 30  # seconds between lines
BAR = "{percentage:3.0f}% |{bar}| {postfix} [{elapsed} gone, {remaining} left]"


class Progress:
    """of: bytes of the files in all; done: those that an earlier run has read."""

    def __init__(self, of, done, stream=None):
        self.of, self.done, self.text, self.stream = of, done, 0, stream or sys.stderr
        self.began = self.said = time.monotonic()
        self.first, self.bar = done, None
        if self.stream is None:  # standard error is closed: print would take standard output
            self.said = math.inf
        elif self.stream.isatty():
            from tqdm import tqdm

            self.bar = tqdm(total=of, initial=done, file=self.stream, bar_format=BAR, postfix="", leave=False)

    def add(self, weight, text_bytes):
        """A unit is written: so many bytes of a file, so many of text."""
        self.done += weight
        self.text += text_bytes
        if self.bar is not None:
            self.bar.set_postfix_str(f"{self.speed():.1f} MB/s", refresh=False)
            self.bar.update(weight)
        elif time.monotonic() - self.said > EVERY:
            self.said = time.monotonic()
            left = (self.of - self.done) * (self.said - self.began) / max(1, self.done - self.first)
            line = f"{self.done / max(1, self.of):.0%} | {self.speed():.1f} MB/s | {clock(left)} left"
            print(line, file=self.stream, flush=True)

    def speed(self):
        """Megabytes of text a second, in this run."""
        return self.text / 1e6 / max(1e-9, time.monotonic() - self.began)

    def close(self):
        """Take the bar away."""
        if self.bar is not None:
            self.bar.close()


def clock(seconds):
    """90.4 -> "0:01:30"."""
    return str(datetime.timedelta(seconds=round(seconds)))
