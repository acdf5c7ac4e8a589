"""A table of tensors: what each is, and what its numbers are like."""

from typing import NamedTuple

import numpy as np

from minigpt.errors import CheckpointError
from minigpt.weights.stored import rows

COLUMNS = f"{'shape':>22} {'type':>9} {'least':>11} {'greatest':>11} {'norm':>11}"


class Numbers(NamedTuple):
    """What an array's numbers are like; least, greatest and norm are of those that are finite."""

    size: int
    strange: int  # how many are NaN or infinite
    least: float
    greatest: float
    norm: float


def numbers_of(stored):
    """The Numbers of a Stored, read to its end. Raises CheckpointError if its checksum differs."""
    count, strange, least, greatest, squares = 0, 0, np.inf, -np.inf, 0.0
    for _, part in rows(stored):
        with np.errstate(invalid="ignore"):  # NaN stays NaN
            part = part.astype(np.float64).reshape(-1)
        finite = np.isfinite(part)
        if not finite.all():
            strange += part.size - int(finite.sum())
            part = part[finite]
        count += finite.size
        if part.size:
            least, greatest = min(least, part.min()), max(greatest, part.max())
            squares += float(part @ part)
    return Numbers(count, strange, float(least), float(greatest), squares**0.5)


def table(tensors):
    """Yield the lines of a table of name -> Stored, a line for each and one for all.

    Raises CheckpointError at the end if some are damaged or not finite.
    """
    width = max((len(name) for name in tensors), default=0)
    yield f"  {'tensor':{width}} {COLUMNS}"
    total, faults = 0, []
    for name, stored in tensors.items():
        shape = " x ".join(map(str, stored.wanted_shape)) or "one number"
        start = f"  {name:{width}} {shape:>22} {stored.dtype.name:>9}"
        try:
            found = numbers_of(stored)
        except CheckpointError as reason:
            faults.append(str(reason))
            yield f"{start} damaged"
            continue
        total += found.size
        if found.strange:
            faults.append(f"{name}: {found.strange:,} of {found.size:,} numbers are not finite")
        yield f"{start} {found.least:11.4g} {found.greatest:11.4g} {found.norm:11.4g}" + (
            f"  {found.strange:,} not finite" if found.strange else ""
        )
    yield f"{len(tensors):,} tensors, {total:,} numbers"
    if faults:
        more = f" (and {len(faults) - 1:,} more tensors with faults)" if len(faults) > 1 else ""
        raise CheckpointError(f"{faults[0]}{more}")
