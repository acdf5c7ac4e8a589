"""A run's first row: date, commit, machine, versions and options, as every record has them."""

import datetime
import os
import platform

from bench.record import git, processor, version

PACKAGES = ("cupy-cuda13x", "cupy-cuda12x", "numpy", "torch", "triton", "nvidia-nccl-cu13")
PACKAGES += ("nvidia-cublas", "nvidia-cudnn-cu13", "nvidia-cudnn-frontend", "nvmath-python")


def begin(options):
    """MINIGPT_COMMIT names the commit where the sources came without their history."""
    return {
        "stage": "begin",
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "commit": os.environ.get("MINIGPT_COMMIT") or git("rev-parse", "--short", "HEAD") or "unknown",
        "processor": processor(),
        "python": platform.python_version(),
        "versions": {package: version(package) for package in PACKAGES},
        "options": {name: str(value) for name, value in vars(options).items()},
    }
