"""Kernels for one NVIDIA GPU: CUDA C in .cu files, one operation each, and beside each the Python that launches it.

Activations and weights are stored as bfloat16 or float32; all arithmetic is float32. Every sum is made in a
fixed order and nothing is added atomically, so two runs give the same bits. Gradients of parameters go into
float32 views that the caller gives: `out`, written over or, with add=True, added to.
"""
