"""The types that every family speaks of."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]  # numbers, of the shape that each function says
Image: TypeAlias = NDArray[np.uint8]  # (height, width, 3), RGB
Params: TypeAlias = dict[str, Any]  # of plain JSON types
