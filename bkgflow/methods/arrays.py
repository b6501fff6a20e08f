"""Names for arrays by what they hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

__all__ = ["Bools", "Doubles", "Flags", "Floats", "Integers", "Reals", "Words"]

Reals = NDArray[np.floating]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
Words = NDArray[np.uint32]
Flags = NDArray[np.unsignedinteger]
Bools = NDArray[np.bool_]
