"""minigpt data, from its flags to its last line."""

import contextlib
import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from minigpt.config import whole_between
from minigpt.cores import available_cores
from minigpt.errors import CommError, ConfigError, DataError
from minigpt.prepare import hub, join, journal, manifest, parquet
from minigpt.prepare.encode import Recipe, fingerprint, load_tokenizer
from minigpt.prepare.inputs import find_sources, shard_name
from minigpt.prepare.output import Output
from minigpt.prepare.parts import parse_part, share
from minigpt.prepare.progress import Progress
from minigpt.prepare.units import UNIT, cut_file
from minigpt.prepare.workers import Stopped, encode_in_order, wait_for
from minigpt.screen import printable, say, tell
from minigpt.stop import RESUMABLE, StopSignal

GO_ON = "the same command goes on from there"
FULL = "the disk is full; make room"
NO_ROOM = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: FULL,
    errno.EFBIG: "a file has reached the largest size allowed here; raise `ulimit -f`",
}


def prepare(options, unit=UNIT):
    """minigpt data. The exit code: 0 done, 1 failed (the same command goes on), 75 stopped (it does too).

    unit: bytes of text in a piece of work; the output does not depend on it. Raises DataError, ConfigError.
    """
    check(options)
    with StopSignal() as stop:
        try:
            if options.join:
                join_parts(options, stop)
            else:
                make_shards(options, unit, stop)
            return 0
        except Stopped:
            return ended(f"{options.out}: stopped; {GO_ON}", RESUMABLE)
        except CommError as error:
            return ended(error, 1)
        except (OSError, DataError) as error:
            if not (reason := no_room(error)):
                raise
            return ended(f"{options.out}: {reason}, then {GO_ON}", 1)


def check(options):
    """ConfigError if a flag is none."""
    for name, known in (("format", ("auto", "text", "jsonl", "parquet")), ("eot", ("before", "after"))):
        if getattr(options, name) not in known:
            raise ConfigError(f"{name} must be one of {', '.join(known)}: found {getattr(options, name)!r}")
    whole_between("shard_tokens", options.shard_tokens, 1, 2**31 - 1)
    if options.workers is not None:
        whole_between("workers", options.workers, 1, 1024)
    if options.join:
        join.check_alone(options)
    if not options.out:
        raise ConfigError("out must name a folder: found an empty name")


def ended(line, code):
    """A line on standard error, and the exit code."""
    tell(f"minigpt: {printable(str(line))}")
    return code


def no_room(error):
    """What to say if the disk took no more, else None; disk.replace_file says so by a DataError."""
    reason = error if isinstance(error, OSError) else error.__context__
    return NO_ROOM.get(reason.errno) if isinstance(reason, OSError) else None


class Plan(NamedTuple):
    """What is to be made of which files."""

    folder: Path
    names: Callable  # of shards
    mine: range  # the sources that are read
    settings: dict
    inputs: list  # all of them, as the manifest has them


def make_shards(options, unit, stop):
    """From files to shards, or to one part of them."""
    sources = checked_sources(options)
    tokenizer = load_tokenizer(options.tokenizer)
    recipe = Recipe(options.tokenizer, fingerprint(tokenizer), options.field, options.eot)
    plan = plan_of(options, sources, tokenizer, recipe)
    with opened(plan.folder):
        if is_finished(plan.folder, plan.settings | {"inputs": plan.inputs}):
            return
        stamps = [{"written": source.stamp} for source in sources]
        stamped = [one | stamp for one, stamp in zip(plan.inputs, stamps, strict=True)]
        output = Output(plan.folder, plan.settings | {"inputs": stamped}, plan.names, options.shard_tokens)
        with contextlib.closing(output):
            units = units_of(sources, plan.mine, output.state, options.field, unit, stop)
            results = encode_in_order(units, recipe, options.workers or available_cores(), stop)
            size = sum(sources[i].size for i in plan.mine)
            with contextlib.closing(
                Progress(size, read_before(sources, plan.mine, output.state))
            ) as progress:
                write_all(output, results, progress)
            output.finish(holds_out=not options.part)
            content = manifest.write(plan.folder, plan.settings, plan.inputs, output.state, tokenizer)
        say(f"{plan.folder}: {summary(content)}; {progress.speed():.1f} MB/s\n")


def checked_sources(options):
    """The files to read; parquet has the column before anything is written."""
    sources = find_sources(options.inputs, options.format)
    for source in sources:
        if source.format == "parquet" and source.path:
            parquet.group_sizes(source, options.field)
    return sources


