"""What this program is called where it runs."""

import sys

import pytest

from minigpt.system import own_command


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Two programs called minigpt, the first where a shell looks."""
    paths = [tmp_path / name / "minigpt" for name in ("here", "there")]
    for path in paths:
        path.parent.mkdir()
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    monkeypatch.setenv("PATH", str(paths[0].parent))
    return [str(path) for path in paths]


def test_it_is_called_as_a_shell_finds_it_or_by_its_path(programs, monkeypatch):
    here, there = programs
    for started, called in {here: "minigpt", there: there, "x/__main__.py": "minigpt"}.items():
        monkeypatch.setattr(sys, "argv", [started, "train"])
        assert own_command() == called
    monkeypatch.setenv("PATH", "")
    for started, called in {here: here, "x/__main__.py": "python -m minigpt"}.items():
        monkeypatch.setattr(sys, "argv", [started])
        assert own_command() == called
