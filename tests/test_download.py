"""minigpt download against a server on this machine that does all that servers do."""

import contextlib
import hashlib
import http.server
import json
import os
import re
import subprocess
import sys
import threading

import numpy as np
import pytest
import tyro
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save

from minigpt import download, fetch
from minigpt.disk import lock_folder
from minigpt.download import Download
from minigpt.errors import CheckpointError
from minigpt.fetch import Wanted

CONTENT = np.random.default_rng(0).bytes(200_000)
OTHER = np.random.default_rng(1).bytes(200_000)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers each request by the next entry of the server's script; without one, as it should."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        script = self.server.script
        (script.pop(0) if script else whole_or_rest)(self)

    def log_message(self, *arguments):
        pass


def send(handler, code, body=b"", length=None, **headers):
    """An answer, with a Content-Length that may be a lie."""
    handler.send_response(code)
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    if length is not False:
        handler.send_header("Content-Length", str(len(body) if length is None else length))
    handler.end_headers()
    handler.server.sent += len(body)
    handler.wfile.write(body)


def content_of(handler):
    files = handler.server.files
    return files[handler.path] if handler.path in files else None


def whole(handler, content=None, etag='"1"', **changes):
    """The file from its beginning, whatever was asked for."""
    content = content_of(handler) if content is None else content
    if content is None:
        send(handler, 404)
    else:
        send(handler, 200, content, **{"ETag": etag} | changes)


def whole_or_rest(handler, content=None, etag='"1"', upto=None, length=None):
    """What RFC 9110 asks for: the rest of the very version, or the whole file. upto: the line drops there."""
    content = content_of(handler) if content is None else content
    asked, version = handler.headers.get("Range"), handler.headers.get("If-Range")
    if asked is None or version != etag:
        whole(handler, content[:upto], etag, length=length or len(content))
        return
    begin = int(asked.removeprefix("bytes=").removesuffix("-"))
    if begin >= len(content):
        send(handler, 416)
        return
    span = f"bytes {begin}-{len(content) - 1}/{len(content)}"
    send(handler, 206, content[begin:upto], len(content) - begin, ETag=etag, Content_Range=span)


def dropping(upto, **how):
    """An answer that breaks off."""
    return lambda handler: whole_or_rest(handler, upto=upto, **how)


def saying(code, **headers):
    return lambda handler: send(handler, code, **headers)


