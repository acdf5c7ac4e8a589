"""hf:// inputs, against a server that speaks as much of the hub as it is asked for."""

import json
import os
import re
import subprocess
import sys

import pytest

from tests.prepare.hub_server import COMMIT, serving
from tests.prepare.support import (
    command,
    contents,
    expected_tokens,
    manifest_of,
    read_output,
    small,
    write_parquet,
)

NAME = "owner/name"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """What the repository holds."""
    folder, found = tmp_path_factory.mktemp("hub"), {"README.md": b"# read me", "data/notes.md": b"notes"}
    for path, texts in (
        ("data/b.parquet", ["b one", None, "b two"]),
        ("data/a.parquet", ["a one"]),
        ("data/deep/c.parquet", ["deep"]),
    ):
        write_parquet(folder / "one.parquet", texts)
        found[path] = (folder / "one.parquet").read_bytes()
    return found


@pytest.fixture
def minigpt(tmp_path):
    """Run minigpt data against a server: (exit code, standard error, what the server was asked for)."""

    def run(server, *inputs, out="out", **flags):
        environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "cache")}
        for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HF_HUB_CACHE"):
            environment.pop(name, None)
        flags = {"--out": tmp_path / out, "--tokenizer": small()[1], "--name": "x"} | flags
        words = [word for pair in flags.items() for word in pair]
        asked = len(server.asked)
        done = subprocess.run(
            command(*inputs, *words), env=environment, capture_output=True, text=True, timeout=300
        )
        return done.returncode, done.stderr, server.asked[asked:]

    return run


def test_files_of_the_hub(tmp_path, files, minigpt):
    with serving(NAME, files) as server:
        code, err, asked = minigpt(
            server, f"hf://datasets/{NAME}/data/*.parquet", f"hf://datasets/{NAME}/README.md"
        )
        assert (code, err) == (0, "")
        fetched = [line for line in asked if line.startswith("GET /datasets/")]
        root = f"GET /datasets/{NAME}/resolve/{COMMIT}/"
        assert fetched == [root + "data/a.parquet", root + "data/b.parquet", root + "README.md"]
        # again with another out: all files are in the cache
        code, err, asked = minigpt(server, f"hf://datasets/{NAME}/data/*.parquet", out="again")
        assert (code, err) == (0, "")
        assert not [line for line in asked if line.startswith("GET /datasets/")]
    assert read_output(tmp_path / "out")[1] == expected_tokens(["a one", "b one", "b two", "# read me"])
    inputs = manifest_of(tmp_path / "out")["inputs"]
    assert [one["name"] for one in inputs] == [
        f"hf://datasets/{NAME}/{path}" for path in ("data/a.parquet", "data/b.parquet", "README.md")
    ]
    assert [one["bytes"] for one in inputs] == [
        len(files[path]) for path in ("data/a.parquet", "data/b.parquet", "README.md")
    ]
    assert [len(one["id"]) for one in inputs] == [64, 64, 40]
    assert COMMIT not in json.dumps(inputs)


def test_a_revision_and_folders_within_folders(tmp_path, files, minigpt):
    with serving(NAME, files) as server:
        code, err, _ = minigpt(server, f"hf://datasets/{NAME}@v1/data/**/*.parquet")
    assert (code, err) == (0, "")
    assert read_output(tmp_path / "out")[1] == expected_tokens(["a one", "b one", "b two", "deep"])
    assert manifest_of(tmp_path / "out")["inputs"][0]["name"] == f"hf://datasets/{NAME}@v1/data/a.parquet"


def test_only_its_own_share_is_fetched(tmp_path, files, minigpt):
    pattern = f"hf://datasets/{NAME}/data/*.parquet"
    with serving(NAME, files) as server:
        minigpt(server, pattern, out="whole")
        for part, name in (("1/2", "a"), ("2/2", "b")):
            (tmp_path / "cache").rename(tmp_path / f"cache-{name}")
            code, err, asked = minigpt(server, pattern, **{"--part": part})
            assert (code, err) == (0, "")
            fetched = [line for line in asked if line.startswith("GET /datasets/")]
            assert fetched == [f"GET /datasets/{NAME}/resolve/{COMMIT}/data/{name}.parquet"]
        done = subprocess.run(
            command("--out", tmp_path / "out", "--join"), capture_output=True, text=True, timeout=300
        )
    assert (done.returncode, done.stderr) == (0, "")
    joined = {name: content for name, content in contents(tmp_path / "out").items() if "part-" not in name}
    assert joined == contents(tmp_path / "whole")


def test_a_fetch_that_fails_can_be_gone_on_from(tmp_path, files, minigpt):
    pattern = f"hf://datasets/{NAME}/data/*.parquet"
    with serving(NAME, files) as server:
        minigpt(server, pattern, out="whole")
        (tmp_path / "cache").rename(tmp_path / "first-cache")
        server.broken = {"data/b.parquet"}
        code, err, _ = minigpt(server, pattern)
        assert code == 2
        assert f"hf://datasets/{NAME}/data/b.parquet: not to be had from the hub: " in err
        assert json.loads((tmp_path / "out" / "journal.json").read_text())["state"]["documents"] == 1
        server.broken = set()
        code, err, asked = minigpt(server, pattern)
        assert (code, err) == (0, "")
        assert not [line for line in asked if line.startswith("GET /datasets/") and "a.parquet" in line]
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


FIND = """
import sys
from minigpt.errors import DataError
from minigpt.prepare.inputs import find_sources
for pattern in sys.argv[1:]:
    try:
        sys.exit(f"{pattern} found {find_sources([pattern])}")
    except DataError as error:
        print(error)
"""


def test_what_the_hub_does_not_have(tmp_path, files):
    said = {
        "hf://datasets/owner/name": "expected hf://datasets/OWNER/NAME/FILES, such as 'hf://datasets/Hugging",
        "hf://models/owner/name/a.txt": "expected hf://datasets/OWNER/NAME/FILES",
        "hf://datasets/owner/name/data/*.txt": "expected files, found none that match",
        "hf://datasets/owner/name/data/*.md*x": "expected files, found none that match",
        "hf://datasets/owner/name@v9/data/*.parquet": "not to be had from the hub: .*check the name",
        "hf://datasets/owner/other/data/*.parquet": "not to be had from the hub: .*check the name",
    }
    with serving(NAME, files) as server:
        environment = os.environ | {"HF_ENDPOINT": server.url, "HF_HOME": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-c", FIND, *said], env=environment, capture_output=True, text=True, timeout=300
        )
    lines = done.stdout.splitlines()
    assert (done.returncode, done.stderr, len(lines)) == (0, "", len(said))
    for line, (pattern, expected) in zip(lines, said.items(), strict=True):
        assert line.startswith(f"{pattern}: ")
        assert re.search(expected, line)


def test_a_hub_that_cannot_be_reached(tmp_path, files, minigpt):
    with serving(NAME, files) as server:
        pass
    code, err, _ = minigpt(server, f"hf://datasets/{NAME}/data/*.parquet")
    assert code == 2
    assert "not to be had from the hub: " in err
    assert err.count("\n") == 1
