"""How many threads BLAS has, while somebody wants it otherwise."""

import contextlib
import threading

from threadpoolctl import ThreadpoolController


class BlasThreads:
    """Who is inside `at` has BLAS at so many threads, the latest to come of several; the last restores it."""

    def __init__(self):
        self._lock, self._wishes, self._blas = threading.Lock(), {}, None  # who -> count, the latest last

    @contextlib.contextmanager
    def at(self, count):
        """BLAS at `count` threads."""
        who = object()
        with self._lock:
            self._blas = self._blas or ThreadpoolController()
            limit = self._blas.limit(limits=count, user_api="blas")
            if not self._wishes:
                self._before = limit
            self._wishes[who] = count
        try:
            yield
        finally:
            with self._lock:
                del self._wishes[who]
                if self._wishes:
                    *_, latest = self._wishes.values()
                    self._blas.limit(limits=latest, user_api="blas")
                else:
                    self._before.restore_original_limits()


BLAS_THREADS = BlasThreads()
