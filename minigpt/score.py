"""minigpt evaluate: how well a model predicts a text, or answers HellaSwag's questions."""

import hashlib
import json
import math
import sys

import tqdm

from minigpt import hellaswag
from minigpt.choice import lost
from minigpt.commands import Evaluate
from minigpt.config import whole_between
from minigpt.corpus import first_ids, named_tokenizer, read_text, tokenize
from minigpt.errors import ConfigError, DataError
from minigpt.evaluate import evaluate
from minigpt.flags import flag_of, refuse_empty
from minigpt.model_files import load_model
from minigpt.questions import read_questions, refuse_overwriting, write_bin
from minigpt.screen import open_screen, say, tell
from minigpt.shards import TokenShards
from minigpt.sources import are_shards, files_of, is_validation

RUNNING = "ops", "threads", "device", "dtype", "products", "attention"


def score(command):
    """Carry out minigpt evaluate."""
    check_flags(command)
    if command.weights is None:
        write_questions(command, named_tokenizer(command.tokenizer or "gpt2", None))
        return
    if command.data is not None:
        files_of(command.data)  # a slip of the pen is answered before the weights are read
    running = {name: getattr(command, name) for name in RUNNING}
    model = load_model(command.weights, command.tokenizer, **running)
    if command.data is not None:
        score_data(command, model)
    else:
        score_hellaswag(command, model)


def check_flags(command):
    """A ConfigError for flags that are missing, empty, out of range, or not about what is asked for."""
    refuse_empty(command, ("weights", "data", "hellaswag", "write_bin", "tokenizer"))
    if (command.data is None) == (command.hellaswag is None):
        raise ConfigError(
            "give one of --data FILES and --hellaswag FILE: found " + ("both" if command.data else "neither")
        )
    if command.data_format not in (None, "raw"):
        raise ConfigError(f"data_format must be raw, or left out: found {command.data_format!r}")
    if command.data is not None:
        refuse_given(command, ("write_bin",), "writes the questions of --hellaswag, and --data has none")
    else:
        refuse_given(command, ("data_format", "context", "tokens"), "is about --data, not --hellaswag")
    if command.weights is None:
        if command.write_bin is None:
            raise ConfigError("give the model by --weights PATH; only --write-bin needs none")
        refuse_given(command, ("batch_size", *RUNNING), "is about a model, which no --weights names")
    whole_between("batch_size", command.batch_size, 1)
    whole_between("tokens", command.tokens, 0)
    open_screen()


def refuse_given(command, names, why):
    """A ConfigError that names the flags, of these names, that are not as they are by default."""
    default = Evaluate()
    given = [name for name in names if getattr(command, name) != getattr(default, name)]
    if given:
        raise ConfigError(f"{' and '.join(map(flag_of, given))}: {why}; leave it out")


def progress_bar(total, unit):
    """A bar on a terminal; nothing where standard error is a file, or closed."""
    return tqdm.tqdm(total=total, unit=unit, disable=None if sys.stderr else True)


# Data ------------------------------------------------------------------------------------------------------


def score_data(command, model):
    """Print nats a token, perplexity and bits a byte of the first tokens of some data."""
    n_ctx = model.config.n_ctx
    context = n_ctx if command.context is None else whole_between("context", command.context, 1, n_ctx)
    paths = scored_files(files_of(command.data))
    ids, n_all = ids_of(command, paths, model.tokenizer)
    if len(ids) < 2:
        raise DataError(f"data: {command.data}: expected 2 tokens or more to score, found {len(ids)}")
    windows = -(-(len(ids) - 1) // context)
    with progress_bar(windows, "window") as bar:
        result = evaluate(model, ids, context, command.batch_size, progress=bar.update)
    refuse_nan(result.nats_per_token, command.weights)
    record = {
        "data": command.data,
        "files": list(map(str, paths)),
        "tokens": result.n_tokens,
        "of_tokens": n_all,
        "ids_sha256": sha256_of(ids),
        "context": context,
        "windows": windows,
        "bytes": result.n_bytes,
        "nats_per_token": result.nats_per_token,
        "perplexity": perplexity(result.nats_per_token),
        "bits_per_byte": result.bits_per_byte,
    }
    show(command, record, DATA.format(**record))


DATA = (
    "{data}: {tokens:,} tokens scored, {bytes:,} bytes of text, in {windows:,} windows of {context:,}\n"
    "ids 0 to {tokens:,} of {of_tokens:,}, SHA-256 {ids_sha256}; id 0 is read and not scored\n"
    "{nats_per_token:.6f} nats a token | perplexity {perplexity:.4f} | {bits_per_byte:.4f} bits a byte"
)


def ids_of(command, paths, tokenizer):
    """The ids to score, the first of which is no target, and how many the data has."""
    wanted = command.tokens + 1 if command.tokens else None
    if command.data_format or are_shards(paths):
        shards = TokenShards(paths, tokenizer.n_vocab, command.data_format)
        return first_ids(shards, wanted or shards.n_tokens), shards.n_tokens
    ids = tokenize([read_text(path) for path in paths], tokenizer)
    return ids[:wanted], len(ids)


def scored_files(paths):
    """Of shards for training and for validation, those for validation; of one kind, or of texts, all."""
    validation = [path for path in paths if is_validation(path)] if are_shards(paths) else []
    if not validation or len(validation) == len(paths):
        return paths
    tell(f"{len(validation)} of {len(paths)} shards are for validation by their names: these are scored")
    return validation


def sha256_of(ids):
    """The SHA-256 of ids as little-endian numbers: uint16, or uint32 if their tokenizer needs it."""
    return hashlib.sha256(ids.astype(f"<u{ids.itemsize}").tobytes()).hexdigest()


def perplexity(nats):
    """exp(nats): among how many tokens, all equally likely, a choice would be as uncertain."""
    return math.exp(nats) if nats < 700 else math.inf


def refuse_nan(nats, weights):
    """A NumericsError that names the weights if a score is none."""
    if not math.isfinite(nats):
        raise lost(weights)


# HellaSwag -------------------------------------------------------------------------------------------------


def write_questions(command, tokenizer):
    """The questions, written as llm.c's .bin if asked for; where that is all, it is said."""
    if command.write_bin is not None:
        refuse_overwriting(command.write_bin, command.hellaswag)
    questions = read_questions(command.hellaswag, tokenizer)
    if command.write_bin is not None:
        write_bin(command.write_bin, questions)
    if command.weights is None:
        record = {"hellaswag": command.hellaswag, "n": len(questions), "write_bin": command.write_bin}
        show(command, record, "{hellaswag}: {n:,} questions, written to {write_bin}".format(**record))
    return questions


def score_hellaswag(command, model):
    """Print acc and acc_norm, with the counts."""
    questions = write_questions(command, model.tokenizer)
    with progress_bar(hellaswag.ENDINGS * len(questions), "completion") as bar:
        nats, counts = hellaswag.answer(model, questions, command.batch_size, bar.update)
    refuse_nan(nats.sum(), command.weights)
    result = hellaswag.result_of(nats, counts, questions)
    shares = {"acc": result.acc, "acc_norm": result.acc_norm}
    record = {"hellaswag": command.hellaswag} | result._asdict() | shares
    show(command, record, HELLASWAG.format(**record))


HELLASWAG = (
    "{hellaswag}: {n:,} questions | acc {acc:.4f} ({correct:,} right) | "
    "acc_norm {acc_norm:.4f} ({correct_norm:,} right) | by chance 0.25"
)


def show(command, record, text):
    """Print a record as text, or as JSON."""
    say((json.dumps(record) if command.json else text) + "\n")
