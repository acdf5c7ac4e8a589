"""How many threads BLAS has, while somebody wants it otherwise."""

import contextlib
import threading

from threadpoolctl import OpenBLASController, ThreadpoolController


class BlasThreads:
    """Who is inside `at` has BLAS at so many threads, the latest to come of several; the last restores it.

    The number is the whole process's. threadpoolctl hears one thread alone, and says nothing to others, until
    that one gives control back, which is done here after each word.
    """

    def __init__(self):
        self._wishes, self._blas = {}, None  # who -> count, the latest last
        self.start_again()

    def start_again(self):
        """A new lock: a forked child may have inherited one that a thread held which it has not."""
        self._lock = threading.Lock()

    @contextlib.contextmanager
    def at(self, count):
        """BLAS at `count` threads."""
        who = object()
        with self._control():
            self._blas = self._blas or ThreadpoolController()
            limit = self._blas.limit(limits=count, user_api="blas")
            if not self._wishes:
                self._before = limit
            self._wishes[who] = count
        try:
            yield
        finally:
            with self._control():
                del self._wishes[who]
                if self._wishes:
                    *_, latest = self._wishes.values()
                    self._blas.limit(limits=latest, user_api="blas")
                else:
                    self._before.restore_original_limits()

    @contextlib.contextmanager
    def _control(self):
        """Nobody else changes the number meanwhile."""
        with self._lock:
            try:
                yield
            finally:
                OpenBLASController.clear_controlling_thread()


BLAS_THREADS = BlasThreads()
