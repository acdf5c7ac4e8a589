"""What a run says before its first step: what is trained, on what, by what."""

from minigpt.flops import flops_per_token
from minigpt.log import in_json
from minigpt.promises import STATE, read_record
from minigpt.provenance import differences, machine
from minigpt.recipe import notes


def introduce(run):
    """What is trained on what, before the first step."""
    recipe, corpus, state = run.recipe, run.corpus, run.trainer.state
    n_params = state.params.buffer.size
    tokens = recipe.steps * recipe.tokens_per_step
    run.log.say(
        f"model: {recipe.n_layer} layers, {recipe.n_head} heads, {recipe.n_embd} channels, "
        f"context {recipe.context}, {n_params:,} parameters, {recipe.dtype}"
    )
    run.log.say(
        f"data: {corpus.name}, {corpus.n_train:,} tokens to train on, "
        f"{len(corpus.val_ids):,} held out ({len(corpus.val_bytes):,} bytes), vocabulary {recipe.n_vocab}"
    )
    run.log.say(
        f"run: {recipe.steps} steps of {recipe.tokens_per_step:,} tokens "
        f"({tokens / corpus.n_train:.2f} epochs), lr {recipe.lr:g} {recipe.schedule}, "
        f"warmup {recipe.warmup}, seed {recipe.seed}"
    )
    for line in (*notes(recipe), *corpus.notes):
        run.log.say(line)
    run.log.say(
        f"machine: {run.machine}, {run.peak / 1e9:.0f} GFLOP/s in matrix products; "
        f"mfu is the share of it, at 6 (N - wpe) + 12 L C T = "
        f"{flops_per_token(run.config, recipe.context) / 1e6:.1f} MFLOP a token"
    )
    if run.world.size > 1:
        how = "each with a share of the moments" if run.world.sharded else "each with all moments"
        run.log.say(f"ranks: {run.world.size}, {how}; the machine's figures are rank 0's, times all")
    computes = {"computes": run.machine, "peak_flops": in_json(run.peak)}
    start = {"step": state.step, "model": vars(run.config) | {"parameters": n_params}}
    run.log.start(start | {"data": corpus.facts(), "machine": machine() | computes} | run.about)
    if recipe.init_from and not state.step:
        run.log.say(f"weights: those of {recipe.init_from}")
    if state.step:
        run.log.say(f"resumed: {run.source} at step {state.step}")
        if other := differences(read_record(run.source / STATE), run.about):
            run.log.say(f"resumed otherwise than saved ({other}): equal to rounding, not to the bit")
