"""PAGE 5. What ranks say to each other: here one process, which has nobody to ask."""


class Alone:
    """A world of one rank. Every exchange returns what was put in."""

    rank, size, local_rank = 0, 1, 0

    def mean(self, array):
        """All-reduce: the mean over ranks of equally shaped arrays."""
        return array

    def agree(self, verdict):
        """The worst verdict of any rank, so that all do the same."""
        return verdict