def plan_of(options, sources, tokenizer, recipe):
    """The Plan for the whole, or for the part that is asked for."""
    folder = Path(options.out)
    name = shard_name(options.name or Path(os.path.realpath(folder)).name)
    settings = manifest.settings_of(tokenizer, recipe, options.shard_tokens, name)
    inputs = manifest.inputs_of(sources)
    if options.part is None:
        return Plan(folder, shard_names(name), range(len(sources)), settings, inputs)
    part = parse_part(options.part)
    check_top(folder)
    mine = range(*share([source.size for source in sources], *part))
    return Plan(join.part_folder(folder, *part), part_names, mine, settings | {"part": list(part)}, inputs)


def join_parts(options, stop):
    """From all parts to shards."""
    folder = Path(options.out)
    finished = manifest.read(folder)
    if finished and not any(folder.glob("part-*")):
        say(f"{folder}: finished already: {summary(finished)}\n")
        return
    folders = join.find_parts(folder)
    contents = join.read_parts(folders, stop)
    shared = join.common(contents[0])
    join.check_options(options, shared)
    tokenizer = join.load_tokenizer(folders[0], contents[0])
    with opened(folder, join.PART):
        if is_finished(folder, shared):
            return
        names = shard_names(shared["name"])
        output = Output(folder, join.digest(contents), names, shared["shard_tokens"])
        with contextlib.closing(output):
            with saved_when_stopped(output):
                join.copy(output, folders, contents, stop)
            output.finish(holds_out=True)
            inputs = shared.pop("inputs")
            content = manifest.write(folder, shared, inputs, output.state, tokenizer)
    say(f"{folder}: {summary(content)}; the parts are of no more use\n")


def write_all(output, results, progress):
    """Write all that the workers give."""
    with saved_when_stopped(output), contextlib.closing(results):
        for unit, encoded in results:
            output.add(unit.file, unit.stop, encoded)
            progress.add(unit.weight, encoded.text_bytes)


@contextlib.contextmanager
def saved_when_stopped(output):
    """Whatever ends the work, but a full disk: what is written is not made again."""
    try:
        yield
    except (Stopped, CommError, DataError):
        output.save()
        raise


def units_of(sources, mine, state, field, unit, stop):
    """The Units from where the state is to the end of the last file; files of the hub are fetched in turn."""
    left = [i for i in mine if i >= state.file]
    remotes = [sources[i].remote for i in left if sources[i].remote]
    paths = hub.ahead(remotes, lambda attempt: wait_for(attempt, stop))
    for i in left:
        source = sources[i] if sources[i].path else sources[i]._replace(path=next(paths))
        yield from cut_file(i, source, field, state.offset if i == state.file else 0, unit)


def read_before(sources, mine, state):
    """Bytes of the files that an earlier run has read, for the time left: of the last one if it is known."""
    before = sum(sources[i].size for i in mine if i < state.file)
    return before + (state.offset if sources[state.file].format != "parquet" else 0)


def shard_names(name):
    """The name and the split of shard i, as llm.c has them: the first one is for validation."""

    def names(i):
        split = "train" if i else "val"
        return f"{name}_{split}_{i:06d}.bin", split

    return names


def part_names(i):
    """The same for a part, whose shards are not the ones of the whole."""
    return f"tokens_{i:06d}.bin", "part"


def check_top(folder):
    """DataError if the folder for parts is another output."""
    for name in (journal.JOURNAL, manifest.MANIFEST):
        if (folder / name).exists():
            raise DataError(
                f"{folder}: expected a folder for parts, found {name}: an output without parts, or one that "
                "is joined; give another --out"
            )


@contextlib.contextmanager
def opened(folder, may_hold=""):
    """The output's folder, while nobody else has it."""
    lock = journal.open_folder(folder, may_hold)
    try:
        yield
    finally:
        os.close(lock)


def is_finished(folder, asked):
    """Whether there is nothing to do; DataError if what is there is not what is asked for."""
    content = manifest.read(folder)
    if content is None:
        return False
    journal.refuse_others(folder / manifest.MANIFEST, {key: content.get(key) for key in asked}, asked)
    (folder / journal.JOURNAL).unlink(missing_ok=True)  # killed right after the manifest
    say(f"{folder}: finished already: {summary(content)}\n")
    return True


def summary(content):
    """What an output is, in a line."""
    documents, n_bytes, n_tokens = content["documents"], content["text_bytes"], content["tokens"]
    skipped = f" ({content['skipped']:,} rows without a text skipped)" if content["skipped"] else ""
    ratio = f"{n_bytes / max(1, n_tokens):.2f} bytes a token"
    return f"{documents:,} documents{skipped}, {n_tokens:,} tokens, {ratio}, {len(content['shards'])} shards"
