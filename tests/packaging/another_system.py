"""python -m tests.packaging.another_system NAME WORDS...: a command as if it ran on macOS or on Windows.

What minigpt and reference import of Python's own modules lacks the names that are missing there, by the
"Availability" notes of CPython's documentation, and behaves as there where files and folders are opened.
Libraries and Python's own modules see the real system: their authors have made them for those.

NAME modules: import all of minigpt instead. A text file opened without an encoding is an error.
"""

import builtins
import errno
import fcntl
import importlib
import os
import runpy
import signal
import sys
import types
import warnings
from pathlib import Path

O_BINARY = 1 << 30  # no flag of Linux

WINDOWS = {
    "os": """
        chown chroot confstr ctermid fchdir fchmod fchown fdatasync fork forkpty fpathconf getegid geteuid
        getgid getgroups getloadavg getpgid getpgrp getpriority getresuid getsid getuid killpg lchown lockf
        major mkfifo mknod nice openpty pathconf pidfd_open pipe2 posix_fadvise posix_fallocate posix_spawn
        pread preadv pwrite pwritev readv register_at_fork sched_getaffinity sched_setaffinity sched_yield
        sendfile set_blocking setpgid setsid setuid statvfs sync sysconf tcgetpgrp ttyname uname wait wait3
        writev O_CLOEXEC O_DIRECTORY O_DSYNC O_NOCTTY O_NOFOLLOW O_NONBLOCK O_SYNC POSIX_FADV_DONTNEED
        WNOHANG WIFEXITED""",
    "signal": """
        SIGALRM SIGBUS SIGCHLD SIGCONT SIGHUP SIGKILL SIGPIPE SIGQUIT SIGSTOP SIGTSTP SIGUSR1 SIGUSR2
        SIGWINCH alarm pause pthread_kill pthread_sigmask setitimer sigpending siginterrupt sigtimedwait
        sigwait SIG_BLOCK SIG_SETMASK SIG_UNBLOCK""",
    "mmap": "MADV_DONTNEED MADV_SEQUENTIAL MADV_WILLNEED MAP_PRIVATE MAP_SHARED PROT_READ PROT_WRITE",
    "socket": "AF_UNIX TCP_INFO SO_REUSEPORT socketpair",
    "time": "clock_gettime",
    **dict.fromkeys(("fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")),
}
MACOS = {
    "os": """
        fdatasync getresuid pidfd_open pipe2 posix_fadvise posix_fallocate sched_getaffinity
        sched_setaffinity POSIX_FADV_DONTNEED memfd_create O_DIRECT""",
    "signal": "sigtimedwait sigwaitinfo SIGPWR SIGRTMIN",
    "socket": "TCP_INFO",
    "mmap": "MADV_HUGEPAGE MAP_POPULATE",
}
SYSTEMS = {"windows": ("win32", "nt", WINDOWS), "macos": ("darwin", "posix", MACOS)}


class Lacking(types.ModuleType):
    """A module without some of its names, and with others in their place."""

    def __init__(self, name, missing, others):
        super().__init__(name)
        self.__dict__.update(others, _real=importlib.import_module(name), _missing=missing.split())

    def __getattr__(self, name):
        if name in self._missing:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        return getattr(self._real, name)


def windows_files():
    """What os does otherwise with files there."""

    def opened(path, flags, mode=0o777):
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        if not flags & O_BINARY:
            raise ValueError(f"{path}: every \\n would be written as \\r\\n")
        return os.open(path, flags & ~O_BINARY, mode)

    def fsync(file):
        if fcntl.fcntl(file, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")
        os.fsync(file)

    return {"O_BINARY": O_BINARY, "open": opened, "fsync": fsync}


def msvcrt():
    """The lock of a file."""

    def locking(file, mode, n_bytes):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise PermissionError(errno.EACCES, "Permission denied") from None

    stand = types.ModuleType("msvcrt")
    stand.LK_NBLCK, stand.locking = 2, locking
    return stand


def set_wakeup_fd(file, **more):
    """Linux alone takes no file that blocks."""
    if file != -1:
        os.set_blocking(file, False)
    return signal.set_wakeup_fd(file, **more)


def full_sync(file, command):
    """macOS's fcntl(file, F_FULLFSYNC), here with a witness."""
    os.fsync(file)
    print("F_FULLFSYNC", file=sys.stderr)


def stand_ins(system):
    """name -> the module as it is there, None if it is not."""
    platform, kind, lacks = SYSTEMS[system]
    others = {"os": {"name": kind}, "sys": {"platform": platform}}
    if system == "windows":
        others["os"] |= windows_files()
        others["signal"] = {"SIGBREAK": signal.Signals(21), "set_wakeup_fd": set_wakeup_fd}
    else:
        others["fcntl"] = {"F_FULLFSYNC": 51, "fcntl": full_sync}
    stands = {
        name: None if name in lacks and lacks[name] is None
        else Lacking(name, lacks.get(name, ""), others.get(name, {}))
        for name in {*lacks, *others}
    }  # fmt: skip
    return stands | ({"msvcrt": msvcrt()} if system == "windows" else {})


def take_away(system):
    """From here on, what our own files import is that system's."""
    stands, real = stand_ins(system), builtins.__import__

    def imported(name, namespace=None, *more, **named):
        asker = (namespace or {}).get("__name__", "")
        if name not in stands or asker.partition(".")[0] not in ("minigpt", "reference"):
            return real(name, namespace, *more, **named)
        if stands[name] is None:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return stands[name]

    builtins.__import__ = imported


def import_all():
    """Every file of the package but those that need a GPU's libraries or MPI to be imported."""
    import minigpt

    for path in sorted(Path(minigpt.__path__[0]).rglob("*.py")):
        name = ".".join(path.relative_to(Path(minigpt.__path__[0]).parent).with_suffix("").parts)
        if not name.startswith(("minigpt.kernels.cuda", "minigpt.ranks.mpi")) and not name.endswith(
            "__main__"
        ):
            importlib.import_module(name.removesuffix(".__init__"))


if __name__ == "__main__":
    _, system, *words = sys.argv
    take_away(system)
    warnings.filterwarnings("error", category=EncodingWarning, module=r"minigpt\.")
    if words == ["modules"]:
        import_all()
    else:
        sys.argv = ["minigpt", *words]
        runpy.run_module("minigpt", run_name="__main__")
