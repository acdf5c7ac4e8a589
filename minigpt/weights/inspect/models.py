"""Reports on weights: which GPT-2 it is, its tensors, the tokenizer and the promises that lie beside them."""

from minigpt.checkpoint import OPTIMIZER
from minigpt.config import PRESETS
from minigpt.errors import CheckpointError, DataError, MinigptError
from minigpt.model import param_shapes
from minigpt.promises import STATE, checked_record, read_record
from minigpt.weights.formats import CHECKPOINT
from minigpt.weights.found import config_of
from minigpt.weights.inspect.tensors import table

GPT2_VOCAB = 50257
PUBLISHED = {"gpt2": "124M", "gpt2-medium": "355M", "gpt2-large": "774M", "gpt2-xl": "1558M"}


def report_weights(path, format, n_head):
    """Yield the lines of a report on weights of a Format. Raises CheckpointError if they are not sound."""
    if format is CHECKPOINT:
        yield from report_promises(path)
    found = format.open(path)
    try:
        config = config_of(found, n_head)
    except MinigptError:
        yield from table(found.tensors)  # what is there may say what it is
        raise
    yield model_line(config)
    yield from table({name: found.tensors[name] for name in param_shapes(config)})
    yield from report_vocabulary(path, config)
    if format is CHECKPOINT and lacks(path):
        yield (
            f"verdict: whole weights, every number is finite; without {OPTIMIZER} no run can be resumed from "
            "here, but sample, evaluate, convert and train --init-from take it"
        )
        return
    yield "verdict: whole, every number is finite"


def model_line(config):
    """The sizes of a model, and which GPT-2 has them."""
    preset = next((name for name, known in PRESETS.items() if known == config), None)
    which = f"GPT-2 {PUBLISHED[preset]} ({preset})" if preset else "none of GPT-2's published sizes"
    return (
        f"model: {config.n_layer} layers, {config.n_head} heads, {config.n_embd} channels, context "
        f"{config.n_ctx}, vocabulary {config.n_vocab}: {which}"
    )


def report_promises(path):
    """Yield what a checkpoint's state.json says, after checking every file that it vouches for.

    That the optimizer's file is not there is no damage: many leave it behind, as weights do without it.
    """
    names = [name for name in read_record(path / STATE)["files"] if name != OPTIMIZER or not lacks(path)]
    record = checked_record(path, names)
    yield f"step {record['step']:,}; the SHA-256 of {len(names)} files are as state.json says"


def lacks(path):
    """Whether a checkpoint's folder is without the optimizer's moments."""
    return not (path / OPTIMIZER).exists()


def report_vocabulary(path, config):
    """Yield how the vocabulary fits a folder's tokenizer. Raises CheckpointError if it does not."""
    from minigpt.tokenizer import Tokenizer
    from minigpt.vocabularies import file_of

    try:
        file = file_of(path) if path.is_dir() else None
    except DataError:
        file = None
    if file:
        n_vocab = Tokenizer.load(file).n_vocab
        if n_vocab > config.n_vocab:
            raise CheckpointError(
                f"{file}: expected a tokenizer of at most {config.n_vocab} ids, as the model has, found "
                f"{n_vocab}: wrong vocabulary; give the tokenizer that the model was trained with"
            )
        yield f"tokenizer: {file.name}, {n_vocab} ids"
    if config.n_vocab != GPT2_VOCAB and GPT2_VOCAB < config.n_vocab <= GPT2_VOCAB + 128:
        yield f"note: GPT-2 has {GPT2_VOCAB} ids; the {config.n_vocab - GPT2_VOCAB} above them may be padding"
