"""A model and its optimizer, held together: one call is one training step."""

import dataclasses

from minigpt import kernels
from minigpt.comm import Alone
from minigpt.config import OptimizerConfig
from minigpt.door import checked_batches, dtype_of_params, flat_copy
from minigpt.errors import ConfigError, NumericsError
from minigpt.train import new_state, train_step


class Trainer:
    """trainer = Trainer(config, params); loss = trainer.step(tokens, targets); trainer.params.

    params is copied. Keywords are OptimizerConfig's: lr, betas, eps, weight_decay, decay_all, clip, and
    for a schedule warmup, schedule, steps, final. ops and threads choose the kernels as in `logits`.
    """

    def __init__(self, config, params, *, ops="fast", threads=None, world=None, **optimizer):
        fields = [field.name for field in dataclasses.fields(OptimizerConfig)]
        if unknown := sorted(set(optimizer) - set(fields)):
            raise ConfigError(f"Trainer has no {', '.join(unknown)}: expected some of {', '.join(fields)}")
        self.config, self.optimizer, self.world = config, OptimizerConfig(**optimizer), world or Alone()
        self.state = new_state(flat_copy(config, params))
        self.ops = kernels.table(ops, dtype_of_params(self.params), threads)

    @property
    def params(self):
        """The current parameters, a mapping of names to arrays that later steps change."""
        return self.state.params

    def step(self, tokens, targets):
        """One optimizer step on one batch; the loss before it, in nats a token.

        tokens, targets: integers (B, T), -1 in targets is not scored. Raises DataError, and
        NumericsError when loss or gradient is not finite: nothing but the step count has changed then.
        """
        report = self.step_in_parts([(tokens, targets)])
        if not report.verdict.accepted:
            raise NumericsError(f"step {self.state.step} not applied: {report.verdict.reason}")
        return report.loss

    def step_in_parts(self, batches):
        """One optimizer step on several (tokens, targets), averaged; a Report, whatever its verdict."""
        checked = checked_batches(self.config, batches)
        with self.ops.session():
            self.state, report = train_step(
                self.config, self.optimizer, self.ops, self.world, self.state, checked
            )
        return report
