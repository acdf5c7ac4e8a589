"""Where faults that are smaller than a rounding are looked for: in all layers together, and in each alone."""

from typing import NamedTuple

import numpy as np

from reference.diff.arrange import listed
from reference.diff.causes import canonical
from reference.diff.faults import Fault, catalogue, table_of
from reference.diff.projection import Projection, project, sample
from reference.llmc import run
from reference.llmc.names import label


class Probe(NamedTuple):
    """An operation between kept tensors: what comes out, all that is needed, in words, its faint faults."""

    operation: str
    outputs: tuple
    takes: str
    faults: tuple


PROBES = (
    Probe("gelu_forward", ("fch_gelu",), "fch and fch_gelu", ("erf-gelu",)),
    Probe("gelu_backward", ("dfch",), "fch, dfch_gelu and dfch", ("erf-gelu-backward",)),
    Probe("layernorm_rstd", ("ln1_rstd", "ln2_rstd", "lnf_rstd"),
          "a residual stream, its mean and its rstd in float32", ("eps-outside", "no-eps", "eps-1e-6")),
)  # fmt: skip
HALVES = ("float16", "bfloat16")


class Seen(NamedTuple):
    """A faint fault; the layers it is in, None for all; the projection that shows it."""

    fault: Fault
    layers: tuple | None
    projection: Projection


def inputs_of(output, n_layer):
    """The keys of what goes into the operation that a tensor comes out of."""
    name, layer = output
    if name == "fch_gelu":
        return [("fch", layer)]
    if name == "dfch":
        return [("dfch_gelu", layer), ("fch", layer)]
    if name == "ln2_rstd":
        return [("residual2", layer), ("ln2_mean", layer)]
    below = n_layer - 1 if layer is None else layer - 1
    stream = ("residual3", below) if below >= 0 else ("encoded", None)
    return [stream, (name.replace("_rstd", "_mean"), layer)]


def looks(inputs, found, mode):
    """A Look at every faint fault of the catalogue."""
    faults, all_looks = {fault.name: fault for fault in catalogue(inputs.sizes, inputs.targets)}, []
    for probe in PROBES:
        places = [(key, inputs_of(key, inputs.sizes.L)) for key in found if key[0] in probe.outputs]
        places = [(key, given) for key, given in places if all(part in found for part in given)]
        all_looks += [Look(probe, faults[name], places, found, mode) for name in probe.faults]
    return all_looks


def first_seen(all_looks):
    """What is Seen of the first operation with a faint fault, by the x nearest to 1; or None."""
    seen = [(look.probe, look.seen()) for look in all_looks if look.seen()]
    first = [one for probe, one in seen if probe is seen[0][0]]
    return min(first, key=lambda one: abs(one.projection.x - 1), default=None)


def unseen(all_looks, inputs, found, exact, allowed):
    """(fault, why it would not be seen) where it would not be. exact, allowed: REF's tensors, the budgets."""
    blind = []
    for look in all_looks:
        if not look.samples and lost(look.fault, inputs, found, exact, allowed):
            blind.append((look.fault, f"MINE lacks {look.probe.takes}"))
        if hidden := look.hidden(allowed):
            files = {found[key].dtype.name for key in look.samples}
            advice = ": give them in float32" if files & set(HALVES) else ""
            blind.append((look.fault, f"rounding hides it in {listed(hidden)}{advice}"))
    return tuple(blind)


def lost(fault, inputs, found, exact, allowed):
    """Whether a fault changes tensors of MINE, but none by more than its budget."""
    planted = run(inputs, table=table_of([(fault, None)]))
    changes = {key: canonical(key, planted[key]) - exact[key] for key in found}
    effects = {key: (np.linalg.norm(change), np.abs(change).max()) for key, change in changes.items()}
    return any(map(any, effects.values())) and not any(beyond(effects[key], allowed[key]) for key in effects)


class Look:
    """One fault's projections: in each layer, and in all together."""

    def __init__(self, probe, fault, places, found, mode):
        self.probe, self.fault = probe, fault
        self.samples = {key: sample(probe.operation, fault, key, given, found, mode) for key, given in places}
        layers = dict.fromkeys(key[1] for key in self.samples)
        self.alone = {
            layer: project([one for key, one in self.samples.items() if key[1] == layer], len(layers) + 1)
            for layer in layers
        }
        self.all = project([*self.samples.values()], len(layers) + 1)

    def seen(self):
        """What is Seen of the fault, or None. It is in all layers unless one says that it has none of it."""
        those = tuple(layer for layer, alone in self.alone.items() if alone.shows())
        if any(alone.would_show() and not alone.shows() for alone in self.alone.values()):
            return Seen(self.fault, those, self.alone[those[0]]) if those else None
        return Seen(self.fault, None, self.all) if self.all.shows() else None

    def hidden(self, allowed):
        """Where the fault would neither be beyond a budget nor show by its pattern."""
        within = [key for key, one in self.samples.items() if not beyond(one.effect, allowed[key])]
        return [label(key) for key in within if not self.alone[key[1]].would_show()]


def beyond(effect, budget):
    """Whether a fault's effect exceeds a budget even where an honest error of full size speaks against it."""
    return effect[0] > 2 * budget.norm or effect[1] > 2 * budget.largest
