"""The normal noise that `torch.Generator("cpu")` gives, computed in NumPy: the same seed, the same picture.

Both draw 32-bit words from the Mersenne Twister (Matsumoto and Nishimura, 1998), seeded alike. torch makes normal
numbers of them by Box and Muller (1958): in blocks of 16 floats where there are as many, else one by one in double
precision.
"""

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["Noise"]

_BLOCK, _HALF = 16, 8
_FLOAT_BITS, _DOUBLE_BITS = 24, 53


class Noise:
    """A stream of normal numbers, those of `torch.Generator("cpu").manual_seed(seed)` and `torch.randn`.

    Args:
        seed: Any; its lowest 32 bits count.

    Examples:
        >>> from albu_diffusemix.backends.onnx.noise import Noise
        >>> Noise(0).draw((2,)).round(4).tolist()
        [1.5410000085830688, -0.2934000015258789]

    """

    def __init__(self, seed: int) -> None:
        self._words = np.random.RandomState(seed & 0xFFFFFFFF)
        self._spare: float | None = None

    def draw(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Draw an array of float32; the next call goes on where this one ends."""
        size = math.prod(shape)
        if size >= _BLOCK:
            return self._blocks(size).reshape(shape)
        return np.array([self._one() for _ in range(size)], np.float32).reshape(shape)

    def _blocks(self, size: int) -> NDArray[np.float32]:
        """Turn uniform numbers to normal ones in blocks; an incomplete last block is a new one over the last 16."""
        uniform = self._uniform(size)
        whole = size - size % _BLOCK
        uniform[:whole] = _box_muller(uniform[:whole])
        if whole < size:
            uniform[-_BLOCK:] = _box_muller(self._uniform(_BLOCK))
        return uniform

    def _uniform(self, size: int) -> NDArray[np.float32]:
        words = self._draw_words(size) & np.uint32((1 << _FLOAT_BITS) - 1)
        return words.astype(np.float32) / np.float32(1 << _FLOAT_BITS)

    def _one(self) -> float:
        if self._spare is not None:
            value, self._spare = self._spare, None
            return value
        angle, distance = 2 * math.pi * self._double(), self._double()
        radius = math.sqrt(-2 * math.log1p(-distance))
        self._spare = radius * math.sin(angle)
        return radius * math.cos(angle)

    def _double(self) -> float:
        high, low = (int(word) for word in self._draw_words(2))
        return ((high << 32 | low) & ((1 << _DOUBLE_BITS) - 1)) / (1 << _DOUBLE_BITS)

    def _draw_words(self, count: int) -> NDArray[np.uint32]:
        return self._words.randint(0, 1 << 32, count, dtype=np.uint32)


def _box_muller(uniform: NDArray[np.float32]) -> NDArray[np.float32]:
    """Turn each block of 16 uniform numbers to normal ones: its first half gives the radii, its second the angles."""
    blocks = uniform.reshape(-1, 2, _HALF)
    radius = np.sqrt(-2 * np.log(1 - blocks[:, 0]))
    angle = np.float32(2 * math.pi) * blocks[:, 1]
    normal: NDArray[np.float32] = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
    return normal.reshape(-1)
