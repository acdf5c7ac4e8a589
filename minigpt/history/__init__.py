"""What a run has written, read again by `minigpt plot` and `minigpt report`, while it goes on or later."""
