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
    """A prompt and what has been drawn after it so far: Tokens, <|endoftext|> too if it came."""

    def __init__(self, prompt, seed):
        self.prompt, self.seed, self.drawn = prompt, seed, []


class Writer:
    """A model with its tokenizer, ready to continue texts."""

    def __init__(self, command):
        self.show_probs, self.max_new_tokens = command.show_probs, command.max_new_tokens
        self.choice = Choice(command.temperature, command.top_k, command.top_p, command.top_p_rule)
        running = command.ops, command.threads, command.device
        model = load_model(command.weights, command.tokenizer, *running)
        self.tokenizer, self.ops = model.tokenizer, model.ops
        self.decoder = Decoder(model.config, model.ops, model.params)
        self.slide = max(1, model.config.n_ctx // 4)
        self.tokens, self.seconds = 0, 0.0  # written, and spent on it
        self.last = None, None  # the prompt that was read last, and what it is begun with

    def continued(self, sample):
        """Draw tokens into sample; yield (text, Token) for each, with "" while a character is not whole."""
        eot, characters = self.tokenizer.eot, codecs.getincrementaldecoder("utf-8")("replace")
        options = (self.max_new_tokens, self.choice, [Dice(sample.seed)], {eot})
        with self.ops.session():
            begun = self.begun(sample.prompt)
            started = time.perf_counter()
            for (drawn,) in draws(self.decoder, begun, *options):
                token = Token(drawn.id, self.candidates(drawn) if self.show_probs else None)
                self.seconds += time.perf_counter() - started
                self.tokens += 1
                sample.drawn.append(token)
                content = b"" if token.id == eot else self.tokenizer.decode_bytes([token.id])
                yield characters.decode(content), token
                started = time.perf_counter()  # not before: a terminal takes its time
        yield characters.decode(b"", final=True), None

    def begun(self, prompt):
        """The prompt, read by the model; only once for all samples of it."""
        if self.last[0] != prompt:
            ids = [self.tokenizer.eot, *self.tokenizer.encode(prompt)]
            self.last = prompt, begin(self.decoder, [ids], self.slide)
        return self.last[1]

    def text(self, sample):
        """What has been written after the prompt."""
        return self.tokenizer.decode([one.id for one in sample.drawn if one.id != self.tokenizer.eot])

    def candidates(self, drawn):
        """The likeliest of what a token was drawn from, and it: (id, text, probability) each."""
        probs = self.choice.probs(drawn.logits)  # (V)
        likeliest = np.argsort(-probs, kind="stable")[:CANDIDATES].tolist()
        shown = likeliest if drawn.id in likeliest else [*likeliest, drawn.id]
        return [(id, self.tokenizer.decode([id]), float(probs[id])) for id in shown if probs[id] > 0]
