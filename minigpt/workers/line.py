"""A line between two processes: values as lines of JSON, and bytes as they are."""

import json
import socket

CHUNK = 2**16  # bytes


class Line:
    """Nothing is kept back of what is said, and no lock is held: what interrupts or forks a process may come
    at any moment.

    Where the other end is closed, or closed in the middle of a line, EOFError is raised, or an OSError; after
    the socket's timeout TimeoutError.
    """

    def __init__(self, socket: socket.socket):
        self.socket, self._heard = socket, bytearray()

    def say(self, value, data=b""):
        """Send a value, and bytes after it."""
        self.socket.sendall(json.dumps(value).encode() + b"\n" + data)

    def hear(self):
        """The next value."""
        while (end := self._heard.find(b"\n")) < 0:
            self._more()
        return json.loads(self._take(end + 1))

    def data(self, n):
        """The next n bytes."""
        while len(self._heard) < n:
            self._more()
        return self._take(n)

    def close(self):
        """Hang up."""
        self.socket.close()

    def _more(self):
        chunk = self.socket.recv(CHUNK)
        if not chunk:
            raise EOFError("nobody is at the other end")
        self._heard += chunk

    def _take(self, n):
        taken = bytes(self._heard[:n])
        del self._heard[:n]
        return taken