@pytest.fixture
def server(monkeypatch):
    """The server; waits between tries are there, but short."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(fetch, "WAITS", (0, 0, 0))
    with serving() as running:
        yield running


@contextlib.contextmanager
def serving():
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    running.daemon_threads = True
    running.script, running.requests, running.files, running.sent = [], [], {"/file": CONTENT}, 0
    running.address = f"http://127.0.0.1:{running.server_address[1]}"
    thread = threading.Thread(target=running.serve_forever, args=[0.01])
    thread.start()
    try:
        yield running
    finally:
        running.shutdown()
        thread.join()
        running.server_close()


@pytest.fixture
def wanted(server, tmp_path):
    return Wanted(f"{server.address}/file", tmp_path / "file", len(CONTENT))


def ranges(server):
    """The Range of each request."""
    return [asked for _, asked in server.requests]


def left_in(folder):
    return sorted(path.name for path in folder.iterdir())


# A file that arrives -------------------------------------------------------------------------------------


def test_a_file_arrives_and_nothing_else_stays(server, wanted, tmp_path):
    assert fetch.fetch(wanted) == len(CONTENT)
    assert wanted.path.read_bytes() == CONTENT
    assert left_in(tmp_path) == ["file"]
    assert ranges(server) == [None]


def test_a_line_that_drops_is_taken_up_where_it_broke(server, wanted):
    server.script = [dropping(50_000), dropping(120_001), dropping(120_001)]
    fetch.fetch(wanted)
    assert wanted.path.read_bytes() == CONTENT
    assert ranges(server) == [None, "bytes=50000-", "bytes=120001-", "bytes=120001-"]
    assert server.sent == len(CONTENT)  # nothing came twice


@given(cuts=st.lists(st.integers(0, len(CONTENT)), max_size=3))
def test_wherever_it_breaks_the_file_is_the_same(tmp_path_factory, cuts):
    with pytest.MonkeyPatch.context() as patch, serving() as server:
        patch.setenv("no_proxy", "127.0.0.1")
        patch.setattr(fetch, "WAITS", (0, 0, 0))
        server.script = [dropping(max(cuts[: place + 1])) for place in range(len(cuts))]
        path = tmp_path_factory.mktemp("cut") / "file"
        fetch.fetch(Wanted(f"{server.address}/file", path, len(CONTENT)))
        assert path.read_bytes() == CONTENT


def test_a_later_run_goes_on_with_what_an_earlier_left(server, wanted, tmp_path):
    server.script = [dropping(70_000)] + [saying(503)] * 3
    with pytest.raises(CheckpointError, match="70,000 bytes are there"):
        fetch.fetch(wanted)
    assert left_in(tmp_path) == ["file.part", "file.part.json"]
    fetch.fetch(wanted)
    assert ranges(server)[-1] == "bytes=70000-"
    assert wanted.path.read_bytes() == CONTENT


def test_all_that_was_missing_was_the_name(server, wanted, tmp_path):
    (tmp_path / "file.part").write_bytes(CONTENT)
    facts = {"version": '"1"', "sha256": None, "size": len(CONTENT)}
    (tmp_path / "file.part.json").write_text(json.dumps(facts))
    fetch.fetch(wanted)
    assert server.requests == []
    assert wanted.path.read_bytes() == CONTENT


@pytest.mark.parametrize("notes", ["", "[]", '{"version": 3}', '{"version": "a\\nb"}', "\xff"])
def test_a_part_of_nobody_knows_what_is_not_used(server, wanted, tmp_path, notes):
    (tmp_path / "file.part").write_bytes(b"x" * 1000)
    (tmp_path / "file.part.json").write_text(notes, encoding="latin-1")
    fetch.fetch(wanted)
    assert ranges(server) == [None]
    assert wanted.path.read_bytes() == CONTENT


def test_a_server_that_ignores_range_begins_anew(server, wanted):
    server.script = [dropping(50_000), whole]
    fetch.fetch(wanted)
    assert ranges(server) == [None, "bytes=50000-"]
    assert wanted.path.read_bytes() == CONTENT


def test_a_server_without_versions_is_never_asked_for_a_rest(server, wanted):
    server.script = [lambda handler: whole(handler, CONTENT[:9], None, length=len(CONTENT)), whole]
    fetch.fetch(wanted)
    assert ranges(server) == [None, None]
    assert wanted.path.read_bytes() == CONTENT


def test_a_weak_etag_is_no_version(server, wanted):
    server.script = [lambda handler: whole(handler, CONTENT[:9], 'W/"1"', length=len(CONTENT)), whole]
    fetch.fetch(wanted)
    assert ranges(server) == [None, None]


def test_a_file_that_changes_on_the_way_is_not_spliced(server, wanted):
    server.files["/file"] = OTHER
    server.script = [
        dropping(50_000, content=CONTENT, etag='"1"'),
        dropping(None, content=OTHER, etag='"2"'),  # If-Range is "1": the whole new file
    ]
    fetch.fetch(wanted)
    assert wanted.path.read_bytes() == OTHER


@pytest.mark.parametrize("changed", [
    {"ETag": '"2"', "Content_Range": "bytes 50000-199999/200000"},
    {"ETag": '"1"', "Content_Range": "bytes 50000-200000/200001"},
    {"ETag": '"1"', "Content_Range": "bytes 49999-199999/200000"},
    {"ETag": '"1"'},
], ids=["another version", "another size", "another place", "no place"])  # fmt: skip
def test_a_rest_that_does_not_belong_is_not_spliced(server, wanted, changed):
    server.files["/file"] = OTHER
    server.script = [
        dropping(50_000, content=CONTENT),
        lambda handler: send(handler, 206, OTHER[50_000:], **changed),
        dropping(None, content=OTHER, etag='"2"'),
    ]
    fetch.fetch(wanted)
    assert ranges(server) == [None, "bytes=50000-", None]
    assert wanted.path.read_bytes() == OTHER


def test_a_file_that_has_become_shorter(server, wanted, tmp_path):
    server.files["/file"] = CONTENT[:30_000]
    server.script = [dropping(50_000, content=CONTENT), saying(416)]
    fetch.fetch(Wanted(wanted.url, wanted.path))
    assert wanted.path.read_bytes() == CONTENT[:30_000]


@pytest.mark.parametrize("code", sorted(fetch.PASSING))
def test_a_server_in_trouble_is_asked_again(server, wanted, code):
    server.script = [saying(code), saying(code)]
    fetch.fetch(wanted)
    assert wanted.path.read_bytes() == CONTENT


def test_waits_grow_and_begin_again_when_something_came(server, wanted, monkeypatch):
    slept = []
    monkeypatch.setattr(fetch, "WAITS", (1, 2, 4))
    monkeypatch.setattr(fetch.time, "sleep", slept.append)
    server.script = [saying(503), saying(503, Retry_After="7"), dropping(9), saying(503), dropping(99)]
    server.script += [saying(429, Retry_After="999"), saying(503, Retry_After="Fri, 31 Dec 1999")]
    fetch.fetch(wanted)
    assert slept == [1, 7, 1, 2, 1, 60, 4]
    assert wanted.path.read_bytes() == CONTENT


def test_a_connection_that_says_nothing_is_tried_again(server, wanted, monkeypatch):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.05)
    quiet = threading.Event()
    server.script = [lambda handler: quiet.wait(5), lambda handler: handler.connection.close()]
    fetch.fetch(wanted)
    quiet.set()
    assert wanted.path.read_bytes() == CONTENT


def test_a_redirect_is_followed(server, tmp_path):
    server.script = [saying(302, Location="/file")]
    fetch.fetch(Wanted(f"{server.address}/elsewhere", tmp_path / "file", len(CONTENT)))
    assert [path for path, _ in server.requests] == ["/elsewhere", "/file"]
    assert (tmp_path / "file").read_bytes() == CONTENT


def test_the_sha256_that_the_hub_tells_before_its_redirect_is_held_to(server, tmp_path):
    def linked(content):
        sha256 = hashlib.sha256(content).hexdigest()
        return saying(302, Location="/file", X_Linked_Etag=f'"{sha256}"')

    wanted = Wanted(f"{server.address}/elsewhere", tmp_path / "file")
    server.script = [linked(OTHER)]
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {hashlib.sha256(OTHER).hexdigest()}"):
        fetch.fetch(wanted)
    assert left_in(tmp_path) == []
    server.script = [linked(CONTENT), dropping(50_000), linked(CONTENT), dropping(None)]
    fetch.fetch(wanted)
    assert wanted.path.read_bytes() == CONTENT


# A file that does not ------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [403, 404, 410])
def test_a_file_that_is_not_there(server, wanted, tmp_path, code):
    server.script = [saying(code)]
    with pytest.raises(CheckpointError, match=rf"/file: the server says {code} \w+"):
        fetch.fetch(wanted)
    assert len(server.requests) == 1
    assert left_in(tmp_path) == []


def test_a_redirect_in_circles_is_one_line(server, wanted):
    server.script = [saying(302, Location="/file")] * 20
    with pytest.raises(CheckpointError, match="the server says 302") as error:
        fetch.fetch(wanted)
    assert "\n" not in str(error.value)


def test_a_promise_of_more_bytes_than_come(server, wanted, tmp_path):
    server.script = [lambda handler: whole(handler, length=len(CONTENT) + 5) for _ in range(9)]
    with pytest.raises(CheckpointError, match="expected 200,000 bytes, the server has 200,005"):
        fetch.fetch(wanted)
    with pytest.raises(CheckpointError, match="4 tries in vain: it ended after 200,000 of 200,005"):
        fetch.fetch(Wanted(wanted.url, wanted.path))
    assert not wanted.path.exists()


def test_a_promise_of_fewer_bytes_than_there_are(server, wanted, tmp_path):
    server.script = [lambda handler: whole(handler, length=len(CONTENT) - 5)]
    with pytest.raises(CheckpointError, match="expected 200,000 bytes, the server has 199,995"):
        fetch.fetch(wanted)
    assert left_in(tmp_path) == []


def test_no_promise_and_too_few_bytes(server, wanted, tmp_path):
    server.script = [lambda handler: whole(handler, CONTENT[:-5], length=False)]
    with pytest.raises(CheckpointError, match="expected 200,000 bytes, found 199,995; it is not kept"):
        fetch.fetch(wanted)
    assert left_in(tmp_path) == []


def test_another_content_of_the_right_length(server, wanted, tmp_path):
    sha256 = hashlib.sha256(CONTENT).hexdigest()
    server.script = [lambda handler: whole(handler, OTHER)]
    with pytest.raises(CheckpointError, match=f"expected SHA-256 {sha256}"):
        fetch.fetch(Wanted(wanted.url, wanted.path, sha256=sha256))
    assert left_in(tmp_path) == []


@pytest.mark.parametrize(("page", "headers", "what"), [
    (b"<html>log in", {"Content_Type": "text/html; charset=utf-8"}, "an HTML page"),
    (b"\n<!DOCTYPE html>", {}, "an HTML page"),
    (b"version https://git-lfs.github.com/spec/v1\n", {}, "a git-LFS pointer"),
])  # fmt: skip
def test_a_page_in_place_of_the_file(server, wanted, page, headers, what):
    server.script = [lambda handler: whole(handler, page, **headers)]
    with pytest.raises(CheckpointError, match=f"expected a file, found {what}"):
        fetch.fetch(Wanted(wanted.url, wanted.path))
    assert not wanted.path.exists()


def test_a_page_does_not_cost_what_had_come(server, wanted):
    server.script = [dropping(50_000), lambda handler: whole(handler, b"<html>", Content_Type="text/html")]
    with pytest.raises(CheckpointError, match="an HTML page"):
        fetch.fetch(wanted)
    fetch.fetch(wanted)
    assert ranges(server)[-1] == "bytes=50000-"


def test_a_server_in_lasting_trouble_is_given_up(server, wanted):
    server.script = [saying(503)] * 9
    with pytest.raises(CheckpointError, match="gave up after 4 tries in vain: the server says 503"):
        fetch.fetch(wanted)
    assert len(server.requests) == 4


def test_a_disk_without_room_is_known_before(server, wanted, monkeypatch):
    class Full:
        free = 10

    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda path: Full)
    with pytest.raises(CheckpointError, match="needs 200,000 bytes, the disk has 10"):
        fetch.fetch(wanted)


def test_a_disk_that_fills_on_the_way_keeps_what_has_come(server, wanted):
    limited = (
        "import resource, sys; from pathlib import Path; from minigpt.fetch import Wanted, fetch\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "fetch(Wanted(sys.argv[1], Path(sys.argv[2])))"
    )
    command = [sys.executable, "-c", limited, wanted.url, str(wanted.path)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert re.search(
        r"CheckpointError: .*file\.part: not writable: .*; [0-9,]+ bytes are missing, the disk has",
        ran.stderr,
    ), ran.stderr
    part = wanted.path.with_name("file.part").read_bytes()
    assert 0 < len(part) <= 100_000
    assert fetch.fetch(wanted) == len(CONTENT)
    assert wanted.path.read_bytes() == CONTENT
    assert ranges(server)[-1] == f"bytes={len(part)}-"


def test_an_answer_that_is_no_http_is_one_line(server, wanted):
    def garbage(handler):
        handler.wfile.write(b"\0\xff\x1b[2J garbage\r\n")
        handler.close_connection = True

    server.script = [garbage] * 9
    with pytest.raises(CheckpointError, match="gave up after") as raised:
        fetch.fetch(wanted)
    assert str(raised.value).isprintable()


def test_a_folder_in_the_files_place_is_left_alone(server, wanted):
    wanted.path.mkdir()
    with pytest.raises(CheckpointError, match="expected a file or nothing, found a folder; move it away"):
        fetch.fetch(wanted)
    assert server.requests == []


@pytest.mark.parametrize("digits", ["9" * 5000, "\u0662", "-1", "1e3", ""])
def test_numbers_in_headers_that_are_none_are_not_taken(server, wanted, digits):
    assert fetch.whole_number(digits) is None
    if digits.isascii():
        server.script = [saying(503, Retry_After=digits), lambda handler: whole(handler, length=digits)]
    assert fetch.fetch(wanted) == len(CONTENT)


def test_two_downloads_into_one_folder_do_not_meet(openai, server, tmp_path):
    lock = lock_folder(tmp_path, "minigpt download", CheckpointError)
    with pytest.raises(CheckpointError, match="another minigpt download is writing here; wait for it"):
        Download("gpt2-medium", out=str(tmp_path)).run()
    assert server.requests == []
    os.close(lock)
    assert Download("gpt2-medium", out=str(tmp_path)).run() == 0


def test_a_file_in_the_folders_place_is_left_alone(openai, tmp_path):
    (tmp_path / "file").write_text("kept")
    for out in ("file", "file/in/it"):
        with pytest.raises(CheckpointError, match="give another --out"):
            Download("gpt2-medium", out=str(tmp_path / out)).run()


@pytest.mark.parametrize("address", ["http://[", "http://", "https:///x", "//host", "ftp://host", "http:"])
def test_a_mirror_that_is_no_address_is_named(monkeypatch, tmp_path, address):
    monkeypatch.setenv("HF_ENDPOINT", address)
    with pytest.raises(CheckpointError, match="HF_ENDPOINT: expected an address such as"):
        Download("gpt2", "hub", out=str(tmp_path)).run()


def test_https_is_not_left():
    request = fetch.urllib.request.Request("https://a.example/file")
    with pytest.raises(CheckpointError, match="not https"):
        fetch.Redirects().redirect_request(request, None, 302, "Found", {}, "http://a.example/file")


# The command ---------------------------------------------------------------------------------------------


def openai_release(monkeypatch):
    """OpenAI's folder in small: name -> content; what is known of the true one is known of this."""
    small = {
        "hparams.json": b'{"n_layer": 12}',
        "vocab.bpe": b"#version: 0.2\n",
        "encoder.json": b'{"!": 0}',
        "checkpoint": b'model_checkpoint_path: "model.ckpt"\n',
        "model.ckpt.index": b"..." + (0xDB4775248B80FB57).to_bytes(8, "little"),
        "model.ckpt.data-00000-of-00001": CONTENT,
    }
    for name in download.VOCABULARY:
        sha256 = hashlib.sha256(small[name]).hexdigest()
        monkeypatch.setitem(download.VOCABULARY, name, (len(small[name]), sha256))
    monkeypatch.setattr(download, "count_params", lambda model: len(CONTENT) // 4)
    return small


@pytest.fixture
def openai(server, monkeypatch):
    """The server as OpenAI's."""
    small = openai_release(monkeypatch)
    monkeypatch.setenv("MINIGPT_OPENAI_ENDPOINT", server.address)
    server.files = {f"/355M/{name}": content for name, content in small.items()}
    return small


def test_openai_release_arrives_and_is_not_fetched_twice(openai, server, tmp_path, capsys):
    command = Download("gpt2-medium", out=str(tmp_path / "a" / "b"))
    assert command.run() == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "a" / "b").iterdir()} == openai
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}/a/b: complete"
    before = len(server.requests)
    assert command.run() == 0
    assert len(server.requests) == before
    assert "complete, 6 of 6 files were there" in capsys.readouterr().out


