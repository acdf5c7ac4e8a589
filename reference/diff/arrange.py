"""MINE as REF has it: every array under its key, in llm.c's shape, in float64.

Where several layouts fit a shape, as (in, out) and (out, in) do on a square matrix, the one that the other
matrices have is taken; else llm.c's own, unless another one is clearly closer to REF. A note says so.
"""

import math
from typing import NamedTuple

import numpy as np

from reference.bad_input import BadInput
from reference.diff.layouts import fits, input_first, layouts_of, rearranged, width
from reference.diff.recognise import PARTS, is_part, recognise, whole_of
from reference.llmc.names import MATRICES, PARAMETERS, axes_of, keys, label, layered

# of the distance: a wrong tensor is nearer in one wrong layout than in another, but not by much
CLEARLY = 0.1
SEEN_ONLY = ("preatt", "datt", "dpreatt")  # what stands beyond the mask is nobody's business


class Found(NamedTuple):
    """A tensor of MINE as its file has it; the layout that it had, the type of its file, its name there."""

    stored: np.ndarray
    layout: str
    dtype: np.dtype
    source: str

    @property
    def array(self):
        """In float64, made when it is asked for: all tensors of a large model together are gigabytes."""
        return self.stored.astype(np.float64, copy=False)


class Arranged:
    """MINE by key in `found`; `notes`: what a person should know of how it was read. Raises BadInput."""

    def __init__(self, arrays, exact, sizes, layers):
        self.exact, self.sizes, self.layers = exact, sizes, layers
        self.letters = sizes.letters | {"L": len(layers)}
        self.found, self.notes = {}, []
        arrays = with_debug_state_unpacked(arrays, sizes)
        meanings = {name: recognise(name) for name in arrays}
        if strangers := [name for name in arrays if meanings[name] is None]:
            self.notes.append(f"not compared, unknown names: {listed(strangers)}")
        if len(strangers) == len(arrays):
            raise BadInput(
                f"MINE: no name is known, found {listed(strangers)}: use llm.c's names or the hub's"
            )
        self.orientations = self.orientations_that_shapes_tell(arrays, meanings)
        for name, array in arrays.items():
            if meanings[name] is not None:
                self.take(name, array, *meanings[name])
        self.join_parts()

    def take(self, source, array, name, layer, ambiguous):
        """Put one array, of one layer or of all, under its keys."""
        whole = whole_of(name)
        if not layered(whole) and layer is not None:
            raise BadInput(f"{source}: {whole} stands outside the layers: found layer {layer}")
        if layer is not None and layer >= self.sizes.L:
            raise BadInput(f"{source}: expected a layer from 0 to {self.sizes.L - 1}: found {layer}")
        axes, stacked = "B T HD" if is_part(name) else axes_of(name), layered(whole) and layer is None
        layouts = layouts_of(axes, stacked)
        options = [layout for layout in layouts if fits(array.shape, layout, self.letters)]
        if not options:
            shapes = [f"{layout} = {self.shape(layout)}" for layout in layouts]
            raise BadInput(f"{source}: shape {array.shape} is none of {', '.join(shapes)}")
        views = {layout: self.by_layer(array, layout, axes, layer, stacked) for layout in options}
        if ambiguous and not self.is_weight(name, next(iter(views.values()))):
            name = f"d{name}"
        layout = self.choose(source, name, axes, views)
        for at, view in views[layout].items():
            if (name, at) in self.found:
                other = self.found[name, at].source
                raise BadInput(f"{source}: {label((name, at))} stands in {other} too: give one of them")
            view = np.tril(view) if name in SEEN_ONLY else view
            self.found[name, at] = Found(view, layout, array.dtype, source)

    def shape(self, layout):
        return tuple(width(group, self.letters) for group in layout.split())

    def by_layer(self, array, layout, axes, layer, stacked):
        """{layer: array with these axes}, one for each layer of a stacked array."""
        front = "L " if stacked else ""
        array = rearranged(array, layout, front + axes, self.letters)
        return dict(zip(self.layers, array, strict=True)) if stacked else {layer: array}

    def is_weight(self, name, views):
        """Whether values under a parameter's bare name are the weights, to 1 % of their norm."""
        pairs = [(view, self.exact.get((name, layer))) for layer, view in views.items()]
        pairs = [(np.float64(view), want) for view, want in pairs if want is not None]
        sizes = [(np.linalg.norm(view), np.linalg.norm(want)) for view, want in pairs]
        return bool(sizes) and all(abs(found - want) <= 0.01 * want for found, want in sizes)

    def choose(self, source, name, axes, views):
        """The layout of an array, among those that fit."""
        options = list(views)
        if name.removeprefix("d") in MATRICES and len(self.orientations) == 1:
            options = [
                layout for layout in options if input_first(layout, axes) in self.orientations
            ] or options
        if len(options) == 1:
            return options[0]
        first, best = options[0], min(options, key=lambda layout: self.distance(name, views[layout]))
        if self.distance(name, views[best]) > CLEARLY**2 * self.distance(name, views[first]):
            best = first
        if best != first:
            self.notes.append(f"{source}: fits {' and '.join(options)}; read as {best}, which is closer")
        return best

    def distance(self, name, views):
        """The squared distance of some layers to REF; what REF lacks counts for nothing."""
        pairs = [(view, self.reference(name, layer)) for layer, view in views.items()]
        gaps = (
            np.nan_to_num(np.float64(view), nan=1e30, posinf=1e30, neginf=1e30) - want
            for view, want in pairs
            if want is not None
        )
        return sum(float(np.vdot(gap, gap)) for gap in gaps)

    def reference(self, name, layer):
        """REF's tensor, or part of its qkv; None where it has none."""
        want = self.exact.get((whole_of(name), layer))
        return (
            np.split(want, 3, axis=-1)[PARTS.index(name[-1])] if is_part(name) and want is not None else want
        )

    def orientations_that_shapes_tell(self, arrays, meanings):
        """Whether the matrices whose shape tells begin with the input: {True}, {False}, both, or neither."""
        told = set()
        for name, array in arrays.items():
            if meanings[name] is None or meanings[name].name.removeprefix("d") not in MATRICES:
                continue
            axes = axes_of(meanings[name].name)
            layouts = layouts_of(axes, meanings[name].layer is None)
            ways = {input_first(way, axes) for way in layouts if fits(array.shape, way, self.letters)}
            told |= ways if len(ways) == 1 else set()
        return told

    def join_parts(self):
        """q, k and v to qkv. One that is missing is taken to be right."""
        for whole in ("qkv", "dqkv"):
            names = [whole.removesuffix("qkv") + part for part in PARTS]
            for key in keys(whole, self.sizes):
                parts = [self.found.pop((name, key[1]), None) for name in names]
                there = [part for part in parts if part is not None]
                if not there or key in self.found:
                    continue
                if missing := [name for name, part in zip(names, parts, strict=True) if part is None]:
                    self.notes.append(f"{whole}[{key[1]}]: no {' and no '.join(missing)}, taken to be right")
                arrays = [
                    self.reference(name, key[1]) if part is None else part.array
                    for name, part in zip(names, parts, strict=True)
                ]
                layout = f"{', '.join(PARTS)} each {there[0].layout}"
                self.found[key] = there[0]._replace(stored=np.concatenate(arrays, axis=-1), layout=layout)


def listed(names, most=6):
    """Some names, and how many more."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most] or ["none"]) + more


def with_debug_state_unpacked(arrays, sizes):
    """arrays, with llm.c's debug state cut into logits, loss and gradients."""
    arrays = dict(arrays)
    state = arrays.pop("debug_state", None)
    if state is None:
        return arrays
    shapes = {"logits": (sizes.B, sizes.T, sizes.V), "loss": ()}
    for name, axes in PARAMETERS.items():
        shape = sizes.shape(axes)
        shapes[f"d{name}"] = (sizes.padded, *shape[1:]) if name == "wte" else shape
    expected = sum(map(math.prod, shapes.values()))
    if expected != state.size:
        raise BadInput(
            f"debug state: expected {expected:,} numbers after tokens and targets, for REF's model: "
            f"found {state.size:,}"
        )
    start = 0
    for name, shape in shapes.items():
        stop = start + math.prod(shape)
        arrays[name], start = state[start:stop].reshape(shape), stop
    return arrays
