"""Which GPU is whose: each rank must have one of its own, unless they are asked to share."""

import os
import socket
from collections import defaultdict

from minigpt.errors import CommError
from minigpt.ranks.equal import agreed

SHARE = "NCCL_MULTI_RANK_GPU_ENABLE"  # "1": ranks may share a GPU; the variable is NCCL's own
SHARES = 23000  # NCCL 2.30, the first that knows it


def own_gpu(cupy):
    """What other ranks are told of this one's GPU: where it is, and whether it may be shared."""
    return [f"{cupy.cuda.Device().pci_bus_id} of {socket.gethostname()}", os.environ.get(SHARE) == "1"]


def check_gpus(told, version):
    """Raise CommError on every rank if two are on one GPU and not all are asked to share, or NCCL cannot.

    told: each rank's own_gpu. Without this NCCL would say "invalid usage".
    """
    ranks = defaultdict(list)
    for rank, (gpu, _) in enumerate(told):
        ranks[gpu].append(rank)
    for gpu, sharing in ranks.items():
        if len(sharing) == 1:
            continue
        if not all(may for _, may in told):
            raise agreed(
                CommError(
                    f"ranks {sharing} have one GPU, {gpu}: start as many ranks on a machine as it has GPUs, "
                    f"or let them share it: {SHARE}=1, with NCCL 2.30 or newer"
                )
            )
        if version < SHARES:
            found = f"{version // 10000}.{version // 100 % 100}"
            raise agreed(CommError(f"{SHARE}=1: expected NCCL 2.30 or newer, found {found}"))
