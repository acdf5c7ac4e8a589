"""A block in sweeps: a thread takes its rows as far as they need no others. Reference: minigpt/model.py.

Between two meetings of the threads lies not one operation but a row's way through several: layernorm,
product, GELU, product. Hundreds of rows go together, through GELU a few that fit the cache, and a thread is
woken a few times instead of twenty. Where a thread's rows are whole sequences, not even attention is a reason
to meet.

Forward keeps 10 numbers a channel and token, the reference 20 and the scores: what layernorm and GELU gave is
made again in backward.
"""

from typing import NamedTuple

import numpy as np

from minigpt.kernels.cpu import attention, gelu, layernorm
from minigpt.kernels.cpu.crew import Crew
from minigpt.kernels.cpu.gradient import known, products
from minigpt.kernels.cpu.linear import column_sums, project
from minigpt.kernels.cpu.team import blocks


class Tape(NamedTuple):
    """What forward keeps of a block, besides its weights."""

    weights: dict
    n_1: np.ndarray  # (N, C), normalised, before gain and bias; N = B T
    rstd_1: np.ndarray  # (N, 1)
    qkv: np.ndarray  # (B, T, 3C)
    mixed: np.ndarray  # (B, T, C)
    log_total: np.ndarray  # (B, H, T, 1)
    n_2: np.ndarray  # (N, C)
    rstd_2: np.ndarray  # (N, 1)
    wide: np.ndarray  # (N, F), before GELU


def block_forward(ops, p, x, n_head, *, team):
    """x + attention(layernorm(x)), then that + mlp(layernorm(that)). R rows at a time.

    x (B, T, C) -> x (B, T, C)
    """
    B, T, C = x.shape
    N, F, stream, out = B * T, p["mlp.c_fc.bias"].size, x.reshape(-1, C), np.empty((B * T, C), x.dtype)
    shapes = (N, C), (N, 1), (B, T, 3 * C), (B, T, C), (B, n_head, T, 1), (N, C), (N, 1), (N, F)
    tape = Tape(p, *(np.empty(shape, x.dtype) for shape in shapes))
    qkv, mixed = tape.qkv.reshape(N, -1), tape.mixed.reshape(N, -1)

    def before(rows, thread):
        layernorm.normalise(stream[rows], tape.n_1[rows], tape.rstd_1[rows])
        n = layernorm.scaled(tape.n_1[rows], p["ln_1.weight"], p["ln_1.bias"])  # (R, C)
        project(n, p["attn.c_attn.weight"], p["attn.c_attn.bias"], qkv[rows])

    def attend(units):
        attention.attend(units, tape.qkv, tape.mixed, tape.log_total)

    def after(rows, thread):
        y = project(mixed[rows], p["attn.c_proj.weight"], p["attn.c_proj.bias"], out[rows])  # (R, C)
        y += stream[rows]
        layernorm.normalise(y, tape.n_2[rows], tape.rstd_2[rows])
        n = layernorm.scaled(tape.n_2[rows], p["ln_2.weight"], p["ln_2.bias"])  # (R, C)
        wide = project(n, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"], tape.wide[rows])  # (R, F)
        active = np.empty_like(wide)
        for few in blocks(slice(0, len(wide)), F):
            gelu.value(wide[few], active[few])
        y += project(active, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"], n)

    Crew(team, B, T, C, n_head).sweep(before, attend, after)
    return out.reshape(x.shape), tape


def block_backward(ops, dx, tape, *, team):
    """block_forward, reversed. The tape is donated: layernorms' outputs and dwide take their inputs' places.

    dx (B, T, C) -> dx (B, T, C)
    """
    p, (B, T, C) = tape.weights, dx.shape
    stream, wide, mixed = dx.reshape(-1, C), tape.wide, tape.mixed.reshape(-1, C)
    active, middle = np.empty_like(wide), np.empty_like(stream)
    dmixed, dqkv = np.empty_like(tape.mixed), np.empty_like(tape.qkv)
    below, dqkv_rows = dmixed.reshape(-1, C), dqkv.reshape(-1, 3 * C)  # dx takes dmixed's place
    crew = Crew(team, B, T, C, n_head=tape.log_total.shape[1])
    sums = {name: np.zeros((crew.size, p[name].size), dx.dtype) for name in p if p[name].ndim == 1}

    def before(rows, thread):
        db = {name: part[thread] for name, part in sums.items()}
        dwide, dactive = wide[rows], stream[rows] @ p["mlp.c_proj.weight"].T  # (R, F) each
        for few in blocks(slice(0, len(dwide)), dwide.shape[1]):
            gelu.value_and_slope(dwide[few], active[rows][few])
            dwide[few] *= dactive[few]
        dn = np.matmul(dwide, p["mlp.c_fc.weight"].T, out=middle[rows])  # (R, C)
        layernorm.slope(
            dn, tape.n_2[rows], tape.rstd_2[rows], p["ln_2.weight"], db["ln_2.weight"], db["ln_2.bias"]
        )
        layernorm.scaled(tape.n_2[rows], p["ln_2.weight"], p["ln_2.bias"], out=tape.n_2[rows])
        dn += stream[rows]
        np.matmul(dn, p["attn.c_proj.weight"].T, out=below[rows])
        db["mlp.c_proj.bias"] += column_sums(stream[rows])
        db["mlp.c_fc.bias"] += column_sums(dwide)
        db["attn.c_proj.bias"] += column_sums(dn)

    def attend(units):
        attention.attend_back(units, dmixed, dqkv, tape.qkv, tape.mixed, tape.log_total)

    def after(rows, thread):
        db = {name: part[thread] for name, part in sums.items()}
        dn = np.matmul(dqkv_rows[rows], p["attn.c_attn.weight"].T, out=below[rows])  # (R, C)
        layernorm.slope(
            dn, tape.n_1[rows], tape.rstd_1[rows], p["ln_1.weight"], db["ln_1.weight"], db["ln_1.bias"]
        )
        layernorm.scaled(tape.n_1[rows], p["ln_1.weight"], p["ln_1.bias"], out=tape.n_1[rows])
        dn += middle[rows]
        db["attn.c_attn.bias"] += column_sums(dqkv_rows[rows])

    crew.sweep(before, attend, after)
    weights = {  # the largest first: short parts at the end leave nobody waiting
        "mlp.c_proj.weight": (active, stream),
        "mlp.c_fc.weight": (tape.n_2, wide),
        "attn.c_attn.weight": (tape.n_1, dqkv_rows),
        "attn.c_proj.weight": (mixed, middle),
    }
    g = {name: known(parts.sum(axis=0)) for name, parts in sums.items()}
    g |= zip(weights, products(list(weights.values()), team), strict=True)
    return below.reshape(dx.shape), g
