"""minigpt evaluate: how well a model predicts a text, or answers HellaSwag's questions."""

import functools
import hashlib
import json
import math

import numpy as np
import tqdm

from minigpt import hellaswag, kernels
from minigpt.config import whole_between
from minigpt.corpus import first_ids, read_text, text_of, tokenize
from minigpt.data import ordered_windows
from minigpt.door import dtype_of_params
from minigpt.errors import ConfigError, NumericsError
from minigpt.evaluate import evaluate
from minigpt.shards import TokenShards
from minigpt.sources import are_shards, files_of
from minigpt.weights import load_weights
from minigpt.write import tokenizer_of


class Model:
    """A model with its tokenizer and operations, as a command asks for them."""

    def __init__(self, command):
        self.config, self.params = load_weights(command.weights)
        self.tokenizer = tokenizer_of(command.weights, command.tokenizer, self.config)
        self.ops = kernels.table(command.ops, dtype_of_params(self.params), command.threads)


def score(command):
    """Carry out minigpt evaluate."""
    if (command.data is None) == (command.hellaswag is None):
        raise ConfigError("give one of --data and --hellaswag")
    whole_between("batch_size", command.batch_size, 1)
    whole_between("tokens", command.tokens, 0)
    model = Model(command)
    if command.context is not None:
        whole_between("context", command.context, 1, model.config.n_ctx)
    if command.hellaswag is None:
        score_data(command, model)
    else:
        score_hellaswag(command, model)


def score_data(command, model):
    """Print nats a token, perplexity and bits a byte of the first tokens of some data."""
    ids, n_all = ids_of(command, model.tokenizer)
    text = text_of(ids[1:], model.tokenizer)  # the first id is never scored
    tokens, targets = ordered_windows(ids, command.context or model.config.n_ctx)
    bar = tqdm.tqdm(total=len(tokens), unit="window", disable=None)
    with model.ops.session(), bar:
        result = evaluate(
            model.config, model.ops, model.params, tokens, targets, len(text), command.batch_size, bar.update
        )
    refuse_nan(result.nats_per_token)
    sha256 = hashlib.sha256(ids.astype("<u2" if ids.itemsize == 2 else "<u4").tobytes()).hexdigest()
    record = {
        "data": command.data,
        "tokens": len(ids) - 1,
        "first_token": 0,
        "of_tokens": n_all,
        "ids_sha256": sha256,
        "context": tokens.shape[1],
        "nats_per_token": result.nats_per_token,
        "perplexity": float(np.exp(result.nats_per_token)),
        "bits_per_byte": result.bits_per_byte,
    }
    if command.json:
        print(json.dumps(record))
        return
    print(
        f"{command.data}: ids 0 to {len(ids) - 1:,} of {n_all:,} in {len(tokens):,} windows "
        f"of {tokens.shape[1]:,}, SHA-256 {sha256}"
    )
    print(
        f"{result.nats_per_token:.6f} nats a token | perplexity {record['perplexity']:.4f} | "
        f"{result.bits_per_byte:.4f} bits a byte"
    )


def refuse_nan(nats):
    """A NumericsError if a score is none."""
    if not math.isfinite(nats):
        raise NumericsError("the model's scores are NaN or infinite: its weights are not usable")


def ids_of(command, tokenizer):
    """The ids to score, the first of which is no target, and how many the data has."""
    paths = files_of(command.data)
    wanted = command.tokens + 1 if command.tokens else None
    if command.data_format or are_shards(paths):
        shards = TokenShards(paths, tokenizer.n_vocab, command.data_format)
        return first_ids(shards, wanted or shards.n_tokens), shards.n_tokens
    ids = tokenize([read_text(path) for path in paths], tokenizer)
    return ids[:wanted], len(ids)


def score_hellaswag(command, model):
    """Print acc and acc_norm, with the counts."""
    questions = hellaswag.read_questions(command.hellaswag, model.tokenizer)
    if command.write_bin:
        hellaswag.write_bin(command.write_bin, questions)
    progress = functools.partial(tqdm.tqdm, unit="batch", disable=None)
    with model.ops.session():
        nats, counts = hellaswag.answer(
            model.config, model.ops, model.params, questions, command.batch_size, progress
        )
    refuse_nan(nats.sum())
    result = hellaswag.result_of(nats, counts, questions)
    if command.json:
        shares = {"acc": result.acc, "acc_norm": result.acc_norm}
        print(json.dumps({"hellaswag": command.hellaswag} | result._asdict() | shares))
        return
    print(
        f"{command.hellaswag}: {result.n:,} questions | acc {result.acc:.4f} ({result.correct:,}) | "
        f"acc_norm {result.acc_norm:.4f} ({result.correct_norm:,})"
    )
