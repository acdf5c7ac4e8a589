"""From a model to text: score the next token, choose one, append it, repeat."""

from pathlib import Path

import numpy as np

from minigpt import kernels
from minigpt.config import number_between, whole_between
from minigpt.door import checked_params, checked_prompt, checked_stop, dtype_of_params
from minigpt.errors import CheckpointError, ConfigError, NumericsError
from minigpt.model import forward
from minigpt.tokenizer import TOKENIZER, Tokenizer
from minigpt.weights import load_weights

TOP_P_RULES = ("smallest", "openai")
COLDEST = 1e-100  # colder is no different, but would divide beyond the largest float


def generate(
    config,
    params,
    prompt_ids,
    max_new_tokens=20,
    temperature=0.0,
    top_k=None,
    top_p=None,
    seed=0,
    stop=None,
    top_p_rule="smallest",
    ops="fast",
):
    """The ids that continue prompt_ids; an empty prompt is <|endoftext|>, the last id of the vocabulary.

    temperature: 0 takes the likeliest token; otherwise logits are divided by it. top_k: keep the k
    likeliest (ties at the k-th are kept; None or 0 keeps all). top_p: then keep the likeliest tokens that
    reach this probability together: the smallest such set, or by top_p_rule="openai" without the token
    that crosses it. stop: ids after which to end, the stop id included. Equal seeds give equal ids.

    When prompt and new ids exceed n_ctx, the model sees the last n_ctx of them.
    Raises ConfigError, CheckpointError (params), DataError (prompt_ids, stop) and NumericsError when the
    model's scores are NaN or infinite.
    """
    table = kernels.table(ops, dtype_of_params(checked_params(config, params)))
    ids, stop = checked_prompt(config, prompt_ids), checked_stop(config, stop)
    whole_between("max_new_tokens", max_new_tokens, 0)
    choice = Choice(temperature, top_k, top_p, top_p_rule)
    rng = np.random.default_rng(whole_between("seed", seed, 0, 2**63))
    with table.session():
        return list(continuation(config, table, params, ids, max_new_tokens, choice, rng, stop))


def continuation(config, ops, params, ids, max_new_tokens, choice, rng, stop=()):
    """Yield one new id after another."""
    ids = list(ids) or [config.n_vocab - 1]
    for _ in range(max_new_tokens):
        tokens = np.array([ids[-config.n_ctx :]])  # (1, T)
        logits, _ = forward(config, ops, params, tokens)  # (1, T, V)
        ids.append(choice.draw(logits[0, -1], rng))
        yield ids[-1]
        if ids[-1] in stop:
            return


class Choice:
    """How one token is chosen from the logits; checked once, for all tokens."""

    def __init__(self, temperature=0.0, top_k=None, top_p=None, top_p_rule="smallest"):
        self.temperature = number_between("temperature", temperature, 0, float("inf"))
        self.top_k = whole_between("top_k", top_k or 0, 0)
        self.top_p = 1.0 if top_p is None else number_between("top_p", top_p, 0, 1, closed=True)
        self.top_p_rule = top_p_rule
        if top_p_rule not in TOP_P_RULES:
            raise ConfigError(f"top_p_rule must be one of {', '.join(TOP_P_RULES)}: found {top_p_rule!r}")

    def draw(self, logits, rng):
        """One id: the likeliest at temperature 0 (the lowest of equals), else a draw from `probs`.

        logits (V)
        """
        if not np.isfinite(logits).all():
            raise NumericsError("the model's scores are NaN or infinite: its weights are not usable")
        if self.temperature == 0:
            return int(logits.argmax())
        cumulative = np.cumsum(self.probs(logits))
        return int(np.searchsorted(cumulative / cumulative[-1], rng.random(), side="right"))

    def probs(self, logits):
        """The distribution that is drawn from, in float64.

        logits (V) -> probs (V)
        """
        logits = logits.astype(np.float64)
        scaled = (logits - logits.max()) / max(self.temperature, COLDEST)  # the likeliest at 0: no overflow
        if 0 < self.top_k < len(scaled):
            kth = np.partition(scaled, -self.top_k)[-self.top_k]
            scaled = np.where(scaled < kth, -np.inf, scaled)
        probs = np.exp(scaled)
        probs = probs / probs.sum()
        return probs if self.top_p == 1 else self.nucleus(probs)

    def nucleus(self, probs):
        """The likeliest tokens that reach top_p together (Holtzman et al. 2019, arXiv:1904.09751).

        probs (V) -> probs (V)
        """
        order = np.argsort(-probs, kind="stable")  # (V)
        reached = np.cumsum(probs[order])  # (V)
        if self.top_p_rule == "openai":
            count = max(1, int((reached <= self.top_p).sum()))
        else:
            count = int((reached < self.top_p).sum()) + 1
        kept = np.zeros_like(probs)
        kept[order[:count]] = probs[order[:count]]
        return kept / kept.sum()


def write_sample(command):
    """minigpt sample: print the prompt and what the model makes of it."""
    config, params = load_weights(command.weights)
    tokenizer = Tokenizer.load(Path(command.weights) / TOKENIZER)
    if tokenizer.n_vocab != config.n_vocab:
        raise CheckpointError(
            f"{command.weights}: config.json has a vocabulary of {config.n_vocab}, "
            f"{TOKENIZER} one of {tokenizer.n_vocab}"
        )
    prompt = tokenizer.encode(command.prompt)
    new = generate(
        config,
        params,
        [tokenizer.eot, *prompt],
        command.max_new_tokens,
        command.temperature,
        command.top_k,
        command.top_p,
        command.seed,
        stop=[tokenizer.eot],
    )
    if new[-1:] == [tokenizer.eot]:
        new = new[:-1]
    print(command.prompt + tokenizer.decode(new))
    return 0
