"""Run as a rank: print NCCL's id, made by NCCL itself on rank 0, as it has come here; no GPU, no MPI."""

from minigpt.ranks import launchers
from minigpt.ranks.line import Line
from minigpt.ranks.nccl import library, unique_id
from minigpt.ranks.worlds import address


def main():
    place = launchers.place()
    line = Line(*address(place, "cupy"))
    nccl = library() if place.rank == 0 else None
    print(unique_id(nccl, place.rank, line.gather).hex())
    line.close()


if __name__ == "__main__":
    main()
