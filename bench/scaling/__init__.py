"""Scale on paper: a step of data-parallel training on 1 to 1,024 ranks, from parts that were measured."""
