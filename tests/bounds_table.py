"""python -m tests.bounds_table: how far honest programs stay below the bounds of reference check.

Three programs answer about random models of a shape: torch in float64, minigpt's kernels in float32, and
one that computes as llm.c's loops in C do, in float32 with every sum from its first term to its last. For
each the tensor with the largest share of its bound; and how small a relative error of a float32 tensor is
noticed. Exit code 1 where a bound is exceeded. Writes a record to bench/records.
"""

import sys
from pathlib import Path

import numpy as np
from tqdm import tqdm

from bench.record import save_record
from reference.check import columns, condition, subject
from reference.llmc import Exact, Inputs, run
from reference.llmc.names import PARAMETERS
from reference.llmc.parameters import from_hub, to_hub
from reference.questions import sizes_of
from reference.shapes import random_shape

SHAPES = {  # and how many models
    "small": ("n_layer=2,n_head=2,n_embd=8,n_ctx=8,n_vocab=11", 40),
    "mid": ("n_layer=3,n_head=4,n_embd=64,n_ctx=40,n_vocab=1000", 6),
    "wide": ("n_layer=2,n_head=4,n_embd=48,n_ctx=64,n_vocab=8000", 2),
}
ANY = 100  # models of any small shape


class OneByOne(Exact):
    """float32, every sum from its first term to its last."""

    def matmul(self, x, y):
        total = np.zeros((*x.shape[:-1], y.shape[-1]), np.float32)
        for k in range(x.shape[-1]):
            total += x[..., k : k + 1] * y[..., k : k + 1, :]
        return total

    def total(self, x, axis):
        return np.moveaxis(np.add.reduce(np.moveaxis(x, axis, 0), axis=0, keepdims=True), 0, axis)

    def load(self, key, parameter):
        return parameter.astype(np.float32)

    def keep(self, key, tensor):
        return np.asarray(tensor, np.float32)


def one_by_one(config, params, tokens, targets):
    """A debug state's content from such a program."""
    sizes = sizes_of(config, *tokens.shape)
    tensors = run(Inputs(sizes, from_hub(params, sizes.L), tokens, targets), OneByOne())
    grads = {(name[1:], at): x for (name, at), x in tensors.items() if name[1:] in PARAMETERS}
    return to_hub(grads) | {"loss": tensors["loss", None], "logits": tensors["logits", None]}


def shares_of(words, seed, batch=4):
    """({program: (share, tensor)}, the bounds in float32) of one random model."""
    config, _ = random_shape(words)
    params = subject.random_params(config, seed)
    tokens, targets, _ = subject.batch_of(config, None, None, batch, None, seed)
    batch, exact = (tokens, targets), condition.ask(config, params, tokens, targets)
    bounds = condition.bounds(config, params, *batch, exact, condition.DOUBLE)
    question = columns.Question(config, params, *batch, exact, condition.DOUBLE, bounds)
    single = {name: condition.SINGLE / condition.DOUBLE * bound for name, bound in bounds.items()}
    narrow = {name: param.astype("float32") for name, param in params.items()}
    found = {
        "torch, float64": columns.torch(question),
        "kernels, float32": columns.compared("", question, condition.ask(config, narrow, *batch), single),
        "one by one, float32": columns.compared("", question, one_by_one(config, params, *batch), single),
    }
    return {who: share_of(column) for who, column in found.items()}, single


def share_of(column):
    name = column.worst()
    return float(column.errors[name] / column.bounds[name]), name


def any_shape(rng):
    """Words for a model of up to 3 layers and 12 channels, and a number of sequences."""
    L, H, D, T, V, B = (int(n) for n in rng.integers(1, (4, 4, 5, 10, 10, 4)))
    H, D = (H, D) if H * D > 1 else (1, 2)  # of a single channel torch leaves its roundings
    return f"n_layer={L},n_head={H},n_embd={H * D},n_ctx={T},n_vocab={V}", B


def main():
    """Print a line a shape, write the record."""
    rng, results = np.random.default_rng(0), {}
    models = {name: [(words, seed, 4) for seed in range(count)] for name, (words, count) in SHAPES.items()}
    models["any"] = [(*shape, seed) for seed in range(ANY) for shape in [any_shape(rng)]]
    models["any"] = [(words, seed, batch) for words, batch, seed in models["any"]]
    for name, asked in models.items():
        answers = [shares_of(*one) for one in tqdm(asked, desc=name, disable=None)]
        worst = {who: max(shares[who] for shares, _ in answers) for who in answers[0][0]}
        noticed = {key: float(np.median([single[key] for _, single in answers]))
                   for key in (answers[0][1] if name != "any" else ())}  # fmt: skip
        results[name] = {"models": len(asked), "worst share of a bound": worst, "noticed in float32": noticed}
        print(name, len(asked), worst, f"noticed: {min(noticed.values(), default=0):.1e} to "
              f"{max(noticed.values(), default=0):.1e}")  # fmt: skip
    print(save_record(Path("bench/records"), "bounds", {"shapes": SHAPES, "any": ANY}, results))
    shares = [share for row in results.values() for share, _ in row["worst share of a bound"].values()]
    return int(max(shares) > 1)


if __name__ == "__main__":
    sys.exit(main())
