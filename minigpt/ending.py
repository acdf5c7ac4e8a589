"""How a run ends: at its last step, by a signal, or because its numbers are lost."""

import time

from minigpt import guard, rejected
from minigpt.compressors import bits_per_byte
from minigpt.errors import CommError, MinigptError
from minigpt.log import clock
from minigpt.resume import unsaved, way_on
from minigpt.shelf import last_sound
from minigpt.stop import RESUMABLE
from minigpt.system import own_command


def finish(run, stop):
    """The final score, beside what compressors need for the same text; the exit code."""
    # ranks finish together: one that left would end the others, and perhaps the last save with them
    look_up = stop.check if run.world.size == 1 else lambda rows: None
    score = run.validate(whole=True, progress=look_up)
    if run.world.size > 1:
        run.settle()
    if run.world.rank:
        return 0
    for name, bits in bits_per_byte(run.corpus.val_bytes).items():
        run.log.say(f"  for comparison, {name:8s} needs {bits:.3f} bits a byte of the held-out text")
    if run.stepped:
        share = run.waited / run.stepped
        run.log.say(f"steps waited for their batches {share:.2%} of the time")
        share = run.saver.held_up / (run.stepped + run.saver.held_up)
        run.log.say(f"saving checkpoints held the run up {share:.2%} of the time")
    if run.recipe.price is not None:
        each = f"{run.world.size} x ${run.recipe.price:.2f} an hour"
        run.log.say(f"price: ${run.spent():,.2f} at {each}, since this process began")
    run.saver.wait()
    if run.saver.failure:
        return not_saved(run)
    folder = run.saver.latest or run.source  # which was at the end already
    run.log.say(
        f"done: {score.bits_per_byte:.3f} bits a byte on held-out text, "
        f"{clock(time.perf_counter() - run.started)} from start to end; weights in {folder}"
    )
    run.log.say(f'try: {own_command()} sample --weights {folder} --prompt "The people of"')
    return 0


def leave(run):
    """Save, because the run is to stop here; the exit code."""
    run.save()
    run.settle()
    if run.world.rank:
        return RESUMABLE
    if run.saver.failure:
        return not_saved(run)
    said = f"saved: {run.saver.latest}; {way_on(run.recipe)}"
    if run.log.gone:
        run.log.warn(f"stopped, as nobody reads standard output any more, {said}")
    else:
        run.log.say(f"stopped by a signal, {said}")
    return RESUMABLE


def not_saved(run):
    """Say that the run ends without its last save; the exit code."""
    run.log.warn(unsaved(run.recipe, run.saver.latest, run.source))
    return 1


def given_up(run, verdict):
    """Why the run is given up, and what there is to do; every rank must ask for it."""
    recipe, said = run.recipe, kept(run, verdict)
    if run.world.rank:
        return "told by rank 0"
    run.saver.wait()
    anew = "start anew with --resume never and a lower --lr"
    if last := last_sound(recipe.out):
        saved = f"nothing was saved since {last}"
        anew = f"go on from there with --resume {last} --allow-changes lr and a lower --lr, or {anew}"
    else:
        saved = "no checkpoint was saved before"
    return f"{guard.PATIENCE} steps in a row were rejected, {saved}; {said}; {anew}"


def kept(run, verdict):
    """Keep the last step for `minigpt replay`; what to say of that."""
    how = {name: getattr(run.recipe, name) for name in rejected.HOW}
    try:
        state = run.trainer.whole_state()
        if run.world.rank:
            return ""
        batches = run.batches_of(state.step - 1, 0, run.world.size)
        folder = rejected.keep(run.recipe.out, run.trainer, batches, how, verdict.reason, state)
    except CommError:
        raise
    except (MinigptError, OSError) as reason:
        return f"the last one could not be kept for minigpt replay: {reason}"
    return f"minigpt replay {folder} says where the last one's numbers were lost"
