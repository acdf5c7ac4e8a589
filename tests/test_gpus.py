"""What machines can do stands in one place, with units that fit each other."""

import math
import re
from pathlib import Path

import pytest

from minigpt import flops
from minigpt.gpus import MACHINES, machine_called

ROOT = Path(__file__).parents[1]
NAMES = {"NVIDIA H100 80GB HBM3": "h100", "NVIDIA H200": "h200", "NVIDIA A100-SXM4-80GB": "a100"}
NAMES["NVIDIA GeForce RTX 4090"] = "4090"


@pytest.mark.parametrize("name", NAMES)
def test_a_gpu_is_known_by_its_drivers_name(name, monkeypatch):
    assert machine_called(name) is MACHINES[NAMES[name]]
    monkeypatch.setattr(flops, "gpu_name", lambda: name)
    assert flops.peak_of(Asked, None) == (MACHINES[NAMES[name]].peak, name)


def test_an_unknown_gpu_has_no_peak(monkeypatch):
    assert machine_called("NVIDIA T4") is None
    monkeypatch.setattr(flops, "gpu_name", lambda: "NVIDIA T4")
    assert math.isnan(flops.peak_of(Asked, None)[0])


class Asked:
    """Of a recipe, what peak_of looks at."""

    device = "cupy"


@pytest.mark.parametrize("machine", MACHINES.values(), ids=MACHINES)
def test_units_are_bytes_and_operations(machine):
    assert machine.network <= machine.bus < machine.bandwidth < machine.peak
    assert machine.memory is None or 1 < machine.memory / 1e9 < 1000
    assert machine.source.strip()
    assert ("price: " in machine.source) == (machine.price is not None)


def test_no_other_file_knows_a_peak():
    peaks = re.compile("|".join(f"{machine.peak / 1e12:g}e12" for machine in MACHINES.values()))
    files = [path for room in ("minigpt", "bench") for path in (ROOT / room).rglob("*.py")]
    assert [path.name for path in files if peaks.search(path.read_text())] == ["gpus.py"]
