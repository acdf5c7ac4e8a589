"""python -m bench.gpu.part STAGE PART DIR [--stand-in]: one part of a stage, in a process of its own.

An error of CUDA stays with the process that made it. The process ends, and all that it has started, when the
one that waits for it is gone.
"""

import importlib
import os
import signal
import sys
import threading
from pathlib import Path

from bench.gpu import rows
from bench.gpu.setting import GPU, MINIATURE, surroundings
from bench.gpu.tables import LIBRARIES
from minigpt.errors import ConfigError


def end_with(pipe):
    """End this process group when nobody holds the other end of the pipe, a descriptor, any more."""

    def watch():
        os.read(pipe, 1)
        os.killpg(os.getpgrp(), signal.SIGKILL)

    threading.Thread(target=watch, daemon=True).start()


def run(name, part, out, stand_in):
    """Write every row as it comes. That NVIDIA's libraries are not installed is a row too, and no failure."""
    setting = MINIATURE if stand_in else GPU

    def put(row):
        rows.append(out, {"stage": name, "part": part} | row)

    with surroundings(setting):
        try:
            importlib.import_module(f"bench.gpu.stages.{name}").run(setting, part, put)
        except ConfigError as reason:
            if LIBRARIES not in part:
                raise
            put({"name": part, "error": str(reason)})


if __name__ == "__main__":
    end_with(sys.stdin.fileno())
    run(sys.argv[1], sys.argv[2], Path(sys.argv[3]), "--stand-in" in sys.argv)
