"""minigpt sample: let a model write, and show what it hesitated about."""

import codecs
import contextlib
import json
import sys
import time
from pathlib import Path

import numpy as np

from minigpt.choice import Choice, Dice
from minigpt.config import whole_between
from minigpt.decode import Decoder
from minigpt.errors import ConfigError, DataError
from minigpt.model_files import load_model, tokenizer_of  # noqa: F401
from minigpt.sample import continuation

INTERRUPTED = 130  # the exit code of a program that Ctrl-C ended
CANDIDATES = 5  # shown by show_probs


class Writer:
    """A model with its tokenizer, ready to continue texts."""

    def __init__(self, command):
        self.command = command
        model = load_model(command.weights, command.tokenizer, command.ops, command.threads)
        self.config, self.tokenizer, self.ops = model.config, model.tokenizer, model.ops
        self.decoder = Decoder(model.config, model.ops, model.params)
        self.choice = Choice(command.temperature, command.top_k, command.top_p, command.top_p_rule)
        whole_between("max_new_tokens", command.max_new_tokens, 0)
        whole_between("num_samples", command.num_samples, 1)
        whole_between("seed", command.seed, 0, 2**63)
        self.slide = max(1, self.config.n_ctx // 4)
        self.tokens, self.seconds = 0, 0.0

    def continued(self, prompt, seed):
        """Yield (text, Drawn) for each new token; text is "" while a character is not yet whole."""
        tokenizer, characters = self.tokenizer, codecs.getincrementaldecoder("utf-8")("replace")
        ids = [tokenizer.eot, *tokenizer.encode(prompt)]
        started = time.perf_counter()
        try:
            with self.ops.session():
                for drawn in continuation(
                    self.decoder, ids, self.command.max_new_tokens, self.choice, Dice(seed), slide=self.slide
                ):
                    self.tokens += 1
                    if drawn.id == tokenizer.eot:
                        break
                    yield characters.decode(tokenizer.decode_bytes([drawn.id])), drawn
            yield characters.decode(b"", final=True), None
        finally:
            self.seconds += time.perf_counter() - started

    def candidates(self, drawn):
        """The likeliest tokens of the distribution that one was drawn from, and it: (text, probability)."""
        probs = self.choice.probs(drawn.logits)  # (V)
        likeliest = np.argsort(-probs, kind="stable")[:CANDIDATES].tolist()
        shown = likeliest if drawn.id in likeliest else [*likeliest, drawn.id]
        return [(id, self.tokenizer.decode([id]), float(probs[id])) for id in shown if probs[id] > 0]


def write_sample(command):
    """Carry out minigpt sample; the exit code: 0 done, 130 stopped by Ctrl-C, with what there was."""
    prompts = prompts_of(command)
    writer = Writer(command)
    try:
        if command.interactive:
            converse(writer)
        elif command.json:
            for record in records(writer, prompts):
                print(json.dumps(record), flush=True)
        else:
            write_all(writer, prompts)
    except KeyboardInterrupt:
        print(flush=True)
        report(writer)
        return INTERRUPTED
    report(writer)
    return 0


def prompts_of(command):
    """The texts to continue."""
    given = [bool(command.prompt), bool(command.prompt_file), command.interactive]
    if sum(given) > 1:
        raise ConfigError("give one of --prompt, --prompt-file and --interactive: found several")
    if not command.prompt_file:
        if command.lines:
            raise ConfigError("lines says how to read --prompt-file, which is missing")
        return [command.prompt]
    name = command.prompt_file
    try:
        content = sys.stdin.buffer.read() if name == "-" else Path(name).read_bytes()
        text = content.decode()
    except OSError as reason:
        raise DataError(f"prompt_file: {name}: cannot be read: {reason.strerror}") from None
    except UnicodeDecodeError as reason:
        raise DataError(f"prompt_file: {name}: expected UTF-8, found byte {reason.start} not to be") from None
    return text.splitlines() if command.lines else [text]


def write_all(writer, prompts):
    """Print every sample of every prompt as it comes, with a line between if there are several."""
    samples = [(prompt, i) for prompt in prompts for i in range(writer.command.num_samples)]
    for place, (prompt, i) in enumerate(samples):
        if len(samples) > 1:
            print(f"--- sample {place + 1} of {len(samples)}", flush=True)
        write_one(writer, prompt, writer.command.seed + i)


def write_one(writer, prompt, seed):
    """Print a prompt and what follows, token by token."""
    print(prompt, end="", flush=True)
    if writer.command.show_probs:
        print()
    for text, drawn in writer.continued(prompt, seed):
        if not writer.command.show_probs:
            print(text, end="", flush=True)
        elif drawn:
            print(row_of(writer.candidates(drawn), drawn.id), flush=True)
    print(flush=True)


def row_of(candidates, chosen):
    """A line of tokens and probabilities, the chosen one marked."""
    cells = [f"{'>' if id == chosen else ' '}{prob:6.1%} {text!r}" for id, text, prob in candidates]
    return "  ".join(f"{cell:<22}" for cell in cells).rstrip()


def records(writer, prompts):
    """Yield an object for each sample: prompt, seed, text, ids, and the candidates if asked for."""
    for prompt in prompts:
        for i in range(writer.command.num_samples):
            seed = writer.command.seed + i
            parts = list(writer.continued(prompt, seed))
            drawn = [one for _, one in parts if one]
            record = {"prompt": prompt, "seed": seed, "text": "".join(text for text, _ in parts)}
            record["ids"] = [one.id for one in drawn]
            if writer.command.show_probs:
                record["candidates"] = [writer.candidates(one) for one in drawn]
            yield record


def converse(writer):
    """Continue one line after another; an empty line continues what was written last."""
    with contextlib.suppress(ImportError):  # where there is none, lines cannot be edited
        import readline  # noqa: F401

    print("A line is continued; an empty line goes on; Ctrl-D ends.", file=sys.stderr)
    written, seed = "", writer.command.seed
    while True:
        try:
            line = input("> ")
        except EOFError:
            print()
            return
        written = line or written
        try:
            print(written, end="", flush=True)
            for text, _ in writer.continued(written, seed):
                print(text, end="", flush=True)
                written += text
        except KeyboardInterrupt:
            pass  # this text is long enough; the next line may come
        print(flush=True)
        seed += 1


def report(writer):
    """How fast it went, for the person at the terminal."""
    if writer.tokens:
        rate = writer.tokens / writer.seconds
        print(f"{writer.tokens} tokens in {writer.seconds:.2f} s, {rate:.1f} tokens/s", file=sys.stderr)
