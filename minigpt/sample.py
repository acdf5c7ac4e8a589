"""From a model to text: score the next token, choose one, append it, repeat."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

import numpy as np

from minigpt.api import table_for
from minigpt.choice import Choice, Dice
from minigpt.config import GPTConfig, whole_between
from minigpt.decode import Cache, Decoder
from minigpt.door import checked_prompt, checked_stop
from minigpt.errors import DataError
from minigpt.kinds import Array, Ops, Params


class Drawn(NamedTuple):
    """A new token, and the scores that it was chosen by."""

    id: int
    logits: np.ndarray  # (V)


def generate(
    config: GPTConfig,
    params: Params,
    prompt_ids: Array,
    max_new_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: Iterable[int] | None = None,
    top_p_rule: Literal["smallest", "openai"] = "smallest",
    ops: Ops = "fast",
    slide: int = 1,
) -> list[int]:
    """The ids that continue prompt_ids; an empty prompt is <|endoftext|>, the last id of the vocabulary.

    temperature: 0 takes the likeliest token; otherwise logits are divided by it. top_k: keep the k
    likeliest (ties at the k-th are kept; None or 0 keeps all). top_p: then keep the likeliest tokens that
    reach this probability together (above 0, at most 1): the smallest such set, or by top_p_rule="openai"
    without the token that crosses it. stop: ids after which to end, the stop id included.

    Equal seeds roll the same dice on every platform, to the last bit. The model's scores are the same only
    within rounding (other processors, other numbers of threads, a batch): two runs of one seed may part
    where two tokens are so nearly equal, or a roll falls so near to the border of two, that rounding decides.

    The model sees up to n_ctx tokens. When there are more, the oldest drop out, `slide` at a time: with 1 it
    always sees the last n_ctx, but reads them all anew for every token; with more it does so every `slide`
    tokens, and sees at least n_ctx - slide + 1.
    Raises ConfigError, CheckpointError (params), DataError (prompt_ids, stop) and NumericsError when the
    model's scores are NaN or infinite.
    """
    options = (max_new_tokens, temperature, top_k, top_p, seed, stop, top_p_rule, ops, slide)
    return generate_batch(config, params, [prompt_ids], *options)[0]


def generate_batch(
    config: GPTConfig,
    params: Params,
    prompts: Iterable[Array],
    max_new_tokens: int = 20,
    temperature: float = 0.0,
    top_k: int | None = None,
    top_p: float | None = None,
    seed: int = 0,
    stop: Iterable[int] | None = None,
    top_p_rule: Literal["smallest", "openai"] = "smallest",
    ops: Ops = "fast",
    slide: int = 1,
) -> list[list[int]]:
    """generate for several prompts at once, of any lengths: a list of new ids for each.

    Prompt i has the seed seed + i and rolls the dice that it rolls alone. Its scores in a batch differ from
    those alone by rounding, so its ids may too, where rounding decides: at temperature 0 if two tokens are
    equal within it, else if a roll falls within it of the border between two.
    """
    table = table_for(config, params, ops)
    if isinstance(prompts, (str, bytes)) or not hasattr(prompts, "__iter__"):
        raise DataError(f"prompts must be a list of lists of ids: found {type(prompts).__name__}")
    rows = [checked_prompt(config, prompt) for prompt in prompts]
    stop = checked_stop(config, stop)
    whole_between("max_new_tokens", max_new_tokens, 0)
    whole_between("slide", slide, 1, config.n_ctx)
    seed = whole_between("seed", seed, 0, 2**63)
    choice, dice = Choice(temperature, top_k, top_p, top_p_rule), [Dice(seed + i) for i in range(len(rows))]
    found: list[list[int]] = [[] for _ in rows]
    if not rows or max_new_tokens == 0:
        return found
    decoder = Decoder(config, table, params)
    with table.session():
        for drawn in draws(decoder, begin(decoder, rows, slide), max_new_tokens, choice, dice, stop):
            for ids, one in zip(found, drawn, strict=True):
                ids += [one.id] if one else []
    return found


def continuation(decoder, ids, max_new_tokens, choice, dice, stop=(), slide=1):
    """Yield one Drawn after another for one prompt."""
    for (drawn,) in draws(decoder, begin(decoder, [ids], slide), max_new_tokens, choice, [dice], stop):
        yield drawn


class Begun(NamedTuple):
    """Prompts that have been read: what any number of continuations start from, one after the other."""

    rows: list  # B lists of ids
    slide: int
    cache: Cache
    length: int  # of the cache, when it held the prompts and nothing else
    logits: np.ndarray  # (B, V), of what follows each


def begin(decoder, prompts, slide=1):
    """Read all prompts in one pass. An empty one is <|endoftext|>."""
    rows = [list(prompt) or [decoder.config.n_vocab - 1] for prompt in prompts]
    cache, logits = read_windows(decoder, rows, window_starts(rows, decoder.config.n_ctx, slide))
    return Begun(rows, slide, cache, cache.length, logits)


def draws(decoder, begun, max_new_tokens, choice, dice, stop=()):
    """Yield for each new place a list: a Drawn for each prompt, None for those that have met a stop id."""
    rows, cache, logits = [list(row) for row in begun.rows], begun.cache, begun.logits
    cache.length = begun.length  # what an earlier continuation has read is forgotten
    n_ctx, slide = decoder.config.n_ctx, begun.slide
    starts, ended = window_starts(rows, n_ctx, slide), [False] * len(rows)
    for turn in range(max_new_tokens):
        if turn:
            before, starts = starts, window_starts(rows, n_ctx, slide)
            if starts == before:
                logits = decoder.read(cache, np.array([row[-1:] for row in rows]))  # (B, V)
            else:  # tokens drop out: every position is another then
                cache, logits = read_windows(decoder, rows, starts)
        drawn = []
        for i, scores in enumerate(logits):
            drawn.append(None if ended[i] else Drawn(choice.draw(scores, dice[i]), scores))
            rows[i].append(rows[i][-1] if ended[i] else drawn[i].id)
            ended[i] = ended[i] or drawn[i].id in stop
        yield drawn
        if all(ended):
            return


def read_windows(decoder, rows, starts):
    """Read each row from where its window starts: a new cache, and the logits of what follows.

    Rows of unequal lengths stand flush right in one batch, behind pads that nobody sees.

    rows: B lists of ids, starts: B numbers. -> cache, logits (B, V)
    """
    tokens, pads = flush_right([row[start:] for row, start in zip(rows, starts, strict=True)])
    cache = Cache(decoder.config, decoder.params["wte.weight"], pads)
    return cache, decoder.read(cache, tokens)


def window_starts(rows, n_ctx, slide):
    """window_start of each row."""
    return [window_start(len(row), n_ctx, slide) for row in rows]


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
