"""What machines can do, as published or measured, each number with its unit and source; nowhere else."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Machine:
    """One rank's machine, in the node that its vendor builds.

    peak: floating-point operations a second in matrix products of dtype, dense, sums in float32.
    memory: bytes, None if it is any. bandwidth: bytes a second between it and the processor.
    bus: bytes a second of an all-reduce inside a node, by nccl-tests' "bus bandwidth".
    network: bytes a second between nodes, in one direction, a rank's share.
    node: ranks in it. price: dollars an hour a rank, None if no source is at hand.
    power: watts that the board may draw at most, without its host and cooling; None if no source is at hand.
    """

    name: str
    peak: float
    memory: float | None
    bandwidth: float
    bus: float
    network: float
    node: int
    price: float | None
    power: float | None
    source: str  # of peak, memory and power; and of the price, where there is one
    dtype: str = "bfloat16"


GIGABIT = 1e9 / 8  # bytes

MACHINES = {
    "h100": Machine(  # SXM, 80 GB
        name="H100",
        source="nvidia.com/h100, data sheet; price: karpathy/llm.c, scripts/run_gpt2_1558M.sh",
        peak=989e12,  # nvidia.com/h100, data sheet: 1,979 with sparsity
        memory=80e9,  # the same sheet
        bandwidth=3.35e12,  # the same sheet
        bus=370e9,  # NCCL on eight H100 by NVLink; the sheet has 900 GB/s for both directions together
        network=400 * GIGABIT,  # DGX H100, data sheet: a 400 Gb/s InfiniBand port for each of 8 GPUs
        node=8,
        price=28 / 8,  # karpathy/llm.c, scripts/run_gpt2_1558M.sh: $28 an hour for eight
        power=700,  # nvidia.com/h100, data sheet: up to 700 W, SXM
    ),
    "h200": Machine(
        name="H200",
        source="nvidia.com/h200, data sheet",
        peak=989e12,  # nvidia.com/h200, data sheet
        memory=141e9,  # the same sheet
        bandwidth=4.8e12,  # the same sheet
        bus=370e9,  # the H100's: NVLink of the same generation
        network=400 * GIGABIT,  # DGX H200, data sheet
        node=8,
        price=None,
        power=700,  # nvidia.com/h200, data sheet: up to 700 W, SXM
    ),
    "a100": Machine(  # SXM, 80 GB
        name="A100",
        source="nvidia.com/a100, data sheet; price: karpathy/llm.c, scripts/run_gpt2_124M.sh",
        peak=312e12,  # nvidia.com/a100, data sheet
        memory=80e9,  # the same sheet
        bandwidth=2.039e12,  # the same sheet
        bus=235e9,  # NVIDIA/nccl, src/graph/tuning.cc: the most that NCCL itself expects of eight A100
        network=200 * GIGABIT,  # DGX A100, data sheet: a 200 Gb/s InfiniBand port for each of 8 GPUs
        node=8,
        price=14 / 8,  # karpathy/llm.c, scripts/run_gpt2_124M.sh: $14 an hour for eight
        power=400,  # nvidia.com/a100, data sheet: 400 W, SXM
    ),
    "4090": Machine(
        name="4090",
        source="nvidia.com, Ada architecture paper and specifications",
        peak=165e12,  # nvidia.com, Ada architecture paper: bfloat16 with sums in float32
        memory=24e9,  # the same paper
        bandwidth=1.008e12,  # the same paper
        bus=31.5e9,  # no NVLink: 16 lanes of PCIe 4.0 in one direction, an upper limit, not measured
        network=100 * GIGABIT / 8,  # assumed: eight share a port of 100 Gb/s
        node=8,
        price=None,
        power=450,  # nvidia.com, GeForce RTX 4090, specifications: total graphics power
    ),
    "cpu": Machine(  # two cores of the machine of bench/records, one process
        name="two cores",
        source="bench/records/step-2026-11-24-471a023.json",
        peak=313e9,  # bench/records/step-2026-11-24-471a023.json, beside the steps of 4 x 256 tokens
        memory=None,
        bandwidth=37e9,  # copies on two such cores, the lowest of several runs
        bus=1.6e9,  # MPICH between two processes: 40 MB in 22 to 29 ms
        network=10 * GIGABIT,  # assumed: 10 Gb/s Ethernet
        node=1,
        price=None,
        power=None,
        dtype="float32",
    ),
}


def machine_called(name):
    """The machine that a driver's name for a GPU means ("NVIDIA H100 80GB HBM3"), None if it is not here."""
    return next((machine for machine in MACHINES.values() if machine.name in name), None)
