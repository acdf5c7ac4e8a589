"""Runs the parts of stages as processes with a deadline, and notes how each of them ended."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from bench.gpu import rows
from bench.gpu.plan import STAGES

LEAST = 15  # seconds; a part is not begun with less
TAIL = 3000  # characters of what a part said that are kept if it fails


class Runner:
    """out: a folder; end: a moment of time.monotonic()."""

    def __init__(self, out, setting, end):
        self.out, self.setting, self.end = out, setting, end
        self.running, self.stopped = set(), False

    def stage(self, name):
        """Run all parts of a stage, several at once if it says so."""
        stage = STAGES[name]
        with ThreadPoolExecutor(stage.together) as pool:
            try:
                list(
                    pool.map(
                        lambda part: self.part(stage.file, part, stage.seconds), stage.parts(self.setting)
                    )
                )
            except BaseException:
                self.stop()
                raise

    def part(self, name, part, most):
        """One part, for at most so many seconds; its last row says how it ended."""
        began, left = time.monotonic(), self.end - time.monotonic()
        if self.stopped or left < LEAST:
            how = (
                "skipped: stopped"
                if self.stopped
                else f"skipped: of the budget {max(0, left):.0f} s are left"
            )
        else:
            how = self.process(name, part, min(most, left))
        row = {"stage": name, "part": part, "end": how, "seconds": round(time.monotonic() - began, 1)}
        rows.append(self.out, row)
        print(f"{name} {part}: {how.splitlines()[0]} ({row['seconds']} s)", flush=True)

    def process(self, name, part, seconds):
        """How a part's process ended: "done", or what went wrong and the end of what it said."""
        with tempfile.TemporaryFile() as said:
            process = subprocess.Popen(
                self.command(name, part),
                stdin=subprocess.PIPE, stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
            )  # fmt: skip
            self.running.add(process)
            try:
                code = process.wait(seconds)
                how = "stopped" if self.stopped else f"exit code {code}"
            except subprocess.TimeoutExpired:
                code, how = None, f"not done after {seconds:.0f} s"
            finally:
                self.running.discard(process)
                end_group(process)
            said.seek(0)
            tail = said.read().decode(errors="replace")[-TAIL:]
        return "done" if code == 0 else f"{how}\n{tail}"

    def command(self, name, part):
        """What a part's process is."""
        options = ["--stand-in"] if self.setting.stand_in else []
        return [sys.executable, "-m", "bench.gpu.part", name, part, str(self.out), *options]

    def stop(self):
        """End what is running, and begin nothing more."""
        self.stopped = True
        for process in list(self.running):
            end_group(process)


def end_group(process):
    """Kill a process and all that it has started."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()
    process.stdin.close()
