"""Which files to read, in which order, and whether they are what they seem, before any work begins."""

import glob
import os
import re
import stat
from pathlib import Path
from typing import NamedTuple

from minigpt.errors import DataError
from minigpt.prepare import hub

TEXT = (".txt", ".text", ".md", ".markdown", ".rst", ".tex")
FORMATS = dict.fromkeys(TEXT, "text") | {".jsonl": "jsonl", ".ndjson": "jsonl", ".parquet": "parquet"}
PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip", ".tar", ".tgz", ".7z")
LFS_POINTER = b"version https://git-lfs"
PARQUET = b"PAR1"  # a parquet file begins and ends with it


class Source(NamedTuple):
    """A file to read."""

    name: str  # as it was given, or as its pattern gave it: what messages and the manifest call it
    path: str | None  # where it lies; None: on the hub, until it is fetched
    format: str
    size: int  # bytes
    stamp: int | str  # when a local file was written, in nanoseconds; the hub's hash of its content
    remote: hub.Remote | None = None


def find_sources(patterns, format="auto"):
    """The Sources of all patterns: in the order of the patterns, within each in the order of names.

    DataError if a pattern matches nothing, or a file is none that can be read, or is named twice.
    """
    if not patterns:
        raise DataError("inputs: expected files, globs or hf://datasets/..., found none")
    sources = [source for pattern in patterns for source in sources_of(pattern, format)]
    first = {}
    for source in sources:
        place = source.remote or os.path.realpath(source.path)
        if place in first:
            raise DataError(
                f"{source.name}: expected each file once, found it twice (the other time as {first[place]}); "
                "give patterns that do not overlap"
            )
        first[place] = source.name
    return sources


def sources_of(pattern, format):
    """The Sources of one pattern, in the order of their names."""
    if pattern.startswith(hub.PREFIX):
        found = hub.find(pattern)
        return [Source(one.name, None, format_of(one.name, format), one.size, one.id, one) for one in found]
    return [local_source(path, format) for path in matching(pattern)]


def matching(pattern):
    """The files that a path or a glob stands for. A name that exists is no glob, whatever is in it."""
    if os.path.isdir(pattern):
        raise DataError(f"{pattern}: expected files, found {what_a_folder_holds(pattern)}")
    if os.path.lexists(pattern):
        return [pattern]
    names = [] if "\0" in pattern else glob.glob(pattern, recursive=True)
    files = sorted(name for name in names if not os.path.isdir(name))
    if not files:
        raise DataError(f"{pattern}: expected a file or a glob of files, found no such; check the path")
    return files


def what_a_folder_holds(folder):
    """The rest of the sentence that refuses a folder: which of its files are meant is not to be guessed."""
    suffixes = sorted({path.suffix for path in Path(folder).rglob("*") if path.is_file()})
    if not suffixes:
        return "an empty folder; give files to read"
    known = [suffix for suffix in suffixes if suffix in FORMATS] or suffixes
    globs = " or ".join(f"'{os.path.join(folder, '**', '*' + suffix)}'" for suffix in known[:3])
    return f"a folder; give the files in it, such as {globs}"


def local_source(name, format):
    """The Source of a local file, after a look at its first and last bytes."""
    try:
        status = os.stat(name)
        if not stat.S_ISREG(status.st_mode):
            raise DataError(f"{name}: expected a file, found a pipe or device; write it to a file first")
        with open(name, "rb") as file:
            head = file.read(len(LFS_POINTER))
            file.seek(max(0, status.st_size - len(PARQUET)))
            tail = file.read(len(PARQUET))
    except FileNotFoundError:
        raise DataError(f"{name}: expected a file, found a link to nowhere; mend it") from None
    except OSError as reason:
        raise DataError(
            f"{name}: expected a readable file, found: {reason.strerror}; check its permissions"
        ) from None
    format = format_of(name, format)
    refuse_strangers(name, format, status.st_size, head, tail)
    return Source(name, os.path.abspath(name), format, status.st_size, status.st_mtime_ns)


def refuse_changed(source, status=None):
    """DataError if a file is not what it was when the run began. status: of the open file, if it is."""
    try:
        status = status or os.stat(source.path)
    except OSError as reason:
        raise DataError(f"{source.name}: cannot be read any more: {reason.strerror}") from None
    if status.st_size != source.size or (not source.remote and status.st_mtime_ns != source.stamp):
        raise DataError(
            f"{source.name}: expected it to stay as it was when the run began ({source.size:,} bytes), "
            f"found it written since ({status.st_size:,} bytes); begin anew with another --out"
        )


def refuse_strangers(name, format, size, head, tail):
    """DataError if the first and last bytes show that a file is not of its format."""
    if not size:
        raise DataError(f"{name}: expected {format}, found an empty file; leave it out")
    if head.startswith(LFS_POINTER):
        raise DataError(
            f"{name}: expected {format}, found a git-LFS pointer; fetch the file itself: `git lfs pull`"
        )
    begins, ends = head.startswith(PARQUET), tail == PARQUET
    if format == "parquet" and not (begins and ends and size >= 12):
        found = "a parquet file without its end" if begins else f"a file that begins with {head[:8]!r}"
        raise DataError(f"{name}: expected a parquet file, found {found}; fetch it again")
    if format != "parquet" and begins and ends:
        raise DataError(f"{name}: expected {format}, found a parquet file; say --format parquet")


def format_of(name, format):
    """The format of a file by its name, unless it is said."""
    if format != "auto":
        return format
    suffix = os.path.splitext(name)[1].lower()
    if suffix in FORMATS:
        return FORMATS[suffix]
    if suffix in PACKED:
        advice = "unpack it first"
    elif suffix == ".json":
        advice = "write one object a line to a .jsonl file, or say --format jsonl if that is what it is"
    else:
        advice = "say which one it is: --format text, jsonl or parquet"
    found = f"the suffix {suffix!r}" if suffix else "no suffix"
    raise DataError(f"{name}: expected text ({', '.join(TEXT)}), .jsonl or .parquet, found {found}; {advice}")


def shard_name(name):
    """A name that shards can begin with, or a DataError."""
    if not re.fullmatch(r"[\w.+-]+", name):
        raise DataError(f"name: expected letters, digits and . _ + -, found {name!r}; say --name")
    return name
