"""Oracles: the same mathematics as minigpt's, written again without looking, to compare it with.

No oracle imports minigpt. The tools around them are told apart in README.md.
"""
