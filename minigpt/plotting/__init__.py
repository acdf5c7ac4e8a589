"""Pictures of runs, by matplotlib: `minigpt plot`."""
