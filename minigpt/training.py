"""One training run: what it is made of, and what it does at a step, between steps and at its end."""

import dataclasses
import time

import numpy as np

from minigpt import checkpoint, guard, kernels, rejected
from minigpt.choice import Choice, Dice
from minigpt.comm import Alone
from minigpt.compressors import bits_per_byte
from minigpt.cores import available_cores
from minigpt.corpus import read_corpus
from minigpt.data import batch
from minigpt.decode import Decoder
from minigpt.errors import CheckpointError, CommError, MinigptError, NumericsError
from minigpt.evaluate import evaluate
from minigpt.first_weights import first_weights
from minigpt.flops import flops_per_token, peak_of
from minigpt.layers import lengths, noted
from minigpt.log import clock, in_json
from minigpt.model import init_params
from minigpt.model_files import Model
from minigpt.prefetch import Prefetch
from minigpt.promises import STATE, read_record
from minigpt.provenance import differences, machine, provenance
from minigpt.ranks.equal import agreed, check_weights
from minigpt.recipe import dealt, masters, model_config, optimizer_config, settings
from minigpt.resume import resumed_state
from minigpt.sample import continuation
from minigpt.saver import Saver
from minigpt.shelf import last_sound
from minigpt.stop import RESUMABLE
from minigpt.tokenizer import Tokenizer
from minigpt.train import new_state
from minigpt.trainer import Trainer

PULSE = 1.0  # seconds
QUICK_LOOK = 8_192  # held-out tokens, spread over all, that a validation on the way reads
SAMPLING = Choice(temperature=0.7, top_k=50)
ALONE = Alone()


