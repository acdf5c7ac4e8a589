"""The loop around the training step: begin or resume, step, look, save, and say at the end how it went."""

import dataclasses
import time
from pathlib import Path

from minigpt import checkpoint, kernels
from minigpt.choice import Choice, Dice
from minigpt.compressors import bits_per_byte
from minigpt.corpus import read_corpus
from minigpt.data import batch
from minigpt.decode import Decoder
from minigpt.errors import NumericsError
from minigpt.evaluate import evaluate
from minigpt.flops import flops_per_token, peak_of
from minigpt.log import Log, clock
from minigpt.model import init_params
from minigpt.model_files import Model
from minigpt.prefetch import Prefetch
from minigpt.recipe import masters, model_config, optimizer_config, resolved, settings
from minigpt.resume import move_aside, resumed_state, source_of
from minigpt.sample import continuation
from minigpt.stop import RESUMABLE, StopSignal
from minigpt.tokenizer import Tokenizer
from minigpt.trainer import Trainer

QUICK_LOOK = 8_192  # held-out tokens, spread over all, that a validation on the way reads
REJECTED_IN_A_ROW = 3  # so many steps without a finite gradient are no accident
SAMPLING = Choice(temperature=0.7, top_k=50)


class Run:
    """One training run: what it is made of, and the clock."""

    def __init__(self, recipe, log):
        self.started = time.perf_counter()
        self.log, self.source = log, source_of(recipe)
        self.corpus = read_corpus(recipe, Tokenizer.load(self.source) if self.source else None)
        # a short text may have fewer pairs to merge than asked for
        self.recipe = recipe = dataclasses.replace(recipe, n_vocab=self.corpus.tokenizer.n_vocab)
        self.config = model_config(recipe)
        self.settings = settings(recipe, self.corpus)
        self.trainer = Trainer(
            self.config,
            init_params(self.config, recipe.seed, masters(recipe)),
            ops=recipe.ops,
            threads=recipe.threads,
            device=recipe.device,
            dtype=recipe.dtype,
            tf32=recipe.tf32,
            products=recipe.products,
            attention=recipe.attention,
            **vars(optimizer_config(recipe)),
        )
        if self.source:
            self.trainer.restore(resumed_state(self.source, self.config, self.settings))
        # text is made in the type of the masters: a sample costs little, and cached attention wants float32
        self.precise = kernels.table(recipe.ops, masters(recipe), recipe.threads, recipe.device)
        with self.trainer.ops.session():
            self.peak, self.machine = peak_of(recipe, self.trainer.ops)
        self.ahead = Prefetch(self.batches, recipe.steps)
        self.waited = self.stepped = 0.0  # seconds: for batches, and in steps as a whole

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
        if state.step:
            self.log.say(f"resumed: {self.source} at step {state.step}")

    def batches(self, step):
        """The parts of a step's global batch."""
        recipe = self.recipe
        rows = recipe.tokens_per_step // recipe.context
        shape = {"context": recipe.context, "batch_size": recipe.batch_size, "rows_per_step": rows}
        return [
            batch(self.corpus.train, step, part, seed=recipe.seed, order=recipe.order, **shape)
            for part in range(rows // recipe.batch_size)
        ]

    def step(self):
        """One optimizer step, reported; True if it was applied."""
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
        self.log.step(step, recipe.steps, report, seconds, waited, recipe.tokens_per_step, mfu, left)
        if not report.verdict.accepted:
            self.log.say(f"step {step} rejected, no weight has changed: {report.verdict.reason}")
        return report.verdict.accepted

    def validate(self, whole=False):
        """Score the held-out text, or windows spread over it, and report."""
        recipe, ids = self.recipe, self.corpus.val_ids
        ops = self.trainer.ops
        model = Model(self.config, ops.weights(self.trainer.params), self.corpus.tokenizer, ops)
        every = 1 if whole else max(1, len(ids) // QUICK_LOOK)
        score = evaluate(model, ids, recipe.context, recipe.batch_size, every)
        self.log.validation(self.trainer.state.step, recipe.steps, score)
        return score

    def sample(self):
        """Let the model write from nothing, and show it."""
        step, decoder = self.trainer.state.step, Decoder(self.config, self.precise, self.trainer.params)
        dice = Dice([self.recipe.seed, step])
        with self.precise.session():
            drawn = continuation(decoder, [], self.recipe.sample_tokens, SAMPLING, dice)
            ids = [one.id for one in drawn]
        self.log.sample(step, self.corpus.tokenizer.decode(ids))

    def save(self):
        """A checkpoint of now."""
        return checkpoint.save(
            self.recipe.out, self.config, self.trainer.state, self.settings, self.corpus.tokenizer
        )

    def finish(self):
        """The final score, beside what compressors need for the same text."""
        score = self.validate(whole=True)
        for name, bits in bits_per_byte(self.corpus.val_bytes).items():
            self.log.say(f"  for comparison, {name:8s} needs {bits:.3f} bits a byte of the held-out text")
        if self.stepped:
            share = self.waited / self.stepped
            self.log.say(f"steps waited for their batches {share:.2%} of the time")
        folder = checkpoint.checkpoints(self.recipe.out)[-1]
        self.log.say(
            f"done: {score.bits_per_byte:.3f} bits a byte on held-out text, "
            f"{clock(time.perf_counter() - self.started)} from start to end; weights in {folder}"
        )
        self.log.say(f'try: minigpt sample --weights {folder} --prompt "The people of"')


def run(recipe, terminal=None):
    """Carry a recipe out; the exit code: 0 done, 75 stopped by a signal after saving.

    Raises MinigptError: ConfigError, DataError, CheckpointError before the first step, NumericsError in it.
    """
    recipe = resolved(recipe)
    out = Path(recipe.out)
    out.mkdir(parents=True, exist_ok=True)  # a place that cannot be written to is found out now
    with StopSignal() as stop:
        training = Run(recipe, Log(out, terminal))
        if recipe.resume == "never":
            move_aside(out)  # only now that nothing is wrong with the run that takes its place
        training.introduce()
        if training.trainer.state.step == 0 and recipe.sample_every:
            training.sample()
        with training.ahead:
            loop(training, stop)
        if stop.asked:
            training.log.say(
                f"stopped by a signal, saved: {training.save()}; the same command goes on from there"
            )
            return RESUMABLE
        training.finish()
    return 0


def loop(training, stop):
    """Step until the end or a signal, and look, sample and save when it is time."""
    recipe, rejected = training.recipe, 0
    while training.trainer.state.step < recipe.steps and not stop.asked:
        rejected = 0 if training.step() else rejected + 1
        if rejected == REJECTED_IN_A_ROW:
            raise NumericsError(
                f"{rejected} steps in a row were rejected, nothing was saved since the last checkpoint: "
                f"start anew with --resume never and a lower --lr"
            )
        step, last = training.trainer.state.step, training.trainer.state.step == recipe.steps
        if due(step, recipe.sample_every) or (last and recipe.sample_every):
            training.sample()
        if due(step, recipe.eval_every) and not last:
            training.validate()
        if due(step, recipe.checkpoint_every) or last:
            training.save()


def due(step, every):
    """Whether a step is one of every so many; 0 is never."""
    return bool(every) and step % every == 0
