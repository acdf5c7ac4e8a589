"""How long ranks exchange a gradient: bytes over bandwidth, and a latency for every hop.

n ranks in nodes of g. A ring passes (n - 1) / n of the bytes twice, in 2 (n - 1) hops. A tree passes them up
and down, in 2 log2 hops between nodes. Two levels: scattered inside each node, summed across nodes by each
rank's own port, a g-th each, gathered inside (Rabenseifner 2004; NVIDIA/nccl, src/graph/tuning.cc for the
latencies, which are those of its "simple" protocol).
"""

import math

CALL = 8.4e-6  # seconds: base latency of a ring
HOP = 3.4e-6  # seconds: one hop of a ring inside a node
FAR_HOP = 9.6e-6  # seconds: one hop between nodes
TREE = 0.9  # of a ring's bandwidth
WIRE = 96 / 100  # of the ports' bandwidth, that an all-reduce reached: NVIDIA/nccl-tests, issue 119

WAYS = ("nccl", "two-level")


def all_reduce_seconds(size, ranks, machine, way="nccl"):
    """Of size bytes, summed over ranks; NCCL takes the faster of ring and tree."""
    if way == "two-level" and ranks > machine.node:
        nodes, shard = ranks // machine.node, size / machine.node
        across = min(ring(2 * shard, nodes, port(machine), FAR_HOP, 2), tree(shard, 1, nodes, port(machine)))
        return 2 * ring(size, machine.node, machine.bus, HOP, 1) + across
    flat = flat_ring(2 * size, ranks, machine, 2)
    if ranks <= machine.node:
        return flat
    return min(flat, tree(size, machine.node, ranks / machine.node, slowest(ranks, machine)))


def scatter_seconds(size, ranks, machine, way="nccl"):
    """Reduce-scatter, or all-gather, of size bytes: half an all-reduce; NCCL has only the ring for it."""
    if way == "two-level" and ranks > machine.node:
        nodes, shard = ranks // machine.node, size / machine.node
        return ring(size, machine.node, machine.bus, HOP, 1) + ring(shard, nodes, port(machine), FAR_HOP, 1)
    return flat_ring(size, ranks, machine, 1)


def flat_ring(moved, ranks, machine, rounds):
    """One ring through all ranks; it leaves each node once."""
    if ranks <= 1:
        return 0.0
    nodes = math.ceil(ranks / machine.node)
    far = nodes - 1
    near = ranks - 1 - far
    time = moved * (ranks - 1) / ranks / slowest(ranks, machine)
    return CALL + time + rounds * (near * HOP + far * FAR_HOP)


def ring(moved, ranks, bandwidth, hop, rounds):
    """One ring of equal hops."""
    return CALL + moved * (ranks - 1) / ranks / bandwidth + rounds * (ranks - 1) * hop if ranks > 1 else 0.0


def tree(size, chain, nodes, bandwidth):
    """Up and down: along a chain inside each node, then in a tree of the nodes."""
    hops = (chain - 1) * HOP + math.ceil(math.log2(nodes)) * FAR_HOP
    return CALL + 2 * size / (TREE * bandwidth) + 2 * hops


def slowest(ranks, machine):
    """Bytes a second of a ring: inside a node its bus; between nodes also all ports of a node together."""
    return machine.bus if ranks <= machine.node else min(machine.bus, machine.node * port(machine))


def port(machine):
    """Bytes a second between nodes, a rank's share."""
    return WIRE * machine.network
