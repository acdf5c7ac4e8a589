"""What a command needs to run a model: its weights, the tokenizer that fits them, the operations."""

from pathlib import Path
from typing import NamedTuple

from minigpt import kernels
from minigpt.arrays import Flat, on_device
from minigpt.config import GPTConfig, whole_between
from minigpt.door import compute_dtype
from minigpt.errors import CheckpointError
from minigpt.promises import vouches
from minigpt.screen import printable, tell
from minigpt.shelf import checkpoints, last_sound
from minigpt.tokenizer import TOKENIZER, Tokenizer
from minigpt.vocabularies import IN_A_FOLDER
from minigpt.weights import load_weights
from minigpt.weights.hugging_face import TENSORS


class Model(NamedTuple):
    """A model from files, ready to be run."""

    config: GPTConfig
    params: Flat
    tokenizer: Tokenizer
    ops: kernels.Table


def load_model(weights, tokenizer=None, ops="fast", threads=None, device="numpy", dtype=None, **ways):
    """The Model in a file or folder of weights, or in a run's newest checkpoint; arguments as their flags.

    dtype: what the operations work in; None is what the weights are. ways: products and attention.

    Raises CheckpointError (weights that are damaged, a tokenizer that does not fit) and ConfigError.
    """
    if threads is not None:  # the reference operations, which have no use for it, would take anything
        whole_between("threads", threads, 1, 1024)
    weights = chosen(weights)
    config, params = load_weights(weights)
    fitting = tokenizer_of(weights, tokenizer, config)
    table = kernels.table(ops, compute_dtype(dtype, params), threads, device, **ways)
    return Model(config, table.weights(params.like(on_device(params.buffer, device))), fitting, table)


def chosen(weights):
    """What to read weights from: of a run's folder its newest checkpoint, which is said on standard error."""
    folder = Path(weights)
    if not folder.is_dir() or (folder / TENSORS).exists() or not checkpoints(folder):
        return weights
    newest = last_sound(folder) or checkpoints(folder)[-1]
    tell(f"weights: {printable(str(newest))}, the run's newest")
    return newest


def tokenizer_of(weights, name, config):
    """The tokenizer that was asked for, or that lies beside the weights, or GPT-2's where its size fits."""
    assumed = False
    if name == "gpt2":
        tokenizer = Tokenizer.gpt2()
    elif name:
        tokenizer = Tokenizer.load(name)
    else:
        tokenizer, assumed = tokenizer_beside(Path(weights))
    if tokenizer.n_vocab != config.n_vocab:
        if assumed:
            raise CheckpointError(
                f"{weights}: expected a tokenizer of {config.n_vocab} ids beside it, as the model has, found "
                f"none, and GPT-2's, which is then taken, has {tokenizer.n_vocab}; put {TOKENIZER} there, or "
                "name it by --tokenizer"
            )
        raise CheckpointError(
            f"{weights}: expected a tokenizer of {config.n_vocab} ids, as the model has, found one of "
            f"{tokenizer.n_vocab}; name the right one by --tokenizer"
        )
    return tokenizer


def tokenizer_beside(weights):
    """The tokenizer beside weights, and False; or GPT-2's, and True. A checkpoint must vouch for its own.

    Beside a state.json that is damaged, weights open alone if their file is named, and so does a tokenizer.
    """
    folder = weights if weights.is_dir() else weights.parent
    if vouches(folder):
        return Tokenizer.load(folder), False
    beside = [folder / name for name in IN_A_FOLDER if (folder / name).is_file()]
    return (Tokenizer.load(beside[0]), False) if beside else (Tokenizer.gpt2(), True)
