"""One training run: what it is made of, and what it does at a step and between steps."""

import dataclasses
import time

import numpy as np

from minigpt import checkpoint, guard, kernels
from minigpt.choice import Choice, Dice
from minigpt.comm import Alone
from minigpt.cores import available_cores
from minigpt.corpus import read_corpus
from minigpt.data import batch
from minigpt.decode import Decoder
from minigpt.ending import given_up
from minigpt.errors import CheckpointError, NumericsError
from minigpt.evaluate import evaluate
from minigpt.first_weights import first_weights
from minigpt.flops import flops_per_token, peak_of
from minigpt.layers import lengths, noted
from minigpt.model import init_params
from minigpt.model_files import Model
from minigpt.prefetch import Prefetch
from minigpt.provenance import provenance
from minigpt.ranks.equal import agreed, check_weights
from minigpt.recipe import dealt, masters, model_config, optimizer_config, settings
from minigpt.resume import resumed_state
from minigpt.sample import continuation
from minigpt.saver import Saver
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
            raise agreed(NumericsError(given_up(self, report.verdict)))
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


def due(step, every):
    """Whether a step is one of every so many; 0 is never."""
    return bool(every) and step % every == 0


def threads_of(recipe, world):
    """Threads of the kernels: as asked for, or this rank's share of the cores."""
    return recipe.threads or max(1, available_cores() // world.local_size)
