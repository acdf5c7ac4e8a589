"""A rank as the witness sees it."""

import contextlib
import json
import math
import os
import socket
import struct
import time

from minigpt.errors import ConfigError


def seconds_of(name, default):
    """A time in the environment. Raises ConfigError unless it is a number above 0."""
    value = os.environ.get(name, str(default))
    try:
        seconds = float(value)
    except ValueError:
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise ConfigError(f"{name} must be a number of seconds above 0: found {value[:40]!r}")
    return seconds


BEAT = 1.0  # seconds between two signs of life
PATIENCE = seconds_of("MINIGPT_PATIENCE", 12)  # without, after which a rank is frozen
GATHERING = seconds_of("MINIGPT_GATHERING", 25)  # until all ranks must have come, from the first
ANSWER = seconds_of("MINIGPT_DEADLINE", 600)  # that ranks wait for each other in an exchange
STARTER = "MINIGPT_STARTER"  # "host process" of `minigpt train --ranks`, whose end the ranks notice
LAST_PACKET = 56  # tcpi_last_ack_recv in Linux's struct tcp_info, linux/tcp.h
LONGEST = 1 << 16  # bytes of a stranger's first line


class Rank:
    """What is known of a rank, and the line to it."""

    number = pid = host = None  # until it has said hello
    state = "here"  # then "left" and "done", or "gone", or "failed"; or "stranger"
    why = ""  # it has failed
    at = "starting"  # where it says it is, for whoever asks

    def __init__(self, connection):
        connection.settimeout(BEAT)
        self.connection, self.unread, self.heard = connection, b"", time.monotonic()

    def messages(self):
        """What has come; nothing from a line that is closed, or on which a stranger speaks."""
        try:
            found = self.connection.recv(1 << 16)
            *lines, self.unread = (self.unread + found).split(b"\n")
            messages = [dict(json.loads(line)) for line in lines]
        except (OSError, ValueError, TypeError, RecursionError):
            found = b""
        if not found or (self.number is None and len(self.unread) > LONGEST):
            self.state = "done" if self.state == "left" else "gone"
            return []
        self.heard = time.monotonic()
        return messages

    def tell(self, message):
        """Send a message; a line that is closed is found out elsewhere."""
        with contextlib.suppress(OSError):
            self.connection.sendall(json.dumps(message).encode() + b"\n")

    def quiet_for(self):
        """Milliseconds since the last packet of its line, its end among them; 0 where no system tells."""
        try:
            about = self.connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, LAST_PACKET + 4)
            return struct.unpack_from("I", about, LAST_PACKET)[0]
        except (OSError, AttributeError, struct.error):
            return 0

    def silent(self):
        """Whether nothing has come for too long."""
        return self.state in ("here", "left") and time.monotonic() - self.heard > PATIENCE

    def __str__(self):
        return f"rank {self.number} (process {self.pid} on {self.host})"


def whole(value):
    """Whether JSON gave a whole number, which true is not."""
    return type(value) is int
