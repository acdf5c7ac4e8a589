"""What Linux, macOS and Windows do differently with files and signals, so that nothing else need know of it.

macOS lacks posix_fadvise, and an fsync that reaches the disk itself. Windows lacks fcntl, folders that can be
opened (to be locked or flushed), files whose bytes are left alone unless one asks for it, and signal masks.
"""

import contextlib
import os
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator

from minigpt.kinds import StrPath

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

BYTES = getattr(os, "O_BINARY", 0)  # for os.open: Windows would write every \n as \r\n
FOLDERS_OPEN = sys.platform != "win32"  # os.open takes a folder, too


def sync(file: int) -> None:
    """Return once the disk has what was written to an open file."""
    if sys.platform == "darwin":  # its fsync leaves it in the disk's own cache
        with contextlib.suppress(OSError):  # not every file system can
            fcntl.fcntl(file, fcntl.F_FULLFSYNC)
            return
    os.fsync(file)


def flush(path: StrPath) -> None:
    """Return once the disk has a file's bytes, or a folder's names; Windows alone knows when it has these."""
    if os.path.isdir(path) and not FOLDERS_OPEN:
        return
    # Windows flushes only what it may write
    file = os.open(path, (os.O_RDONLY if FOLDERS_OPEN else os.O_RDWR) | BYTES)
    try:
        sync(file)
    finally:
        os.close(file)


def locked(folder: StrPath) -> int:
    """A descriptor that keeps others from locking a folder until it is closed, or this process ends.

    Raises BlockingIOError if another has it. File systems without locks go without.
    """
    if sys.platform == "win32":
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


if sys.platform == "win32":

    def locked_beside(folder: StrPath) -> int:
        """The same on Windows, where a file beside the folder is locked; it stays there."""
        place = os.path.realpath(folder)
        beside = os.path.join(os.path.dirname(place), f".{os.path.basename(place)}.lock")
        lock = os.open(beside, os.O_RDWR | os.O_CREAT | BYTES, 0o666)
        try:
            msvcrt.locking(lock, msvcrt.LK_NBLCK, 1)
        except OSError:
            os.close(lock)
            raise BlockingIOError(f"{folder} is locked") from None
        return lock


def forget(path: StrPath) -> None:
    """Ask Linux to drop a file's bytes from memory, so that they are next read from the disk itself."""
    if sys.platform == "linux":
        file = os.open(path, os.O_RDONLY)
        with contextlib.suppress(OSError):  # a file system may know better
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


@contextlib.contextmanager
def held_back(numbers: Iterable[int]) -> Iterator[None]:
    """Signals that come in here are met with at the end; on Windows they are met with at once."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def own_command() -> str:
    """What starts this program again: minigpt, where a shell finds it, else the path it was started by."""
    started, found = sys.argv[0], shutil.which("minigpt")
    if os.path.basename(started) != "minigpt":  # by python -m, or another program that calls it
        return "minigpt" if found else "python -m minigpt"
    return "minigpt" if found and os.path.samefile(found, started) else started
