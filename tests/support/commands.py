"""Every command with its flags: what a good call looks like, and what kind of thing each flag takes.

A flag that is not listed here fails tests/test_flags.py, so that none is added unexamined.
"""

import dataclasses
import json
import shutil
import types
import typing

import numpy as np

import minigpt
from minigpt import checkpoint, rejected
from minigpt.cli import COMMANDS
from minigpt.tokenizer import Tokenizer
from minigpt.train import new_state
from tests.support.models import HOW

TEXT = "\n".join(f"The {a} {b} of the {c}." for a in ("old", "new", "last") for b in ("song", "law", "road")
                 for c in ("people", "nation", "congress", "union")) * 10  # fmt: skip
SHAPE = ["--n-layer", "1", "--n-head", "2", "--n-embd", "8", "--n-vocab", "260", "--context", "8",
         "--batch-size", "2", "--tokens-per-step", "16", "--steps", "2", "--warmup", "0"]  # fmt: skip
LATER = {"n_vocab"}  # of train, where a text may have too few pairs: known when the text is


class Leaf(typing.NamedTuple):
    """A command that does something."""

    name: str
    flags: type
    good: list  # words that it takes, of which {place} stands for a file


GOOD = {
    "train": [*SHAPE, "--data", "{text}", "--out", "{new}", "--sample-every", "0", "--threads", "1"],
    "sample": ["--weights", "{weights}", "--max-new-tokens", "1", "--threads", "1"],
    "evaluate": ["--weights", "{weights}", "--data", "{text}", "--tokens", "9", "--threads", "1"],
    "replay": ["{rejected}"],
    "plan": ["--preset", "small"],
    "plot": ["{run}", "--out", "{new}.png"],
    "report": ["{run}", "--out", "{new}.html"],
    "tokenize show": ["to be", "--tokenizer", "{tokenizer}"],
    "tokenize encode": ["to be", "--tokenizer", "{tokenizer}"],
    "tokenize decode": ["1", "2", "--tokenizer", "{tokenizer}"],
    "tokenize train": ["{text}", "--n-vocab", "260", "--out", "{new}"],
    "data": ["{text}", "--out", "{new}", "--tokenizer", "{tokenizer}", "--workers", "1"],
    "inspect": ["{weights}"],
    "convert": ["{weights}", "{new}", "--format", "npz"],
    "download": ["gpt2", "--out", "{new}"],
}

# what a flag of words is about; numbers, switches and Literals say it by their types
FILE, FOLDER, EITHER, NEW_FILE, NEW_FOLDER = "file", "folder", "file or folder", "new file", "new folder"
CHOICE, WORDS = "choice", "words"
KINDS = {
    "train": {
        "preset": CHOICE, "data": EITHER, "val_data": EITHER, "data_format": CHOICE, "tokenizer": EITHER,
        "init_from": EITHER, "order": CHOICE, "out": NEW_FOLDER, "schedule": CHOICE, "resume": FOLDER,
        "device": CHOICE,
        "dtype": CHOICE, "ops": CHOICE, "allow_changes": WORDS, "products": CHOICE, "attention": CHOICE,
        "live": CHOICE, "wandb": WORDS,
    },
    "sample": {
        "weights": EITHER, "prompt": WORDS, "top_p_rule": CHOICE, "prompt_file": FILE, "tokenizer": EITHER,
        "ops": CHOICE, "device": CHOICE, "products": CHOICE,
    },
    "evaluate": {
        "weights": EITHER, "data": EITHER, "data_format": CHOICE, "hellaswag": FILE, "write_bin": NEW_FILE,
        "tokenizer": EITHER, "ops": CHOICE, "device": CHOICE, "dtype": CHOICE, "products": CHOICE,
        "attention": CHOICE,
    },
    "replay": {"folder": FOLDER, "dtype": CHOICE},
    "plan": {"preset": CHOICE, "gpu": CHOICE, "convention": CHOICE, "dtype": CHOICE, "attention": CHOICE,
             "ops": CHOICE},
    "plot": {"runs": EITHER, "out": NEW_FILE, "x": CHOICE, "reference": CHOICE},
    "report": {"run": EITHER, "out": NEW_FILE},
    "tokenize show": {"text": WORDS, "tokenizer": EITHER},
    "tokenize encode": {"text": WORDS, "tokenizer": EITHER},
    "tokenize decode": {"ids": WORDS, "tokenizer": EITHER},
    "tokenize train": {"files": EITHER, "out": NEW_FILE},
    "data": {"out": NEW_FOLDER, "inputs": EITHER, "tokenizer": EITHER, "field": WORDS, "name": WORDS,
             "part": CHOICE},
    "inspect": {"file": EITHER},
    "convert": {"source": EITHER, "target": NEW_FILE},
    "download": {"out": NEW_FOLDER},
}  # fmt: skip


def leaves():
    """Every Leaf."""
    for name, (flags, _) in COMMANDS.items():
        actions = [field for field in dataclasses.fields(flags) if field.name == "action"]
        if not actions:
            yield Leaf(name, flags, GOOD[name])
            continue
        for action in typing.get_args(actions[0].type):
            kind, words = typing.get_args(action)[:2]
            yield Leaf(f"{name} {words.name}", kind, GOOD[f"{name} {words.name}"])


def types_of(field):
    """The types that a flag's value may have, {int, NoneType} for one."""
    kind = field.type
    while hasattr(kind, "__metadata__") or typing.get_origin(kind) is typing.Annotated:
        kind = typing.get_args(kind)[0]
    parts = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    return {typing.get_origin(part) or part for part in parts}


def fields(leaf):
    """(field, types) of a command."""
    return [(field, types_of(field)) for field in dataclasses.fields(leaf.flags)]


class Place:
    """A folder with a good example of every file that a command may take."""

    def __init__(self, root):
        self.root, self.new, self.parsed = root, root / "new", {}
        self.text, self.tokenizer = root / "text.txt", root / "tokenizer.json"
        self.text.write_text(TEXT)
        tokenizer = Tokenizer.train([TEXT], 260)
        tokenizer.save(self.tokenizer)
        self.run = root / "run"
        self.run.mkdir()
        (self.run / "metrics.jsonl").write_text('{"step": 1, "loss": 5.5, "norm": 1.0, "lr": 0.1}\n')
        config = minigpt.GPTConfig(n_layer=1, n_head=2, n_embd=8, n_ctx=8, n_vocab=260)
        params = minigpt.init_params(config)
        self.weights = checkpoint.save(root / "run", config, new_state(params), {}, tokenizer)
        trainer = minigpt.Trainer(config, params)
        trainer.params["ln_f.bias"][0] = np.nan
        tokens = np.arange(8)[None]
        self.rejected = rejected.keep(root / "run", trainer, [(tokens, tokens)], HOW, "loss is nan")
        self.hellaswag = root / "hellaswag_val.jsonl"
        question = {"ctx": "to be", "endings": [" or", " not", " be", " to"], "label": 1, "ind": 0}
        self.hellaswag.write_text(json.dumps(question) + "\n")

    def words(self, leaf):
        """A good call of a command."""
        return [*leaf.name.split(), *(word.format(**vars(self)) for word in leaf.good)]

    def clear(self):
        """Remove what a call has written."""
        for path in self.root.glob(f"{self.new.name}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def files(self):
        """All that is there, with sizes and times."""
        return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in self.root.rglob("*")
                if not path.is_dir()}  # fmt: skip
