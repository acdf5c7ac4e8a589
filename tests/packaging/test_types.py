"""Types, by mypy; and by what typeshed knows of other systems, no name that they lack is used."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import minigpt

HERE = Path(__file__).parents[2]
ABSENT = re.compile(r'^(minigpt/\S+?):\d+: error: Module has no attribute "(\w+)"')
# of what is refused on Windows (several ranks), or asked for with an answer to its absence
GUARDED = {
    "win32": {
        ("minigpt/ranks/mpi.py", "sched_yield"),
        ("minigpt/ranks/seen.py", "TCP_INFO"),
        ("minigpt/ranks/starting.py", "SIGKILL"),
        ("minigpt/ranks/witness.py", "SIGHUP"),
        ("minigpt/ranks/witness.py", "SIGKILL"),
        ("minigpt/workers/memory.py", "memfd_create"),
    },
    "darwin": {
        ("minigpt/ranks/seen.py", "TCP_INFO"),
        ("minigpt/workers/memory.py", "memfd_create"),
    },
}


def mypy(cache, *options):
    """What mypy says of the package, and its exit code; settings stand in pyproject.toml."""
    command = [sys.executable, "-m", "mypy", "--cache-dir", str(cache), *options]
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("mypy")


def test_the_types_are_right(cache):
    code, said = mypy(cache)
    assert code == 0, said


def test_a_caller_s_mistakes_are_found(cache, tmp_path):
    program = tmp_path / "program.py"
    program.write_text(
        "import minigpt\n"
        "config = minigpt.GPTConfig(n_layer='two')\n"
        "loss, grads = minigpt.loss_and_grads(config, {}, None, None)\n"
        "loss.append(1)\n"
        "minigpt.generate(config, {}, [], ops='quick')\n"
        "minigpt.load_wights('x')\n"
    )
    _, said = mypy(cache, str(program))
    found = [int(line.split(":")[1]) for line in said.splitlines() if line.startswith(str(program))]
    assert sorted(set(found)) == [2, 4, 5, 6], said


@pytest.mark.parametrize("system", sorted(GUARDED))
def test_nothing_is_asked_for_that_another_system_lacks(cache, system):
    _, said = mypy(cache, "--platform", system, "--check-untyped-defs")
    found = {match.groups() for line in said.splitlines() if (match := ABSENT.match(line.replace("\\", "/")))}
    assert "checked" in said
    assert found == GUARDED[system]


def test_the_stub_names_what_the_package_does():
    stub = (HERE / "minigpt" / "__init__.pyi").read_text()
    names = re.findall(r"^from minigpt\.(\w+) import (\w+) as \2$", stub, flags=re.MULTILINE)
    assert {name: home for home, name in names} == minigpt.HOME_OF


def test_every_typed_file_is_there():
    settings = tomllib.loads((HERE / "pyproject.toml").read_text())["tool"]["mypy"]
    typed = next(part["module"] for part in settings["overrides"] if part.get("disallow_untyped_defs"))
    for name in typed:
        path = HERE.joinpath(*name.split("."))
        assert path.with_suffix(".py").exists() or (path / "__init__.py").exists(), name
