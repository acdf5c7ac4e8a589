"""One file over HTTP, whole or not at all: gone on with where it broke off, verified, then put in its place.

What has come so far lies beside the file, as NAME.part, and NAME.part.json says of which version of the
file it is a part: the server's ETag, or the date. A request for the rest names that version (Range with
If-Range, RFC 9110, sections 14.2 and 13.1.5), so that two versions are never spliced together.
"""

import contextlib
import dataclasses
import http.client
import json
import re
import shutil
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path

from tqdm import tqdm

from minigpt.disk import describe
from minigpt.errors import CheckpointError
from minigpt.screen import printable
from minigpt.system import flush

WAITS = (1, 2, 4, 8, 16, 32)  # seconds before another try, as long as no try brings anything new
TIMEOUT = 30  # seconds without a byte
CHUNK = 2**18  # bytes in memory at once
PASSING = {408, 425, 429, 500, 502, 503, 504}  # answers that another try may turn into a good one
HTML = "an HTML page, as the log-in pages of networks are"
FOREIGN = {b"<!doctype html": HTML, b"<html": HTML, b"version https://git-lfs": "a git-LFS pointer"}


@dataclasses.dataclass(frozen=True)
class Wanted:
    """A file: where it is from, where it goes, and what is known of it beforehand."""

    url: str
    path: Path
    size: int | None = None
    sha256: str | None = None
    check: Callable[[Path], None] | None = None  # raises CheckpointError on a file that it is not
    begins: bytes = b""  # as every version of it does, damaged ones too: what begins otherwise is another's


class Broken(Exception):
    """A try that failed and may succeed if it is made again."""

    def __init__(self, reason, reached=True, wait=0):
        super().__init__(printable(" ".join(str(reason).split())))  # a server may say anything
        self.reached, self.wait = reached, wait  # was there an answer; seconds that the server asks for