class Run:
    """One training run: what it is made of, and the clock."""

    def __init__(self, recipe, log, world=ALONE, source=None):
        self.started = time.perf_counter()
        self.log, self.world, self.source = log, world, source
        self.corpus = read_corpus(recipe, Tokenizer.load(self.source) if self.source else None)
        # a short text may have fewer pairs to merge than asked for
        self.recipe = recipe = dataclasses.replace(recipe, n_vocab=self.corpus.tokenizer.n_vocab)
        self.config = model_config(recipe)
        self.settings = settings(recipe, self.corpus)
        state = self.first_state()
        self.trainer = Trainer(
            self.config,
            state.params,
            state=state,
            world=world,
            ops=recipe.ops,
            threads=threads_of(recipe, world),
            device=recipe.device,
            dtype=recipe.dtype,
            tf32=recipe.tf32,
            products=recipe.products,
            attention=recipe.attention,
            **vars(optimizer_config(recipe)),
        )
        # text is made in the type of the masters: a sample costs little, and cached attention wants float32
        self.precise = kernels.table(recipe.ops, masters(recipe), threads_of(recipe, world), recipe.device)
        with self.trainer.ops.session():
            self.peak, self.machine = peak_of(recipe, self.trainer.ops)
        self.peak *= world.size
        self.ahead = Prefetch(self.batches, recipe.steps)
        self.waited = self.stepped = 0.0  # seconds: for batches, and in steps as a whole
        self.saver = Saver(self.write, log.warn)
        self.tokenizer_files = checkpoint.files_of(self.corpus.tokenizer)
        self.about = provenance(recipe, self.trainer.ops, world.size)

    def first_state(self):
        """Where the run begins, or goes on."""
        dtype = masters(self.recipe)
        if not self.source and self.recipe.init_from:
            return new_state(first_weights(self.recipe.init_from, self.config, dtype))
        if not self.source:
            return new_state(init_params(self.config, self.recipe.seed, dtype))
        return resumed_state(self.source, self.config, self.recipe, self.settings, self.log.say)

    def introduce(self):
        """What is trained on what, before the first step."""
        recipe, corpus, state = self.recipe, self.corpus, self.trainer.state
        n_params = state.params.buffer.size
        tokens = recipe.steps * recipe.tokens_per_step
        self.log.say(
            f"model: {recipe.n_layer} layers, {recipe.n_head} heads, {recipe.n_embd} channels, "
            f"context {recipe.context}, {n_params:,} parameters, {recipe.dtype}"
        )
        self.log.say(
            f"data: {corpus.name}, {corpus.n_train:,} tokens to train on, "
            f"{len(corpus.val_ids):,} held out ({len(corpus.val_bytes):,} bytes), vocabulary {recipe.n_vocab}"
        )
        self.log.say(
            f"run: {recipe.steps} steps of {recipe.tokens_per_step:,} tokens "
            f"({tokens / corpus.n_train:.2f} epochs), lr {recipe.lr:g} {recipe.schedule}, "
            f"warmup {recipe.warmup}, seed {recipe.seed}"
        )
        self.log.say(
            f"machine: {self.machine}, {self.peak / 1e9:.0f} GFLOP/s in matrix products; "
            f"mfu is the share of it, at 6 (N - wpe) + 12 L C T = "
            f"{flops_per_token(self.config, recipe.context) / 1e6:.1f} MFLOP a token"
        )
        if self.world.size > 1:
            how = "each with a share of the moments" if self.world.sharded else "each with all moments"
            self.log.say(f"ranks: {self.world.size}, {how}; the machine's figures are rank 0's, times all")
        computes = {"computes": self.machine, "peak_flops": in_json(self.peak)}
        start = {"step": state.step, "model": vars(self.config) | {"parameters": n_params}}
        self.log.start(start | {"data": corpus.facts(), "machine": machine() | computes} | self.about)
        if recipe.init_from and not state.step:
            self.log.say(f"weights: those of {recipe.init_from}")
        if state.step:
            self.log.say(f"resumed: {self.source} at step {state.step}")
            if other := differences(read_record(self.source / STATE), self.about):
                self.log.say(f"resumed otherwise than saved ({other}): equal to rounding, not to the bit")

    def batches(self, step):
        """This rank's parts of a step's global batch."""
        return self.batches_of(step, self.world.rank, 1)

    def batches_of(self, step, first, ranks):
        """The parts of some neighbouring ranks: the same windows on any number of them."""
        recipe = self.recipe
        parts, each = dealt(recipe, self.world.size)
        rows = recipe.tokens_per_step // recipe.context
        shape = {"context": recipe.context, "batch_size": each, "rows_per_step": rows}
        return [
            batch(self.corpus.train, step, part, seed=recipe.seed, order=recipe.order, **shape)
            for part in range(first * parts, (first + ranks) * parts)
        ]

    def step(self):
        """One optimizer step, reported. Raises NumericsError if it is one too many that is not finite."""
        recipe = self.recipe
        start = time.perf_counter()
        batches = self.ahead.take(self.trainer.state.step)
        waited = time.perf_counter() - start
        report = self.trainer.step_in_parts(batches)
        seconds = time.perf_counter() - start
        self.waited, self.stepped = self.waited + waited, self.stepped + seconds
        achieved = flops_per_token(self.config, recipe.context) * recipe.tokens_per_step / seconds
        step, mfu = self.trainer.state.step, achieved / self.peak
        left = (recipe.steps - step) * seconds
        about = seconds, waited, recipe.tokens_per_step, mfu, left, self.spent()
        self.log.step(step, recipe.steps, report, *about)
        if report.verdict.reason:
            self.log.say(f"step {step} {report.verdict}")
        if self.trainer.state.guard.not_finite >= guard.PATIENCE:
            raise agreed(NumericsError(self.given_up(report.verdict)))
        if report.verdict.accepted and noted(step, recipe.layers_every):
            self.note_layers(report.lr)
        if due(step, recipe.compare_every):
            check_weights(self.world, step, self.trainer.params)

    def note_layers(self, lr):
        """Note how the last step has moved each layer."""
        if self.world.rank == 0 or self.world.sharded:
            with np.errstate(all="ignore"), self.trainer.ops.session():
                self.log.layers(self.trainer.state.step, lengths(self.trainer, lr))

    def spent(self):
        """Dollars since this process began, for all ranks; None if no price is known."""
        if self.recipe.price is None:
            return None
        return self.recipe.price * self.world.size * (time.perf_counter() - self.started) / 3600

    def given_up(self, verdict):
        """Why the run is given up, and what there is to do; every rank must ask for it."""
        recipe, kept = self.recipe, self.kept(verdict)
        if self.world.rank:
            return "told by rank 0"
        self.saver.wait()
        anew = "start anew with --resume never and a lower --lr"
        if last := last_sound(recipe.out):
            saved = f"nothing was saved since {last}"
            anew = f"go on from there with --resume {last} --allow-changes lr and a lower --lr, or {anew}"
        else:
            saved = "no checkpoint was saved before"
        return f"{guard.PATIENCE} steps in a row were rejected, {saved}; {kept}; {anew}"

    def kept(self, verdict):
        """Keep the last step for `minigpt replay`; what to say of that."""
        how = {name: getattr(self.recipe, name) for name in rejected.HOW}
        try:
            state = self.trainer.whole_state()
            if self.world.rank:
                return ""
            batches = self.batches_of(state.step - 1, 0, self.world.size)
            folder = rejected.keep(self.recipe.out, self.trainer, batches, how, verdict.reason, state)
        except CommError:
            raise
        except (MinigptError, OSError) as reason:
            return f"the last one could not be kept for minigpt replay: {reason}"
        return f"minigpt replay {folder} says where the last one's numbers were lost"

    def validate(self, whole=False, progress=lambda rows: None):
        """Score the held-out text, or windows spread over it, and report."""
        self.world.doing("validating")
        recipe, ids = self.recipe, self.corpus.val_ids
        ops = self.trainer.ops
        model = Model(self.config, ops.weights(self.trainer.params), self.corpus.tokenizer, ops)
        every = 1 if whole else max(1, len(ids) // QUICK_LOOK)
        score = evaluate(model, ids, recipe.context, recipe.batch_size, every, progress, self.world)
        self.log.validation(self.trainer.state.step, recipe.steps, score)
        return score

    def sample(self):
        """Let the model write from nothing, and show it; on one rank."""
        if self.world.rank:
            return
        self.world.doing("sampling")
        step, decoder = self.trainer.state.step, Decoder(self.config, self.precise, self.trainer.params)
        dice, tokenizer = Dice([self.recipe.seed, step]), self.corpus.tokenizer
        with self.precise.session():
            drawn = continuation(decoder, [tokenizer.eot], self.recipe.sample_tokens, SAMPLING, dice)
            ids = [one.id for one in drawn]
        self.log.sample(step, tokenizer.decode(ids))

    def save(self):
        """Begin to save a checkpoint of now; rank 0 writes it."""
        self.settle()
        try:
            state = self.trainer.whole_state()
        except CheckpointError as error:
            step = self.trainer.state.step
            self.saver.give_up(step, CheckpointError(f"step {step}: not saved: {error}"))
            return
        if self.world.rank:
            return
        rows = self.recipe.tokens_per_step // self.recipe.context
        about = self.about | {"rows_read": state.step * rows}
        parts = self.config, state, self.settings, self.tokenizer_files, about
        ours = self.world.sharded  # moments that were put together for this are no one else's
        self.saver.save(state.step, lambda: checkpoint.snapshot(*parts, moments_are_copies=ours))

    def settle(self):
        """Until no save is under way: ranks that wait for the one that writes hear from it every second."""
        self.world.doing("saving")
        while any(self.world.gather(self.saver.busy(PULSE))):
            continue

    def write(self, taken):
        """Write a checkpoint's snapshot; on the saver's thread."""
        return checkpoint.write(self.recipe.out, taken, self.recipe.keep, self.recipe.keep_every)

    def finish(self, stop):
        """The final score, beside what compressors need for the same text; the exit code."""
        # ranks finish together: one that left would end the others, and perhaps the last save with them
        look_up = stop.check if self.world.size == 1 else lambda rows: None
        score = self.validate(whole=True, progress=look_up)
        if self.world.size > 1:
            self.settle()
        if self.world.rank:
            return 0
        for name, bits in bits_per_byte(self.corpus.val_bytes).items():
            self.log.say(f"  for comparison, {name:8s} needs {bits:.3f} bits a byte of the held-out text")
        if self.stepped:
            share = self.waited / self.stepped
            self.log.say(f"steps waited for their batches {share:.2%} of the time")
            share = self.saver.held_up / (self.stepped + self.saver.held_up)
            self.log.say(f"saving checkpoints held the run up {share:.2%} of the time")
        if self.recipe.price is not None:
            each = f"{self.world.size} x ${self.recipe.price:.2f} an hour"
            self.log.say(f"price: ${self.spent():,.2f} at {each}, since this process began")
        self.saver.wait()
        if self.saver.failure:
            return self.not_saved()
        folder = self.saver.latest or self.source  # which was at the end already
        self.log.say(
            f"done: {score.bits_per_byte:.3f} bits a byte on held-out text, "
            f"{clock(time.perf_counter() - self.started)} from start to end; weights in {folder}"
        )
        self.log.say(f'try: minigpt sample --weights {folder} --prompt "The people of"')
        return 0

    def not_saved(self):
        """Say that the run ends without its last save; the exit code."""
        self.log.warn("what came after the last checkpoint is not saved; the same command goes on from there")
        return 1

    def leave(self):
        """Save, because the run is to stop here; the exit code."""
        self.save()
        self.settle()
        if self.world.rank:
            return RESUMABLE
        if self.saver.failure:
            return self.not_saved()
        again = "the same command" if self.recipe.resume == "auto" else "the same command with --resume auto"
        said = f"saved: {self.saver.latest}; {again} goes on from there"
        if self.log.gone:
            self.log.warn(f"stopped, as nobody reads standard output any more, {said}")
        else:
            self.log.say(f"stopped by a signal, {said}")
        return RESUMABLE


def due(step, every):
    """Whether a step is one of every so many; 0 is never."""
    return bool(every) and step % every == 0


def threads_of(recipe, world):
    """Threads of the kernels: as asked for, or this rank's share of the cores."""
    return recipe.threads or max(1, available_cores() // world.local_size)
