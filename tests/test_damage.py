"""What is said of a file that is not as it was written: sizes and digits, not Python's words."""

import hashlib
import json
import os
import re
import tempfile
from pathlib import Path

import pytest

from minigpt import replay
from minigpt.commands import Replay
from minigpt.damage import check_file
from minigpt.disk import Forbidden, describe
from minigpt.errors import CheckpointError
from minigpt.promises import checked_record
from minigpt.seal import SEAL, sealed
from minigpt.shelf import newest_sound
from tests.support.tiny_runs import save

COPY = "; take another checkpoint, or copy it again"


def said_of(content, now):
    """What is said of a file with some content, which now is another; None: it is gone."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.bin"
        file.write_bytes(content)
        expected = describe(file)
        file.unlink() if now is None else file.write_bytes(now)
        with pytest.raises(CheckpointError) as refused:
            check_file(file, expected)
        return str(refused.value).removeprefix(f"{file} is damaged: ")


def test_sizes_are_said_where_they_differ():
    whole = bytes(29_550)
    assert said_of(whole, whole[:1000]) == f"expected 29,550 bytes, found 1,000: it was cut off{COPY}"
    longer = "expected 2 bytes, found 29,550: something was added, or it is another file"
    assert said_of(b"ab", whole) == longer + COPY
    assert said_of(whole, None) == f"expected 29,550 bytes, found no such file{COPY}"


def test_where_sizes_agree_the_first_digits_of_both_hashes_are_said():
    one, other = (hashlib.sha256(content).hexdigest()[:8] for content in (b"ab", b"ac"))
    assert (
        said_of(b"ab", b"ac") == f"expected SHA-256 {one}..., found {other}...: its bytes have changed{COPY}"
    )


def test_a_file_as_it_was_is_no_damage(tmp_path):
    (tmp_path / "a").write_bytes(b"ab")
    assert check_file(tmp_path / "a", describe(tmp_path / "a")) is None


def test_no_message_is_in_the_words_of_python(tmp_path):
    path = save(tmp_path, 2)
    state = (path / "state.json").read_text()
    for old, new in (('"step": 2', '"step": 3'), ("\n", " ")):
        (path / "state.json").write_text(state.replace(old, new))
        with pytest.raises(CheckpointError) as refused:
            checked_record(path)
        assert re.search(r"state.json is damaged: expected .*[0-9a-f]{8}\.\.\.", str(refused.value))
        assert not re.search(r"[{}']|[0-9a-f]{9}", str(refused.value).replace(str(path), ""))


def test_promises_that_are_none_are_named(tmp_path):
    path = save(tmp_path, 2)
    record = json.loads((path / "state.json").read_text())
    record.pop(SEAL)
    record["files"]["config.json"] = {"bytes": 2}
    (path / "state.json").write_bytes(sealed(record))
    with pytest.raises(CheckpointError, match=r"config.json must have bytes and sha256: found {'bytes': 2}"):
        checked_record(path)


@pytest.fixture
def shared():
    """A folder that every user may look into, unlike tmp_path."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o777)
        yield Path(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "state.json"])
def test_a_file_that_may_not_be_read_is_not_called_damaged_and_stays_where_it_is(shared, name):
    save(shared, 1)
    path = save(shared, 2) / name
    path.chmod(0)
    root = os.geteuid() == 0
    if root:  # who may read everything
        os.seteuid(65534)
    try:
        with pytest.raises(Forbidden) as refused:
            newest_sound(shared, pytest.fail)
    finally:
        if root:
            os.seteuid(0)
    advice = "give this user the right to read it, with chmod or chown"
    assert str(refused.value) == f"{path}: cannot be read: Permission denied; {advice}"
    assert path.exists()


def test_a_rejected_step_without_a_seal_is_said_to_have_none(tmp_path):
    (tmp_path / "rejected.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"rejected.json: expected its seal, .* found none: it is not"):
        replay.replay(Replay(str(tmp_path)))
