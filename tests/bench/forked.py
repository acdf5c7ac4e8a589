"""python -m tests.bench.forked: python -m bench.gpu, its parts forked from a process that has torch loaded.

Loading torch, its compiler and pytest anew for each of twenty parts takes a minute, the parts themselves take
seconds. A part is still a process of its own with a deadline; how the real ones are started, test_gpu_run.py
sees where it stops them.
"""

import importlib
import multiprocessing
import os
import sys
import tempfile
import traceback

from bench.gpu import __main__ as program
from bench.gpu.part import run
from bench.gpu.runner import Runner


class Forked(Runner):
    """Runner, but for how a part's process begins."""

    def process(self, name, part, seconds):
        """As Runner.process."""
        with tempfile.TemporaryFile() as said:
            given = (said.fileno(), name, part, self.out, self.setting.stand_in)
            process = multiprocessing.get_context("fork").Process(target=begin, args=given)
            process.start()
            process.join(seconds)
            process.kill()
            process.join()
            said.seek(0)
            tail = said.read().decode(errors="replace")
        return "done" if process.exitcode == 0 else f"exit code {process.exitcode}\n{tail}"


def begin(said, name, *given):
    """In the new process."""
    for descriptor in (1, 2):
        os.dup2(said, descriptor)
    code = 0
    try:
        run(name, *given)
    except BaseException:
        traceback.print_exc()
        code = 1
    sys.stdout.flush()
    os._exit(code)


if __name__ == "__main__":
    for module in ("torch._dynamo", "hypothesis.extra.numpy", "pytest"):  # not in ranks: they are spawned
        importlib.import_module(module)
    program.Runner = Forked
    sys.exit(program.main())
