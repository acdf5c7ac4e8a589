"""A model with its tokenizer, and the texts that it continues token by token."""

import codecs
import time
from typing import NamedTuple

import numpy as np

from minigpt.choice import Choice, Dice
from minigpt.decode import Decoder
from minigpt.model_files import load_model
from minigpt.sample import begin, draws

CANDIDATES = 5  # shown by show_probs


class Token(NamedTuple):
    """A token that was drawn."""

    id: int
    candidates: list | None  # where it came from, if that is to be shown


class Sample:
    """A prompt and what has been drawn after it so far: Tokens, <|endoftext|> too if it came.

    before: the ids of what the prompt goes on from.
    """

    def __init__(self, prompt, seed, before=()):
        self.prompt, self.seed, self.before, self.drawn = prompt, seed, tuple(before), []


class Writer:
    """A model with its tokenizer, ready to continue texts."""

    def __init__(self, command):
        self.show_probs, self.max_new_tokens = command.show_probs, command.max_new_tokens
        self.choice = Choice(command.temperature, command.top_k, command.top_p, command.top_p_rule)
        running = {name: getattr(command, name) for name in ("ops", "threads", "device", "products")}
        model = load_model(command.weights, command.tokenizer, **running)
        self.tokenizer, self.ops = model.tokenizer, model.ops
        self.decoder = Decoder(model.config, model.ops, model.params)
        self.slide = max(1, model.config.n_ctx // 4)
        self.tokens, self.seconds = 0, 0.0  # written, and spent on it
        self.last = None, None  # the prompt that was read last, and what it is begun with

    def continued(self, sample):
        """Yield (what was there, None), then draw tokens into sample and yield (text, Token) for each.

        A text is "" while a character is not whole.
        """
        characters, ids = codecs.getincrementaldecoder("utf-8")("replace"), self.read(sample)
        options = (self.max_new_tokens, self.choice, [Dice(sample.seed)], {self.tokenizer.eot})
        yield characters.decode(self.bytes_of(ids)), None
        with self.ops.session():
            begun = self.begun(ids)
            started = time.perf_counter()
            for (drawn,) in draws(self.decoder, begun, *options):
                token = Token(drawn.id, self.candidates(drawn) if self.show_probs else None)
                self.seconds += time.perf_counter() - started
                self.tokens += 1
                sample.drawn.append(token)
                yield characters.decode(self.bytes_of([token.id])), token
                started = time.perf_counter()  # not before: a terminal takes its time
        yield characters.decode(b"", final=True), None

    def read(self, sample):
        """The ids that the model reads: what came before, and the prompt; <|endoftext|> if both are empty."""
        return (*sample.before, *self.tokenizer.encode(sample.prompt)) or (self.tokenizer.eot,)

    def written(self, sample):
        """What a continuation of the sample reads: ids and not text, for a character may be half there."""
        return (*self.read(sample), *(one.id for one in sample.drawn))

    def begun(self, ids):
        """The ids, read by the model; only once for all samples of them."""
        if self.last[0] != ids:
            self.last = ids, begin(self.decoder, [ids], self.slide)
        return self.last[1]

    def text(self, sample):
        """What has been written after the prompt."""
        return self.bytes_of([one.id for one in sample.drawn]).decode("utf-8", "replace")

    def bytes_of(self, ids):
        """The text that ids stand for; <|endoftext|> stands for none."""
        return self.tokenizer.decode_bytes([id for id in ids if id != self.tokenizer.eot])

    def candidates(self, drawn):
        """The likeliest of what a token was drawn from, and it: (id, text, probability) each."""
        probs = self.choice.probs(drawn.logits)  # (V)
        likeliest = np.argsort(-probs, kind="stable")[:CANDIDATES].tolist()
        shown = likeliest if drawn.id in likeliest else [*likeliest, drawn.id]
        return [(id, self.tokenizer.decode([id]), float(probs[id])) for id in shown if probs[id] > 0]
