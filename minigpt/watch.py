"""Who is told what a run does: files always, a terminal by lines or by a view, boards if asked for."""

import dataclasses

from minigpt.boards import boards_of
from minigpt.live import opened
from minigpt.log import Log
from minigpt.view import View


def opened_log(recipe, terminal, on_gone):
    """The log of rank 0."""
    log = Log(recipe.out, terminal, on_gone)
    log.live = opened(recipe.live, log.terminal, View())
    log.boards = boards_of(recipe, log.out, log.warn, dataclasses.asdict(recipe))
    return log
