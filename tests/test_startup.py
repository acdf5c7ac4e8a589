"""What a start loads: neither `import minigpt` nor --help waits for NumPy, or for what only work needs."""

import subprocess
import sys

import pytest

# the core's dependencies but tyro, which reads the command line
HEAVY = {"google_crc32c", "ml_dtypes", "numpy", "rich", "safetensors", "threadpoolctl", "tiktoken", "tqdm"}


def loaded_by(code):
    """The modules that a fresh Python has loaded, packages' names alone, when it has run some lines."""
    report = "import atexit, sys; atexit.register(lambda: print('loaded', *sys.modules))\n"
    done = subprocess.run([sys.executable, "-c", report + code], capture_output=True, text=True, check=True)
    *_, last = done.stdout.splitlines()
    assert last.startswith("loaded ")
    return {name.partition(".")[0] for name in last.split()}


def test_import_minigpt_loads_nothing_but_itself():
    assert loaded_by("import minigpt") - loaded_by("import importlib") == {"minigpt"}


@pytest.mark.parametrize(
    "command", ["", "train", "sample", "evaluate", "plan", "tokenize", "data", "convert"]
)
def test_help_loads_no_numpy(command):
    words = [*command.split(), "--help"]
    loaded = loaded_by(f"from minigpt.cli import main\nmain({words!r})")
    assert "tyro" in loaded
    assert loaded & HEAVY == set()


def test_a_name_loads_what_it_needs():
    assert loaded_by("import minigpt; minigpt.GPTConfig()") & HEAVY == set()
    assert "numpy" in loaded_by("import minigpt; minigpt.Trainer")
