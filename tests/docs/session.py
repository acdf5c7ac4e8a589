"""A document's steps carried out one after the other, as a reader would; what goes wrong names its line."""

import contextlib
import io
import re

from minigpt.errors import MinigptError
from tests.docs import doors, rules
from tests.docs.blocks import ROOT, steps_of
from tests.docs.place import run
from tests.support.printed import assert_alike

INSTALL = r"(\S*/)?pip3? install |python3 -m venv "
MAKE = r"(\w+=\S+ )*make "


def carry_out(document, place):
    """Do all that a document says in a folder. AssertionError, with the line, where it is not so."""
    for step in steps_of(document):
        if step.kind == "file":
            (place / step.name).write_text(step.text)
        elif step.kind == "python":
            given = document == ROOT / "README.md"
            (place / "block.py").write_text(rules.smaller_python(step.text) if given else step.text)
            carried = run(place, "python block.py")
            assert carried.returncode == 0, f"{step.where}\n{carried.stderr}"
        else:
            carry_out_command(step, place)


def carry_out_command(step, place):
    """Run a command in small, or take it as far as it can go here, and compare what it prints."""
    if door := door_of(step):
        pass_through(door, step)
        return
    command = rules.smaller(step.text)
    if command != step.text:
        pass_through(doors.parse, step)  # sizes that are replaced must be possible, too
    carried = run(place, command)
    told = f"{step.where}: {command}\nexit code {carried.returncode}\n{carried.stdout}{carried.stderr}"
    if step.needs:
        assert step.needs == "a GPU", f"{step.where}: nothing is known of what it needs: {step.needs}"
        assert carried.returncode == 2, told
        assert doors.NO_GPU in carried.stderr, told
        return
    assert carried.returncode == rules.exit_code(command, step.said or []), told
    if step.said is not None:
        assert_printed(step, command, carried.stdout + carried.stderr, told)


def pass_through(door, step):
    """AssertionError if a door does not let a command through."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said), contextlib.redirect_stdout(said):
            door(step.text)
    except (MinigptError, ValueError, SystemExit) as error:
        raise AssertionError(f"{step.where}: {step.text}\n{error} {said.getvalue()}") from None


def door_of(step):
    """What takes a command as far as it can go, if it cannot be run here."""
    if re.match(MAKE, step.text):
        return doors.check_make
    return doors.parse if step.needs in doors.PARSED_ONLY or re.match(INSTALL, step.text) else None


def assert_printed(step, command, found, told):
    """What is said is printed: exactly, up to rounding, or in its words, by what kind of command it is."""
    if re.match(rules.ROUNDED, command) and "..." not in step.said[1:]:
        assert_alike(step.said, found.rstrip("\n").split("\n"), told)
        return
    form = rules.form_of(command)
    place, found = 0, " ".join(form(found).split())
    for part in re.split(r"^ *\.\.\.$", "\n".join(step.said), flags=re.MULTILINE):
        part = " ".join(form(part).split())
        place = found.find(part, place)
        assert place >= 0, f"{told}\nnot printed there: {part}\nbut: {found}"
        place += len(part)
