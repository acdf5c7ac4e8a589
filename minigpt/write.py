"""minigpt sample: let a model write, and show what it hesitated about."""

import contextlib
import json
import os
import re
import stat
import sys

from minigpt.choice import Choice, lost
from minigpt.config import whole_between
from minigpt.errors import ConfigError, DataError, NumericsError
from minigpt.flags import refuse_empty
from minigpt.screen import open_screen, say, tell
from minigpt.stop import INTERRUPTED
from minigpt.writer import Sample, Writer

PROMPT_BYTES = 2**26  # a larger file is no prompt


def write_sample(command):
    """Carry out minigpt sample; the exit code: 0 done, 130 stopped by Ctrl-C, with what there was."""
    check(command)
    writer = None
    try:
        prompts = prompts_of(command)
        writer = Writer(command)
        if command.interactive:
            converse(writer, command.seed)
        else:
            seeds = range(command.seed, command.seed + command.num_samples)
            samples = (Sample(prompt, seed) for prompt in prompts for seed in seeds)
            if command.json:
                write_records(writer, samples)
            else:
                write_all(writer, samples, len(prompts) * command.num_samples)
    except NumericsError:
        raise lost(command.weights) from None
    except KeyboardInterrupt:
        report(writer, "stopped by Ctrl-C")
        return INTERRUPTED
    report(writer)
    return 0


def check(command):
    """Refuse flags that contradict each other or would be ignored, and streams that are closed."""
    refuse_empty(command, ("weights", "prompt_file", "tokenizer"))
    if sum([bool(command.prompt), bool(command.prompt_file), command.interactive]) > 1:
        raise ConfigError("give one of --prompt, --prompt-file and --interactive: found several")
    if command.lines and not command.prompt_file:
        raise ConfigError("lines says how to read --prompt-file, which is missing")
    if command.top_p_rule != "smallest" and command.top_p is None:
        Choice(top_p_rule=command.top_p_rule)
        raise ConfigError("top_p_rule says how to read --top-p, which is missing")
    if command.interactive and command.json:
        raise ConfigError("interactive is for people and json for programs: give one of them")
    if command.interactive and command.num_samples != 1:
        raise ConfigError("num_samples must be 1 with --interactive, where an empty line goes on")
    whole_between("max_new_tokens", command.max_new_tokens, 1)
    whole_between("num_samples", command.num_samples, 1)
    whole_between("seed", command.seed, 0, 2**63)
    if (command.interactive or command.prompt_file == "-") and sys.stdin is None:
        raise DataError("standard input is closed: expected prompts from it")
    open_screen()


def prompts_of(command):
    """The texts to continue."""
    if not command.prompt_file:
        return [as_text(command.prompt)]
    name = command.prompt_file
    try:
        if name != "-" and stat.S_ISFIFO(os.stat(name).st_mode):  # nobody may ever write to it
            raise DataError(f"prompt_file: {name}: expected a file, found a pipe; give - and pipe it in")
        with contextlib.nullcontext(sys.stdin.buffer) if name == "-" else open(name, "rb") as file:
            content = file.read(PROMPT_BYTES + 1)
        text = content.decode("utf-8-sig")  # a byte order mark is no text
    except OSError as reason:
        raise DataError(f"prompt_file: {name}: cannot be read: {reason.strerror}") from None
    except UnicodeDecodeError as reason:
        raise DataError(f"prompt_file: {name}: expected UTF-8, found byte {reason.start} not to be") from None
    if len(content) > PROMPT_BYTES:
        raise DataError(f"prompt_file: {name}: expected at most {PROMPT_BYTES:,} bytes, found more")
    return lines_of(text, name) if command.lines else [text]


def as_text(words):
    """What was typed, where Python took some of its bytes for none of a text: they are read as UTF-8."""
    return words.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def lines_of(text, name):
    r"""The lines of a text that are not blank. They end at \n or \r\n, and at nothing else."""
    lines = [line for line in re.split(r"\r?\n", text) if line.strip()]
    if not lines:
        raise DataError(f"prompt_file: {name}: expected a prompt on each line, found only blank lines")
    return lines


def write_all(writer, samples, count):
    """Print every sample as it comes, with a line between if there are several."""
    for place, sample in enumerate(samples, start=1):
        if count > 1:
            say(f"--- sample {place} of {count}\n")
        write_one(writer, sample)


def write_one(writer, sample):
    """Print a prompt and what follows, token by token; the line is ended even if Ctrl-C ends the text."""
    stream = writer.continued(sample)
    say(next(stream)[0])
    if writer.show_probs:
        say("\n")
    try:
        for text, drawn in stream:
            if not writer.show_probs:
                say(text)
            elif drawn:
                say(row_of(drawn.candidates, drawn.id) + "\n")
    finally:
        if not writer.show_probs:
            say("\n")


def row_of(candidates, chosen):
    """A line of tokens and probabilities, the chosen one marked."""
    cells = [f"{'>' if id == chosen else ' '}{prob:6.1%} {text!r}" for id, text, prob in candidates]
    return "  ".join(f"{cell:<22}" for cell in cells).rstrip()


def write_records(writer, samples):
    """Print an object for each sample; Ctrl-C marks the last one as partial."""
    for sample in samples:
        partial = False
        try:
            for _ in writer.continued(sample):
                pass
        except KeyboardInterrupt:
            partial = True
        say(json.dumps(record_of(writer, sample, partial)) + "\n")
        if partial:
            raise KeyboardInterrupt


def record_of(writer, sample, partial):
    """A sample for programs; ids are those that were drawn, with <|endoftext|> if it came."""
    record = {"prompt": sample.prompt, "seed": sample.seed, "text": writer.text(sample), "partial": partial}
    record["ids"] = [one.id for one in sample.drawn]
    if writer.show_probs:
        record["candidates"] = [one.candidates for one in sample.drawn]
    return record


def converse(writer, seed):
    """Continue one line after another; an empty line continues what was written last."""
    with contextlib.suppress(ImportError):  # where there is none, lines cannot be edited
        import readline  # noqa: F401

    tell("A line is continued; an empty line goes on; Ctrl-C stops a text; Ctrl-D ends.")
    ids = ()
    while True:
        try:
            line = input("> ")
        except EOFError:
            say("\n")
            return
        except KeyboardInterrupt:
            if not sys.stdin.isatty():
                raise
            say("\n")  # the line is dropped, as a shell does
            continue
        except UnicodeDecodeError as reason:
            found = f"expected {reason.encoding}, found byte 0x{reason.object[reason.start]:02x}"
            raise DataError(f"standard input: {found}; set PYTHONIOENCODING=utf-8") from None
        sample = Sample(as_text(line), seed, before=() if line else ids)
        with contextlib.suppress(KeyboardInterrupt):  # this text is long enough; the next line may come
            write_one(writer, sample)
        ids, seed = writer.written(sample), seed + 1


def report(writer, stopped=""):
    """How fast it went, and whether it was stopped."""
    if writer and writer.tokens:
        rate = writer.tokens / max(writer.seconds, 1e-9)
        figures = f"{writer.tokens} tokens in {writer.seconds:.2f} s, {rate:.1f} tokens/s"
        tell(f"{stopped}: {figures}" if stopped else figures)
    elif stopped:
        tell(f"{stopped} before the first token")
