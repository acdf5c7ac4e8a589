"""The loop around the training step: begin or resume, step, look, save, and say at the end how it went."""

import contextlib
import os
import zlib
from pathlib import Path

import numpy as np

from minigpt.disk import lock_folder
from minigpt.ending import finish, leave, not_saved
from minigpt.errors import ConfigError
from minigpt.introduction import introduce
from minigpt.log import Nobody
from minigpt.ranks.equal import check_settings
from minigpt.ranks.launchers import place
from minigpt.ranks.spawn import check_ranks, launch
from minigpt.ranks.worlds import from_first, joined, together
from minigpt.recipe import asked, resolved
from minigpt.resume import leave_later, move_aside, source_of
from minigpt.stop import RESUMABLE, Stopped, StopSignal
from minigpt.training import Run, due
from minigpt.watch import opened_log


def run(recipe, terminal=None):
    """Carry a recipe out; the exit code: 0 done, 75 stopped by a signal after saving, 1 not saved.

    Raises MinigptError: ConfigError, DataError, CheckpointError before the first step, NumericsError in it,
    CommError when another rank is missing, or is not what it should be.
    """
    recipe = resolved(recipe)
    launch(recipe)
    way = recipe.device, recipe.zero == 1, asked(recipe)
    # one rank must not leave the others at any moment: they agree on it
    with StopSignal(patient=among_others()) as stop, joined(*way) as world:
        together(world, check_ranks, recipe, world.size)
        log = together(world, log_of, recipe, terminal, stop, world.rank)
        try:
            with contextlib.closing(log):
                code = run_rank(recipe, log, world, stop)
        except Stopped:
            log.say("stopped by a signal; there was nothing to save: the same command does the rest")
            return RESUMABLE
        return world.gather(code)[0]


def run_rank(recipe, log, world, stop):
    """This rank's share of a run; rank 0 alone writes."""
    out = Path(recipe.out)
    with contextlib.ExitStack() as held:
        source = from_first(world, begin, recipe, log, held)
        training = together(world, Run, recipe, log, world, source and Path(source))
        held_out = zlib.crc32(np.ascontiguousarray(training.corpus.val_ids).view("u1"))
        check_settings(world, training.settings | {"held-out tokens, CRC-32": held_out})
        if any(world.gather(stop.asked)):
            raise Stopped
        from_first(world, make_room, out, recipe, training, held)
        stop.patient = True  # from now on there is something to save
        try:
            with training.ahead, training.saver:
                return go_on(training, stop)
        except Stopped:
            if training.saver.failure:
                return not_saved(training)
            raise


def log_of(recipe, terminal, stop, rank):
    """What a rank says its words to."""
    return Nobody(recipe.out) if rank else opened_log(recipe, terminal, stop.ask)


def among_others():
    """Whether this process is one rank of several."""
    here = place()
    return here is not None and here.size > 1


def begin(recipe, log, held):
    """Take the folder, and say which checkpoint is the source, if any."""
    out = Path(recipe.out)
    try:
        new = [folder for folder in (out, *out.parents) if not folder.exists()]
        out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is found out now
        hold(out, held)
    except OSError as reason:
        raise ConfigError(f"out: {out} cannot be a run's folder: {reason.strerror}; give another") from None
    held.callback(remove_empty, new)  # while nobody else may have it
    source = source_of(recipe, log.warn)
    return source and str(source)


def make_room(out, recipe, training, held):
    """Put aside what is of another run, or later than where this one begins."""
    # only now that nothing is wrong with the run that takes its place
    if recipe.resume == "never" and move_aside(out):
        held.close()
        hold(out, held)
    leave_later(out, training.source, training.trainer.state.step, training.log.warn)


def remove_empty(folders):
    """Remove folders, the inner ones first, into which nothing came: a run that is refused leaves none."""
    with contextlib.suppress(OSError):
        for folder in folders:
            folder.rmdir()


def hold(out, held):
    """Keep other runs out of a folder until `held`, an ExitStack, is closed."""
    held.callback(os.close, lock_folder(out, "minigpt train", ConfigError))


def go_on(training, stop):
    """From where the run is to its end, or to a signal; the exit code."""
    introduce(training)
    if training.trainer.state.step == 0 and training.recipe.sample_every:
        training.sample()
    stopped = loop(training, stop)
    return leave(training) if stopped else finish(training, stop)


def loop(training, stop):
    """Step until the end or a signal, and look, sample and save when it is time; True if stopped.

    A signal to any rank stops all of them after the same step.
    """
    recipe = training.recipe
    while not (stopped := any(training.world.gather(stop.asked))):
        if training.trainer.state.step >= recipe.steps:
            break
        training.step()
        training.saver.look()
        step, last = training.trainer.state.step, training.trainer.state.step == recipe.steps
        if due(step, recipe.sample_every) or (last and recipe.sample_every):
            training.sample()
        if due(step, recipe.eval_every) and not last:
            training.validate()
        sound = not training.trainer.state.guard.not_finite  # else it would go on from where it is lost
        if (due(step, recipe.checkpoint_every) and sound) or last:
            training.save()
    return stopped
