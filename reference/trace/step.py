"""The step that is traced: minigpt's own train_step, on its own operations, wrapped."""

import numpy as np

from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.kernels import REFERENCE
from minigpt.ops.cross_entropy import IGNORED
from minigpt.train import new_state, train_step
from reference.trace.gradients import link_gradients
from reference.trace.labels import fill_axes, label
from reference.trace.record import Recorder


def traced_step(config, params, ids):
    """(Notes, Report) of one step on one row of ids: each is what should follow the one before it.

    params: a Flat.
    """
    tokens = np.array([ids])  # (B, T)
    targets = np.array([[*ids[1:], IGNORED]])  # (B, T)
    recorder, state = Recorder(), new_state(params)
    notes = recorder.notes
    notes.given(params, parameters=True)
    notes.given({"tokens": tokens, "targets": targets}, {"tokens": ("B", "T"), "targets": ("B", "T")})
    notes.given({"params": params.buffer, "first": state.first, "second": state.second})
    table = recorder.table(REFERENCE)
    with np.errstate(all="ignore"):  # what is not finite, the caller refuses
        _, report = train_step(config, OptimizerConfig(), table, Alone(), state, [(tokens, targets)])
    label(notes)
    fill_axes(notes)
    link_gradients(notes)
    return notes, report
