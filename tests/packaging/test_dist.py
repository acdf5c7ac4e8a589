"""What is built is what is here: the sdist is the repository, the wheel the package, and that trains.

Nothing is downloaded: setuptools builds in the tests' own environment, and the wheel is installed without its
dependencies, into a folder that is looked at first.
"""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import minigpt

HERE = Path(__file__).parents[2]
ROOMS = ("bench", "docs", "minigpt", "reference", "tests")
AT_THE_TOP = """.ci/run .gitignore CHANGELOG.md CITATION.cff CONTRIBUTING.md DECISIONS.md LICENSE MANIFEST.in
    Makefile PROOF.md READING.md README.md pyproject.toml""".split()
MADE = {"PKG-INFO", "setup.cfg"}  # by setuptools, beside minigpt.egg-info
JUNK = """minigpt/__pycache__/old.cpython-311.pyc tests/ops/__pycache__/x.pyc docs/.DS_Store
    runs/small/main.log""".split()
NAME = f"minigpt-{minigpt.__version__}"


def files_of(room):
    """Paths of a room's files, from the top of the repository."""
    paths = (path for path in (HERE / room).rglob("*") if path.is_file())
    return {str(path.relative_to(HERE)) for path in paths if "__pycache__" not in path.parts}


def build(what, source, into):
    """What a frontend asks setuptools for, as PEP 517 has it; the path of the file."""
    code = f"import sys, setuptools.build_meta as backend; print(backend.build_{what}(sys.argv[1]))"
    command = [sys.executable, "-c", code, str(into)]
    done = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return into / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The sdist, and the wheel that is built from it alone."""
    folder = tmp_path_factory.mktemp("dist")
    source = folder / "source"
    for room in ROOMS:
        shutil.copytree(HERE / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (*AT_THE_TOP, *JUNK):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes((HERE / name).read_bytes() if name in AT_THE_TOP else b"junk")
    sdist = build("sdist", source, folder)
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    return sdist, build("wheel", folder / NAME, folder)


def test_the_sdist_is_the_repository(built):
    with tarfile.open(built[0]) as archive:
        names = {member.name.removeprefix(f"{NAME}/") for member in archive if member.isfile()}
    own = {name for name in names if not name.startswith("minigpt.egg-info/")} - MADE
    assert own == set(AT_THE_TOP).union(*map(files_of, ROOMS))


def test_the_wheel_is_the_package(built):
    with zipfile.ZipFile(built[1]) as archive:
        about = {name for name in archive.namelist() if name.startswith(f"{NAME}.dist-info/")}
        assert set(archive.namelist()) - about == files_of("minigpt")
        metadata = archive.read(f"{NAME}.dist-info/METADATA").decode()
    licences = {name.partition("/licenses/")[2] for name in about} - {""}
    assert licences == {"LICENSE", "minigpt/gpt2/LICENSE", "minigpt/texts/SOTU-LICENSE"}
    assert f"Version: {minigpt.__version__}\n" in metadata
    assert "Requires-Python: >=3.11\n" in metadata


def test_what_is_installed_trains_and_writes_somewhere_else(built, tmp_path):
    place, elsewhere = tmp_path / "installed", tmp_path / "elsewhere"
    elsewhere.mkdir()
    install = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", str(place)]
    subprocess.run([sys.executable, *install, str(built[1])], check=True)

    def said(*words):
        done = subprocess.run(
            words, cwd=elsewhere, env={**os.environ, "PYTHONPATH": str(place)}, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    origin = said(sys.executable, "-c", "import minigpt.run; print(minigpt.run.__file__)")
    assert Path(origin.strip()).is_relative_to(place)
    command = next(str(path) for path in (place / "bin").glob("minigpt*"))
    run = said(command, "train", "--steps", "2", "--warmup", "1", "--n-layer", "1", "--n-embd", "32")
    assert "1,978,133 tokens to train on" in run  # of the text that the package carries
    weights = elsewhere / "runs" / "small" / "step_00000002"
    sample = ["sample", "--weights", str(weights), "--prompt", "The people", "--max-new-tokens", "5"]
    assert said(command, *sample).startswith("The people")
