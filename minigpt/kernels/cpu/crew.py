"""What each thread takes of a block of the model: its rows, and its heads of its sequences."""

from minigpt.kernels.cpu import attention
from minigpt.kernels.cpu.team import slices, steps

ROWS = 512  # that go through a product together: BLAS packs the whole weight anew for each lot of rows


class Crew:
    """A team's threads on (B, T, C). A thread's rows are whole sequences if B can be divided so."""

    def __init__(self, team, B, T, C, n_head):
        self.team = team
        self.size = size = team.worth(B * T * 4 * C)
        self.rows = slices(B * T, size)
        self.apart = B % size == 0  # no thread needs another's rows
        if self.apart:
            self.units = [attention.units_of(own, n_head, T, 1) for own in slices(B, size)]
        else:
            units = attention.units_of(slice(0, B), n_head, T, size)
            self.units = [units[share] for share in slices(len(units), size)]

    def sweep(self, before, attend, after):
        """before(rows, thread) for all rows, some at a time; attend(units); after(rows, thread)."""

        def each(job):
            return lambda thread: [job(some, thread) for some in steps(self.rows[thread], ROWS)]

        def together(thread):
            for job in jobs:
                job(thread)

        jobs = each(before), lambda thread: attend(self.units[thread]), each(after)
        for job in (together,) if self.apart else jobs:
            self.team.share(job, range(self.size))
