"""minigpt: GPT-2 by hand on NumPy and CuPy. Start reading at minigpt/train.py."""

from minigpt.api import init_params, logits, loss_and_grads
from minigpt.config import PRESETS, GPTConfig
from minigpt.errors import CheckpointError, CommError, ConfigError, DataError, MinigptError, NumericsError
from minigpt.sample import generate, generate_batch
from minigpt.shards import TokenShards
from minigpt.tokenizer import Tokenizer
from minigpt.trainer import Trainer
from minigpt.weights import load_weights, save_weights

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
    "TokenShards",
    "Tokenizer",
    "Trainer",
    "generate",
    "generate_batch",
    "init_params",
    "load_weights",
    "logits",
    "loss_and_grads",
    "save_weights",
]