class Part:
    """What has come of a file so far, and of which version of it."""

    def __init__(self, path):
        self.path, self.notes = path.with_name(f"{path.name}.part"), path.with_name(f"{path.name}.part.json")
        self.facts = self._read_notes() if self.path.exists() else {}

    @property
    def size(self):
        """Bytes that are there and known to belong to a version."""
        return self.path.stat().st_size if self.facts else 0

    def start(self, facts):
        """Begin anew, with another version."""
        self.path.write_bytes(b"")
        self.notes.write_text(json.dumps(facts), encoding="utf-8")
        self.facts = facts

    def drop(self):
        """Forget all."""
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)
        self.facts = {}

    def _read_notes(self):
        try:
            facts = json.loads(self.notes.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        version = facts.get("version") if isinstance(facts, dict) else None
        return facts if isinstance(version, str) and version.isprintable() else {}


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects, never from https to less, and keeps what the Hugging Face hub says before its own:
    a large file's SHA-256 and size (X-Linked-Etag, X-Linked-Size).
    """

    def __init__(self):
        self.sha256 = None

    def redirect_request(self, request, body, code, message, headers, url):
        """The request to make next."""
        if request.full_url.startswith("https:") and not url.startswith("https:"):
            raise CheckpointError(f"{request.full_url}: redirects to {url}, which is not https")
        self.sha256 = self.sha256 or sha256_of(headers)
        return super().redirect_request(request, body, code, message, headers, url)


def fetch(wanted):
    """Bring a file to wanted.path, and return its size. Raises CheckpointError if that cannot be done."""
    if wanted.path.is_dir():
        raise CheckpointError(f"{wanted.path}: expected a file or nothing, found a folder; move it away")
    part, best, failures, reached = Part(wanted.path), -1, 0, False
    bar = tqdm(total=wanted.size, unit="B", unit_scale=True, desc=wanted.path.name, disable=None)
    with bar:
        while True:
            try:
                transfer(wanted, part, bar)
                break
            except Broken as failure:
                reached = reached or failure.reached
                failures = failures + 1 if part.size <= best else 1
                best = max(best, part.size)
                if not reached or failures > len(WAITS):
                    raise CheckpointError(farewell(wanted, part, failure, reached)) from None
                time.sleep(max(WAITS[failures - 1], failure.wait))
    verify(wanted, part)
    flush(part.path)
    part.path.replace(wanted.path)
    part.drop()
    flush(wanted.path.parent)
    return wanted.path.stat().st_size


def farewell(wanted, part, failure, reached):
    """The sentence that ends a download which cannot be finished now."""
    if not reached:
        return f"{wanted.url}: cannot be reached: {failure}; check the connection and run this again"
    there = f"; {part.size:,} bytes are there, run this again to go on from them" if part.size else ""
    return f"{wanted.url}: gave up after {len(WAITS) + 1} tries in vain: {failure}{there}"


def transfer(wanted, part, bar):
    """One try: ask for what is missing and append what comes. Raises Broken and CheckpointError."""
    if 0 < part.size == part.facts.get("size"):
        return  # all is there since last time
    redirects = Redirects()
    with answer_to(request_for(wanted, part), redirects, part) as response:
        total = check_answer(wanted, part, response, redirects)
        bar.total = total
        bar.update(part.size - bar.n)
        with appending(wanted, part, total) as file:
            while block := block_of(response):
                if file.tell() == 0:
                    check_head(wanted, part, block)
                file.write(block)
                bar.update(len(block))
    if total is not None and part.size != total:
        raise Broken(f"it ended after {part.size:,} of {total:,} bytes")


@contextlib.contextmanager
def appending(wanted, part, total):
    """The file of a part, to write on. Raises CheckpointError if the disk does not take it."""
    try:
        with open(part.path, "ab") as file:
            yield file
    except OSError as reason:
        free = shutil.disk_usage(wanted.path.parent).free
        left = "unknown" if total is None else f"{total - part.size:,}"
        raise CheckpointError(
            f"{part.path}: not writable: {reason.strerror}; {left} bytes are missing, the disk has {free:,}; "
            "what has come is kept: make room and run this again"
        ) from None


def request_for(wanted, part):
    """For the whole file, or for the rest of the version that a part is there of."""
    headers = {"User-Agent": "minigpt", "Accept-Encoding": "identity"}
    if part.size and part.facts["version"]:
        headers |= {"Range": f"bytes={part.size}-", "If-Range": part.facts["version"]}
    return urllib.request.Request(wanted.url, headers=headers)


@contextlib.contextmanager
def answer_to(request, redirects, part):
    """The server's good answer, or Broken, or CheckpointError."""
    try:
        response = urllib.request.build_opener(redirects).open(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 416:  # the part is longer than the file
            part.drop()
            raise Broken("the file has become shorter") from None
        if error.code in PASSING:
            raise Broken(f"the server says {said(error)}", wait=asked_wait(error)) from None
        raise CheckpointError(f"{request.full_url}: the server says {said(error)}") from None
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or error.reason
        raise Broken(reason, reached=False) from None
    except (http.client.InvalidURL, ValueError) as reason:
        raise CheckpointError(f"{request.full_url}: not an address: {reason}") from None
    except (OSError, http.client.HTTPException) as error:  # the connection stood, the answer did not come
        raise Broken(f"no answer: {error or type(error).__name__}") from None
    with response:
        yield response


def said(error):
    """An answer's code and words, in one line."""
    return " ".join(f"{error.code} {error.reason}".split())


def asked_wait(error):
    """The seconds of Retry-After, up to a minute; 0 where it is missing or a date."""
    return min(60, whole_number(error.headers.get("Retry-After")) or 0)


def whole_number(text):
    """The number that up to 18 digits say, None for anything else."""
    return int(text) if re.fullmatch("[0-9]{1,18}", text or "") else None


def check_answer(wanted, part, response, redirects):
    """The whole file's size by an answer's headers, None if they keep quiet; part is ready to be added to."""
    if response.headers.get_content_type() == "text/html":
        raise CheckpointError(f"{wanted.url}: expected a file, found {HTML}")
    rest = response.status == 206
    begin, total = content_range(response.headers) if rest else (0, length_of(response.headers))
    sha256 = redirects.sha256 or sha256_of(response.headers)
    facts = {"version": version_of(response.headers), "sha256": sha256, "size": total}
    if not rest:
        check_room(wanted, total or 0)
        part.start(facts)
    elif begin != part.size or facts != part.facts:
        part.drop()
        raise Broken("the rest of another version came: beginning anew")
    if None not in (total, wanted.size) and total != wanted.size:
        part.drop()
        raise CheckpointError(f"{wanted.url}: expected {wanted.size:,} bytes, the server has {total:,}")
    return total


def block_of(response):
    """The next bytes of an answer; none at its end."""
    try:
        return response.read(CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise Broken(f"the connection broke: {error or type(error).__name__}") from None


def check_head(wanted, part, block):
    """Refuse, by its first bytes, what is not a file at all."""
    for head, what in FOREIGN.items():
        if block.lstrip().lower().startswith(head):
            part.drop()
            raise CheckpointError(f"{wanted.url}: expected a file, found {what}")


def check_room(wanted, size):
    """Refuse a file that the disk has no room for."""
    free = shutil.disk_usage(wanted.path.parent).free
    if size > free:
        raise CheckpointError(f"{wanted.path}: needs {size:,} bytes, the disk has {free:,}")


def version_of(headers):
    """What names a file's version in If-Range: a strong ETag, else the date; "" where there is neither."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified", "")


def length_of(headers):
    """The bytes that an answer promises, or None."""
    return whole_number(headers.get("Content-Length"))


def content_range(headers):
    """(first byte, whole size) of an answer with a part: "bytes 7-99/100" -> (7, 100)."""
    found = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", headers.get("Content-Range", ""))
    return (whole_number(found[1]), whole_number(found[2])) if found else (None, None)


def sha256_of(headers):
    """The SHA-256 that the hub publishes in its headers, or None."""
    etag = headers.get("X-Linked-Etag", "").strip('"')
    return etag if re.fullmatch("[0-9a-f]{64}", etag) else None


def verify(wanted, part):
    """Hold a part that should be the whole to all that is known of it; drop it if it is not."""
    sha256 = wanted.sha256 or part.facts.get("sha256")
    try:
        check_file(dataclasses.replace(wanted, sha256=sha256), part.path)
    except CheckpointError as reason:
        part.drop()
        raise CheckpointError(f"{wanted.url}: {reason}; it is not kept") from None


def check_file(wanted, path):
    """Raise CheckpointError if the file at path is not what is wanted."""
    if not path.is_file():
        raise CheckpointError(f"{path}: expected a file, found none")
    if wanted.size is not None and (size := path.stat().st_size) != wanted.size:
        raise CheckpointError(f"{path}: expected {wanted.size:,} bytes, found {size:,}")
    if wanted.sha256 and (found := describe(path)["sha256"]) != wanted.sha256:
        raise CheckpointError(f"{path}: expected SHA-256 {wanted.sha256}, found {found}")
    if wanted.check:
        wanted.check(path)
