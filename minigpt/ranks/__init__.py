"""Many ranks: who is one, how they find each other, and who notices when one of them is gone.

comm.py says what ranks exchange in a step. Here is what carries it: MPI between processes on cores, NCCL
between GPUs, and a witness beside them, to whom every rank holds a line.
"""
