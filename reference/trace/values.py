"""Tensors as numbers for the page: float32, of long axes a part, and which part that is."""

import numpy as np

LONGEST = (256, 128, 64, 32, 16)  # entries of an axis that are kept: the first of these that fits
MOST = 1_000_000  # numbers on a page, 4 bytes each


def packed(tensors, vocabulary, n_vocab):
    """(a description of every tensor, all numbers end to end as little-endian float32).

    vocabulary: the ids that are kept of an axis as long as the vocabulary.
    """
    for longest in LONGEST:
        places = [kept(tensor, vocabulary, n_vocab, longest) for tensor in tensors]
        if sum(map(size, places)) <= MOST:
            break
    described, parts, offset = [], [], 0
    for tensor, axes in zip(tensors, places, strict=True):
        shape, part = tensor.array.shape, tensor.array[np.ix_(*axes)] if axes else tensor.array
        which = [shown(axis, length) for axis, length in zip(axes, shape, strict=True)]
        where = {"offset": offset, "shape": shape, "sizes": part.shape, "kept": which}
        described.append(where | spread(tensor.array, part))
        parts.append(np.ascontiguousarray(part, "<f4").ravel())
        offset += part.size
    return described, np.concatenate(parts).tobytes()


def kept(tensor, vocabulary, n_vocab, longest):
    """For each axis the places that are kept."""
    return [
        vocabulary if letter == "V" and length == n_vocab else range(min(length, longest))
        for letter, length in zip(letters(tensor), tensor.array.shape, strict=True)
    ]


def letters(tensor):
    """The letters of a tensor's axes, "" where the code has none."""
    return tensor.axes or ("",) * tensor.array.ndim


def size(axes):
    """How many numbers are kept."""
    return int(np.prod([len(axis) for axis in axes]))


def shown(axis, length):
    """The places kept of an axis: null for all, a number for the first so many, else a list."""
    if len(axis) == length:
        return None
    return len(axis) if isinstance(axis, range) else list(axis)


def spread(array, part):
    """Of all numbers the least, largest, root mean square; of those kept the size that 99% do not pass."""
    sizes, flat = np.abs(part.astype(np.float64)), array.astype(np.float64).ravel()
    return {"min": rounded(flat.min()), "max": rounded(flat.max()),
            "rms": rounded(np.sqrt(flat @ flat / flat.size)),
            "full": rounded(np.quantile(sizes, 0.99) or sizes.max())}  # fmt: skip


def rounded(number):
    """A number in the six digits that a reader may want."""
    return float(f"{number:.6g}")
