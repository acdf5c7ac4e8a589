"""From a model to text: score the next token, choose one, append it, repeat."""

from typing import NamedTuple

import numpy as np

from minigpt import kernels
from minigpt.choice import Choice, Dice
from minigpt.config import whole_between
from minigpt.decode import Cache, Decoder
from minigpt.door import checked_params, checked_prompt, checked_stop, dtype_of_params
from minigpt.errors import DataError


class Drawn(NamedTuple):
    """A new token, and the scores that it was chosen by."""

    id: int
    logits: np.ndarray  # (V)


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
    slide=1,
):
    """The ids that continue prompt_ids; an empty prompt is <|endoftext|>, the last id of the vocabulary.

    temperature: 0 takes the likeliest token; otherwise logits are divided by it. top_k: keep the k
    likeliest (ties at the k-th are kept; None or 0 keeps all). top_p: then keep the likeliest tokens that
    reach this probability together: the smallest such set, or by top_p_rule="openai" without the token
    that crosses it. stop: ids after which to end, the stop id included. Equal seeds give equal ids, on
    every platform.

    The model sees up to n_ctx tokens. When there are more, the oldest drop out, `slide` at a time: with 1 it
    always sees the last n_ctx, but reads them all anew for every token; with more it does so every `slide`
    tokens, and sees at least n_ctx - slide + 1.
    Raises ConfigError, CheckpointError (params), DataError (prompt_ids, stop) and NumericsError when the
    model's scores are NaN or infinite.
    """
    options = (max_new_tokens, temperature, top_k, top_p, seed, stop, top_p_rule, ops, slide)
    return generate_batch(config, params, [prompt_ids], *options)[0]


def generate_batch(
    config,
    params,
    prompts,
    max_new_tokens=20,
    temperature=0.0,
    top_k=None,
    top_p=None,
    seed=0,
    stop=None,
    top_p_rule="smallest",
    ops="fast",
    slide=1,
):
    """generate for several prompts at once, of any lengths: a list of new ids for each.

    Prompt i has the seed seed + i: the ids are those that it gets alone with this seed, but where two
    tokens are so nearly equal that rounding decides.
    """
    table = kernels.table(ops, dtype_of_params(checked_params(config, params)))
    if isinstance(prompts, (str, bytes)) or not hasattr(prompts, "__iter__"):
        raise DataError(f"prompts must be a list of lists of ids: found {type(prompts).__name__}")
    rows = [checked_prompt(config, prompt) for prompt in prompts]
    stop = checked_stop(config, stop)
    whole_between("max_new_tokens", max_new_tokens, 0)
    whole_between("slide", slide, 1, config.n_ctx)
    seed = whole_between("seed", seed, 0, 2**63)
    choice, dice = Choice(temperature, top_k, top_p, top_p_rule), [Dice(seed + i) for i in range(len(rows))]
    found = [[] for _ in rows]
    with table.session():
        for drawn in draws(Decoder(config, table, params), rows, max_new_tokens, choice, dice, stop, slide):
            for ids, one in zip(found, drawn, strict=True):
                ids += [one.id] if one else []
    return found


def continuation(decoder, ids, max_new_tokens, choice, dice, stop=(), slide=1):
    """Yield one Drawn after another for one prompt."""
    for (drawn,) in draws(decoder, [ids], max_new_tokens, choice, [dice], stop, slide):
        yield drawn


def draws(decoder, prompts, max_new_tokens, choice, dice, stop, slide):
    """Yield for each new place a list: a Drawn for each prompt, None for those that have met a stop id.

    Rows of unequal lengths stand flush right in one batch, behind pads that nobody sees.
    """
    n_ctx, n_vocab = decoder.config.n_ctx, decoder.config.n_vocab
    rows = [list(prompt) or [n_vocab - 1] for prompt in prompts]
    ended, starts = [False] * len(rows), None
    for _ in range(max_new_tokens if rows else 0):
        before, starts = starts, [window_start(len(row), n_ctx, slide) for row in rows]
        if starts == before:
            tokens = np.array([row[-1:] for row in rows])  # (B, 1)
        else:  # at the beginning, or when tokens drop out: every position is another then
            tokens, pads = flush_right([row[start:] for row, start in zip(rows, starts, strict=True)])
            cache = Cache(decoder.config, decoder.params["wte.weight"].dtype, pads)
        drawn = []
        for i, logits in enumerate(decoder.read(cache, tokens)):
            drawn.append(None if ended[i] else Drawn(choice.draw(logits, dice[i]), logits))
            rows[i].append(rows[i][-1] if ended[i] else drawn[i].id)
            ended[i] = ended[i] or drawn[i].id in stop
        yield drawn
        if all(ended):
            return


def window_start(length, n_ctx, slide):
    """How many of a row's tokens have dropped out when the model reads it: a multiple of slide, if need be.

    length=10, n_ctx=8, slide=1 -> 2
    length=10, n_ctx=8, slide=3 -> 3
    """
    return max(0, -(-(length - n_ctx) // slide)) * slide


def flush_right(rows):
    """Rows of ids as one array, with zeros before the shorter ones, and how many zeros.

    [[1, 2, 3], [4]] -> [[1, 2, 3], [0, 0, 4]], [0, 2]
    """
    width = max(map(len, rows))
    pads = [width - len(row) for row in rows]
    return np.array([[0] * pad + row for pad, row in zip(pads, rows, strict=True)]), pads