def test_a_damaged_file_is_fetched_again(openai, server, tmp_path):
    command = Download("gpt2-medium", out=str(tmp_path))
    command.run()
    (tmp_path / "vocab.bpe").write_bytes(b"#version: 0.1\n")
    (tmp_path / "model.ckpt.data-00000-of-00001").write_bytes(CONTENT[:-1])
    server.requests.clear()
    command.run()
    assert [path.rpartition("/")[2] for path, _ in server.requests] == [
        "vocab.bpe",
        "model.ckpt.data-00000-of-00001",
    ]
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == openai


@pytest.mark.parametrize("name", ["vocab.bpe", "checkpoint", "encoder.json", "hparams.json"])
def test_a_file_of_another_maker_is_left_alone(openai, server, tmp_path, name):
    (tmp_path / name).write_bytes(b"mine")
    with pytest.raises(CheckpointError, match=f"{name} is there, and was made by something else"):
        Download("gpt2-medium", out=str(tmp_path)).run()
    assert ({path.name: path.read_bytes() for path in tmp_path.iterdir()}, server.requests) == (
        {name: b"mine"},
        [],
    )


@pytest.mark.parametrize(("name", "content", "said"), [
    ("hparams.json", b"[1]", "expected a JSON object"),
    ("hparams.json", b"\xff", "expected a JSON object"),
    ("checkpoint", b"error", "expected 'model_checkpoint_path: ...', found b'error'"),
    ("model.ckpt.index", b"", "expected 57fb808b247547db at the end, found "),
    ("vocab.bpe", b"#version: 0.3\n", "expected SHA-256 "),
])  # fmt: skip
def test_what_cannot_be_the_file_is_not_kept(openai, server, tmp_path, name, content, said):
    server.files[f"/355M/{name}"] = content
    with pytest.raises(CheckpointError, match=said):
        Download("gpt2-medium", out=str(tmp_path)).run()
    assert not (tmp_path / name).exists()


