"""Some faults planted in the kernels, others every day; all: python -m tests.kernels.cuda.faults."""

import datetime

import pytest

from tests.kernels.cuda.fault_list import Fault
from tests.kernels.cuda.faults import FAULTS, KERNELS, try_one

pytestmark = pytest.mark.emulation

HANDFUL = 3
FIRST = datetime.date.today().toordinal() * HANDFUL  # another handful every day


@pytest.mark.parametrize("place", range(HANDFUL))
def test_the_tests_notice(place):
    fault = FAULTS[(FIRST + place) % len(FAULTS)]
    noticed, reason = try_one(fault)
    assert noticed, f"{fault}: {reason}"


def test_every_fault_stands_where_it_is_said():
    for fault in FAULTS:
        assert (KERNELS / fault.file).read_text().count(fault.old) == 1, fault


def test_what_is_no_fault_is_not_noticed():
    noticed, reason = try_one(
        Fault("bias.cu", "sums", "values[i] += shift[i];", "values[i] = shift[i] + values[i];")
    )
    assert not noticed
    assert reason == "exit status 0"


def test_what_does_not_compile_is_not_noticed():
    noticed, reason = try_one(Fault("bias.cu", "sums", "values[i] += shift[i];", "values[i] += shif[i];"))
    assert not noticed
    assert "does not compile" in reason
