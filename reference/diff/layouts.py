"""Shapes that a tensor may have in other programs, and the way back to llm.c's.

A layout is written like the axes of reference/llmc/names.py: "B H T D" is a tensor (B, H, T, D) that llm.c
holds as "B T HD", (B, T, C). Axes of length 1 count for nothing, and a vocabulary may be padded.
"""

import math

LAYOUTS = {
    "B T HD": ("B T HD", "BT HD", "T B HD", "B H T D", "B T H D", "H B T D", "BH T D"),
    "B T KHD": ("B T KHD", "BT KHD", "T B KHD", "B T K HD", "BT K HD", "K B T HD", "B K T HD", "B T K H D",
                "K B H T D", "B K H T D", "K BH T D"),
    "B T F": ("B T F", "BT F", "T B F"),
    "B T V": ("B T V", "BT V", "T B V"),
    "B T": ("B T", "BT", "T B"),
    "B H T S": ("B H T S", "BH T S", "H B T S"),
    "V HD": ("V HD", "HD V"),
    "N HD": ("N HD", "HD N"),
    "KHD I": ("KHD I", "I KHD", "K HD I", "I K HD", "K H D I", "I K H D"),
    "O HD": ("O HD", "HD O", "O H D", "H D O"),
    "F I": ("F I", "I F"),
    "O F": ("O F", "F O"),
    "KHD": ("KHD", "K HD", "K H D"),
}  # fmt: skip
PADDING = 1024  # the most that a vocabulary may be padded by


def layouts_of(axes, stacked):
    """Every layout of a tensor with these axes, of all layers in one array if it is stacked."""
    front = "L " if stacked else ""
    return [front + layout for layout in LAYOUTS.get(axes, (axes,))]


def width(group, letters):
    """The length of an axis: 3C for KHD."""
    return math.prod(letters[letter] for letter in group)


def long_groups(layout, letters):
    """The axes that are longer than 1."""
    return [group for group in layout.split() if width(group, letters) != 1]


def fits(shape, layout, letters):
    """Whether a shape is a layout's."""
    groups, lengths = long_groups(layout, letters), [length for length in shape if length != 1]
    return len(groups) == len(lengths) and all(
        length == width(group, letters) or (group == "V" and 0 < length - letters["V"] <= PADDING)
        for group, length in zip(groups, lengths, strict=True)
    )


def rearranged(array, layout, axes, letters):
    """array with other axes: rearranged(x, "B H T D", "B T HD", letters) -> (B, T, C)"""
    array = array.reshape([length for length in array.shape if length != 1])
    for axis, group in enumerate(long_groups(layout, letters)):
        if group == "V":
            array = array.take(range(letters["V"]), axis)
    now, then = layout.replace(" ", ""), axes.replace(" ", "")
    array = array.reshape([letters[letter] for letter in now])
    array = array.transpose([now.index(letter) for letter in then])
    return array.reshape([width(group, letters) for group in axes.split()])


def input_first(layout, axes):
    """Whether a matrix's layout begins with its input: "I KHD" for "KHD I"."""
    return layout.removeprefix("L ")[0] == axes.split()[-1][0]
