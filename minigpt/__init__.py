"""minigpt: GPT-2 by hand on NumPy and CuPy. Start reading at minigpt/train.py."""

from minigpt.api import logits, loss_and_grads
from minigpt.config import PRESETS, GPTConfig
from minigpt.errors import CheckpointError, CommError, ConfigError, DataError, MinigptError, NumericsError
from minigpt.model import init_params
from minigpt.trainer import Trainer

__version__ = "0.1.0"

__all__ = [
    "PRESETS",
    "CheckpointError",
    "CommError",
    "ConfigError",
    "DataError",
    "GPTConfig",
    "MinigptError",
    "NumericsError",
    "Trainer",
    "init_params",
    "logits",
    "loss_and_grads",
]
