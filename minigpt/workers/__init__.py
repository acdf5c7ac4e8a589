"""A small model's training step, shared by processes instead of threads, in memory that all of them see.

Threads of one Python take turns between two operations of NumPy. Where these last microseconds, as in a model
128 wide, the turns cost a sixth of a step on two cores; processes have a Python each. They are ranks, as in
comm.py, which ZeRO-1 lets share AdamW too, so each makes the plain train_step on its rows; all that they
exchange are a few lines of JSON. step.py makes the step, shares.py says which and whose rows, world.py what
they tell each other; worker.py is what runs in the others.
"""
