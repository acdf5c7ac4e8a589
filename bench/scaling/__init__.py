"""Scale on paper: what a step of data-parallel training takes on 1 to 1,024 ranks, from measured parts."""
