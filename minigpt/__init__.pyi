"""The public names, for type checkers: __init__.py imports each when it is first asked for."""

from minigpt.api import init_params as init_params
from minigpt.api import logits as logits
from minigpt.api import loss_and_grads as loss_and_grads
from minigpt.config import PRESETS as PRESETS
from minigpt.config import GPTConfig as GPTConfig
from minigpt.errors import CheckpointError as CheckpointError
from minigpt.errors import CommError as CommError
from minigpt.errors import ConfigError as ConfigError
from minigpt.errors import DataError as DataError
from minigpt.errors import MinigptError as MinigptError
from minigpt.errors import NumericsError as NumericsError
from minigpt.sample import generate as generate
from minigpt.sample import generate_batch as generate_batch
from minigpt.shards import TokenShards as TokenShards
from minigpt.tokenizer import Tokenizer as Tokenizer
from minigpt.trainer import Trainer as Trainer
from minigpt.weights import load_weights as load_weights
from minigpt.weights import save_weights as save_weights

__version__: str
