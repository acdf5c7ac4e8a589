"""What a rank does on the stand-in for CuPy and NCCL: train a small model, and note each exchange."""

import hashlib
import zlib

import numpy as np

from minigpt.arrays import on_host
from minigpt.config import GPTConfig
from minigpt.model import backward, forward, init_params
from minigpt.trainer import Trainer
from tests.ranks.steps import parts_of
from tests.support.cuda.fake_nccl import TYPES, Call
from tests.support.cuda.fake_streams import RECORD

# C is one that other tests have compiled kernels for; 3 rows of tokens a part
CONFIG = GPTConfig(n_layer=2, n_head=3, n_embd=24, n_ctx=9, n_vocab=65)
ROWS, CONTEXT = 6, 7
STEPS = 2


def train(world, dtype, parts):
    """What came out after some steps, and what was exchanged in the last of them."""
    params = init_params(CONFIG, 0, "float64" if dtype == "float64" else "float32")
    trainer = Trainer(CONFIG, params, world=world, device="cupy", dtype=dtype, clip=0.5, lr=1e-2)
    reports = []
    for step in range(STEPS):
        batches = own_parts(world, step, parts)
        if step + 1 == STEPS:
            local = local_gradient(trainer, batches)
            RECORD.clear()
        reports.append(trainer.step_in_parts(batches))
    exchanges = noted(world, trainer.state, local) if hasattr(world, "stream") else []
    held = trainer.state.first.nbytes
    state = trainer.whole_state()
    moments = [on_host(moment) for moment in (state.first, state.second) if moment is not None]  # rank 0's
    buffers = [on_host(state.params.buffer), *moments]
    return {
        "losses": [report.loss for report in reports],
        "norms": [report.norm for report in reports],
        "reasons": [report.verdict.reason for report in reports],
        "sums": [float(np.abs(buffer).sum(dtype=np.float64)) for buffer in buffers],
        "hash": sha256(buffers[:1]),
        "moments": sha256(moments),
        "held": held,
        "exchanges": exchanges,
    }


def sha256(buffers):
    return hashlib.sha256(b"".join(buffer.tobytes() for buffer in buffers)).hexdigest()


def own_parts(world, step, parts):
    """This rank's parts of the step's global batch."""
    everything = parts_of(CONFIG, step, parts, ROWS, CONTEXT)
    share = parts // world.size
    return everything[world.rank * share :][:share]


def local_gradient(trainer, batches):
    """The gradient of this rank's parts alone, as nobody has exchanged it."""
    ops, state = trainer.ops, trainer.state
    grads, weights = state.grads.like(np.empty_like(state.grads.buffer)), ops.weights(state.params)
    for i, (tokens, targets) in enumerate(map(trainer.ops.upload, batches)):
        logits, tape = forward(CONFIG, ops, weights, tokens)
        _, tail = ops.cross_entropy_forward(logits, targets)
        dlogits = ops.cross_entropy_backward(1 / len(batches), tail)
        grads = ops.collect(backward(CONFIG, ops, dlogits, tape), into=grads, add=i > 0)
    return on_host(grads.buffer)


def noted(world, state, local):
    """The step's groups: of each call its name, what is sent, number type, op, root, whether it is final.

    And for each group how many kernels had been launched since the first one.
    """
    buffers = {"grads": state.grads.buffer, "params": state.params.buffer, **world.number}
    groups, first = [], None
    for one in RECORD:
        if one == ("group start",):
            groups.append({"after": 0, "calls": []})
        if isinstance(one, Call):
            where, start = found(buffers, one.recv, TYPES[one.type].itemsize)
            final = zlib.crc32(local[start : start + one.count].tobytes()) == one.crc
            first = one.kernels if first is None else first
            kind, own = TYPES[one.type].name, one.stream == world.stream.ptr and one.send == one.recv
            groups[-1]["calls"].append(
                [one.name, where, start, one.count, kind, one.op, one.root, own, final or where != "grads"]
            )
            groups[-1]["after"] = one.kernels - first
    return groups


def found(buffers, address, itemsize):
    """In which of the arrays that stay an address is, and at which number."""
    for name, array in buffers.items():
        place = address - array.data.ptr
        if 0 <= place < array.nbytes:
            return name, place // itemsize
    return "a temporary", 0
