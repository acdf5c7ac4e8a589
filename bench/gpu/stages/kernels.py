"""Every kernel against its float64 reference within its derived bound: the tests, on this GPU.

A part is a file of tests in a process of its own: an access outside of memory ends one file, not all.
"""

import os
from pathlib import Path

import pytest

# after which a process can do nothing more on the GPU: as the runtime, the driver and cuBLAS say it
LOST = ("IllegalAddress", "LaunchFailure", "MisalignedAddress", "IllegalInstruction", "HardwareStackError")
LOST += ("ILLEGAL_", "LAUNCH_FAILED", "MISALIGNED_ADDRESS", "HARDWARE_STACK_ERROR", "EXECUTION_FAILED")


def run(setting, part, put):
    os.environ["MINIGPT_TEST_GPU"] = "stand-in" if setting.stand_in else "1"
    reports = Reports(put)
    code = pytest.main(["-q", "-p", "no:cacheprovider", "-p", "no:xdist", part], plugins=[reports])
    none_here = code == pytest.ExitCode.NO_TESTS_COLLECTED  # all of the file is about the emulation
    put({"name": Path(part).name, "ok": none_here or code == 0, "tests": reports.count, "code": int(code)})


class Reports:
    """A plugin of pytest that puts a row for each test, as soon as it is over."""

    def __init__(self, put):
        self.put, self.count = put, 0

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item):
        report = (yield).get_result()
        if report.when != "call" and not report.failed:
            return
        self.count += 1
        row = {"name": item.nodeid, "test": True, "ok": not report.failed}
        row["seconds"] = round(report.duration, 2)
        if report.failed:
            row["message"] = report.longreprtext[-1500:]
            if any(word in report.longreprtext for word in LOST):
                item.session.shouldstop = "the GPU's context is lost: the rest of this file was not run"
        self.put(row)
