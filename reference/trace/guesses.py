"""What the model expects: at every place of the text, and after its end, where a token would be drawn."""

import base64
import math

import numpy as np

from minigpt.choice import Choice, Dice

TOP = 3  # guesses shown for each place
ROLLS = 12  # of the dice, the first of seed 0
LIKELY = 24  # tokens after the end that are listed


def expected(logits, ids):
    """For each place the likeliest next tokens, and the one that came.

    logits (T, V)
    """
    found = []
    for scores, following in zip(logits, [*ids[1:], None], strict=True):
        probs = Choice().probs(scores)  # (V)
        top = [[id, round(float(probs[id]), 6)] for id in likeliest(probs, TOP)]
        place = {"top": top, "came": following}
        if following is not None:
            prob = float(probs[following])
            place |= {"prob": round(prob, 6), "nats": round(-math.log(prob), 4)}
        found.append(place)
    return found


def next_token(logits):
    """The scores of all tokens after the text, and rolls of the dice that choice.draw would take.

    logits (V)
    """
    dice = Dice(0)
    scores = base64.b64encode(np.ascontiguousarray(logits, "<f4").tobytes()).decode()
    rolls = [dice.roll() for _ in range(ROLLS)]
    return {"scores": scores, "rolls": rolls, "listed": likeliest(logits, LIKELY)}


def likeliest(scores, count):
    """The ids of the highest scores, best first; of equals the lower id."""
    return [int(id) for id in np.argsort(-scores, kind="stable")[:count]]


def worth_showing(logits, ids, most=48):
    """Which ids to keep of a vocabulary: those of the text, then those that the model expects, in order."""
    wanted = [*ids, *likeliest(logits[-1], 8), *(likeliest(row, 1)[0] for row in logits)]
    wanted += likeliest(logits[-1], most)
    return sorted(list(dict.fromkeys(wanted))[:most])