def test_the_hubs_release_arrives(server, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_ENDPOINT", server.address + "/")
    tensors = save({"wte.weight": np.zeros((2, 2), np.float32)})
    files = dict.fromkeys(("config.json", "tokenizer.json", "vocab.json", "merges.txt"), b"{}")
    base = "/openai-community/gpt2-xl/resolve/main"
    server.files = {f"{base}/{name}": body for name, body in {**files, "model.safetensors": tensors}.items()}
    assert Download("gpt2-xl", "hub", str(tmp_path)).run() == 0
    assert {path.name for path in tmp_path.iterdir()} == {*files, "model.safetensors"}
    assert (tmp_path / "model.safetensors").read_bytes() == tensors
    (tmp_path / "model.safetensors").unlink()
    server.files[f"{base}/model.safetensors"] = tensors[:-1]
    with pytest.raises(CheckpointError, match="not a whole safetensors file"):
        Download("gpt2-xl", "hub", str(tmp_path)).run()


def test_sizes_of_the_true_release():
    assert download.count_params("gpt2") * 4 == 497_759_232  # FORMATS.md, section 4
    assert download.count_params("gpt2-medium") == 354_823_168
    assert download.count_params("gpt2-large") == 774_030_080
    assert download.count_params("gpt2-xl") == 1_557_611_200


def test_addresses_of_the_true_release(monkeypatch, tmp_path):
    for variable in ("MINIGPT_OPENAI_ENDPOINT", "HF_ENDPOINT"):
        monkeypatch.delenv(variable, raising=False)
    first = download.openai_files("gpt2-large", tmp_path)[-1]
    assert first.url.startswith(
        "https://openaipublic.blob.core.windows.net/gpt-2/models/774M/model.ckpt.data"
    )
    assert download.hub_files("gpt2", tmp_path)[-1].url == (
        "https://huggingface.co/openai-community/gpt2/resolve/main/model.safetensors"
    )
    monkeypatch.setenv("HF_ENDPOINT", "file:///etc")
    with pytest.raises(CheckpointError, match="HF_ENDPOINT: expected an address"):
        download.hub_files("gpt2", tmp_path)


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://nowhere.invalid"])
def test_without_a_network_it_is_one_sentence(monkeypatch, tmp_path, address):
    for variable in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("MINIGPT_OPENAI_ENDPOINT", address)
    monkeypatch.setattr(fetch.time, "sleep", None)  # there is nothing to wait for
    with pytest.raises(CheckpointError, match=r"cannot be reached: .+; check the connection") as error:
        Download("gpt2", out=str(tmp_path)).run()
    assert "\n" not in str(error.value)
    assert left_in(tmp_path) == []


def test_room_for_the_whole_release_is_asked_for_first(openai, server, monkeypatch, tmp_path):
    class Full:
        free = 199_999

    (tmp_path / "model.ckpt.data-00000-of-00001.part").write_bytes(b"")
    monkeypatch.setattr(download.shutil, "disk_usage", lambda path: Full)
    with pytest.raises(CheckpointError, match="the disk has 199,999"):
        Download("gpt2-medium", out=str(tmp_path)).run()
    assert server.requests == []


def test_ctrl_c_leaves_with_75(openai, monkeypatch, tmp_path, capsys):
    def interrupted(file):
        raise KeyboardInterrupt

    monkeypatch.setattr(fetch, "fetch", interrupted)
    assert Download("gpt2-medium", out=str(tmp_path)).run() == 75
    assert "the same command goes on from here" in capsys.readouterr().out


def test_flags():
    style = (tyro.conf.FlagCreatePairsOff,)
    assert tyro.cli(Download, args=["gpt2", "--from", "hub"], config=style) == Download("gpt2", "hub")
    assert tyro.cli(Download, args=["gpt2-xl", "--out", "x"], config=style) == Download("gpt2-xl", out="x")
