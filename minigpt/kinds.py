"""Names for the kinds of values that the public functions take and give, for type checkers and readers."""

import os
from collections.abc import Mapping
from typing import Any, Literal

Array = Any  # NumPy's or CuPy's; its shape stands in the docstring, as an arrow line
Params = Mapping[str, Array]  # a model's parameters, or their gradients, by the hub's names
StrPath = str | os.PathLike[str]
Ops = Literal["fast", "reference"]
