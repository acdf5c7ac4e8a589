"""Oracles: the same mathematics as minigpt's, written again without looking, to compare it with.

Nothing here imports minigpt.
"""
