"""What Linux, macOS and Windows do differently with files and signals, so that nothing else need know of it.

macOS lacks posix_fadvise, and an fsync that reaches the disk itself. Windows lacks fcntl, folders that can be
opened (to be locked or flushed), files whose bytes are left alone unless one asks for it, and signal masks.
"""

import contextlib
import os
import signal

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

BYTES = getattr(os, "O_BINARY", 0)  # for os.open: Windows would write every \n as \r\n
FOLDERS_OPEN = fcntl is not None  # os.open takes a folder, too


def sync(file):
    """Return once the disk has what was written to an open file."""
    if hasattr(fcntl, "F_FULLFSYNC"):  # macOS, whose fsync leaves it in the disk's own cache
        with contextlib.suppress(OSError):  # not every file system can
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def flush(path):
    """Return once the disk has a file's bytes, or a folder's names; Windows alone knows when it has these."""
    if os.path.isdir(path) and not FOLDERS_OPEN:
        return
    # Windows flushes only what it may write
    file = os.open(path, (os.O_RDONLY if FOLDERS_OPEN else os.O_RDWR) | BYTES)
    try:
        sync(file)
    finally:
        os.close(file)


def locked(folder):
    """A descriptor that keeps others from locking a folder until it is closed, or this process ends.

    Raises BlockingIOError if another has it. File systems without locks go without.
    """
    if fcntl is None:
        return locked_beside(folder)
    lock = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise
    except OSError:
        pass
    return lock


def locked_beside(folder):
    """The same on Windows, where a file beside the folder is locked; it stays there."""
    import msvcrt

    place = os.path.realpath(folder)
    beside = os.path.join(os.path.dirname(place), f".{os.path.basename(place)}.lock")
    lock = os.open(beside, os.O_RDWR | os.O_CREAT | BYTES, 0o666)
    try:
        msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
    except OSError:
        os.close(lock)
        raise BlockingIOError(f"{folder} is locked") from None
    return lock


def forget(path):
    """Ask Linux to drop a file's bytes from memory, so that they are next read from the disk itself."""
    if hasattr(os, "posix_fadvise"):
        file = os.open(path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system may know better
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


@contextlib.contextmanager
def held_back(numbers):
    """Signals that come in here are met with at the end; on Windows they are met with at once."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
