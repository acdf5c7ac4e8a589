"""Which proof, if any, notices that a file of minigpt is broken."""

import importlib.util
import itertools
import warnings
from pathlib import Path
from typing import NamedTuple

import pytest

import minigpt
from tests.mutants.equivalent import EQUIVALENT
from tests.mutants.mutate import mutants
from tests.support import model_proofs, optim_proofs, proofs
from tests.support.examples import FIXED, OPS

ROOT = Path(minigpt.__file__).parent
FILES = {op: ROOT / "ops" / f"{op}.py" for op in OPS} | {
    "optim": ROOT / "optim.py",
    "model": ROOT / "model.py",
}
NUMBER = itertools.count()


class Trials(NamedTuple):
    """The names of a file's mutants, by what became of them."""

    by_proof: list[str]  # a proof noticed
    crashed: list[str]  # with an exception that no proof raised
    same: list[str]  # nobody noticed, and equivalent.py says why
    survivors: list[str]  # nobody noticed
    wrongly_listed: list[str]  # in equivalent.py, but noticed or not there


def trials(subject, folder):
    """Judge every mutant of one file."""
    found = Trials([], [], [], [], [])
    source = FILES[subject].read_text()
    if blamed := verdict(subject, source, folder):
        raise AssertionError(f"{subject} itself fails {blamed}: its mutants can show nothing")
    listed = {name for file, name in EQUIVALENT if file == subject}
    for mutant in mutants(source):
        blamed = verdict(subject, mutant.source, folder)
        if blamed:
            (found.by_proof if blamed.startswith("check_") else found.crashed).append(mutant.name)
        else:
            (found.same if mutant.name in listed else found.survivors).append(mutant.name)
    found.wrongly_listed.extend(sorted(listed - set(found.same)))
    return found


def verdict(subject, source, folder):
    """The name of the first proof that fails for this source, or how the source crashed; "" if neither."""
    name = "import"
    with warnings.catch_warnings(action="ignore"):
        try:
            module = imported(source, folder)
            for name, proof in proofs_of(subject):  # noqa: B007  the last one begun is the one that failed
                proof(module)
        except (AssertionError, pytest.fail.Exception):  # the second where an error should have come
            return name
        except Exception as crash:
            return type(crash).__name__
    return ""


def imported(source, folder):
    """The module with this source, written to a file and imported under a name of its own."""
    name = f"mutant_{next(NUMBER)}"
    path = Path(folder) / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def proofs_of(subject):
    """(name, function of a module) for every proof of a subject: an op's name, optim or model."""
    if subject == "optim":
        yield from ((check.__name__, check) for check in optim_proofs.CHECKS)
    elif subject == "model":
        yield from ((check.__name__, check) for check in model_proofs.CHECKS)
    else:
        for check, s in itertools.product(proofs.CHECKS, FIXED):
            yield check.__name__, lambda module, check=check, s=s: check(subject, module, s)
