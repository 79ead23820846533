"""The lines that the project set itself (its design, section 8): the next step of each, and its goal in words."""

from typing import NamedTuple


class Line(NamedTuple):
    """A bound that a figure should keep, and why it does not where it was missed when the cause was measured."""

    sense: str
    bound: float
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.sense} {self.bound:g}"

    def met_by(self, value: float) -> bool:
        """Tell whether the value is on the right side, or on the line."""
        return value <= self.bound if self.sense == AT_MOST else value >= self.bound

    def used_by(self, value: float) -> float:
        """Give how much of what is allowed the value takes: 1 on the line, more where it is missed."""
        return value / self.bound if self.sense == AT_MOST else self.bound / value

    def verdict(self, value: float) -> str:
        """Say "met", or how far the value is off."""
        if self.met_by(value):
            return "met"
        return f"missed by {abs(value - self.bound):.2g}"

    def cause_of(self, value: float) -> str:
        """Say why it is missed, as far as that was measured; empty where it is met."""
        return "" if self.met_by(value) else self.cause


AT_MOST, AT_LEAST = "at most", "at least"

AGAINST_BRIGHTNESS = Line(
    AT_MOST,
    1.8,
    "one blend by OpenCV takes 0.9, joining the halves 0.3; our Python is no more than theirs",
)
"""DiffuseMix in Compose, counterpart in memory, uint8 224 px, against `A.RandomBrightnessContrast`; the goal is 1."""

AGAINST_RELEASED = Line(AT_LEAST, 70, "one blend by OpenCV alone is some 80; half of two more arrays is read before it")
"""The mixing stage, how many times faster than the released code's; the goal is 100."""

_OF_JPEG = {(260, 200): 1.7, (256, 256): 1.35, (500, 375): 1.0, (512, 512): 0.75}
_PYTHON, _RESIZING = "half of a call is Python: host, drawing, look-up, checks", "a third of a call resizes the half"
_DECODING = "decoding and resizing the half, which is sharper than its source, is 0.6 of a call"
FROM_STORE = {
    "raw": {size: Line(AT_MOST, 0.5, _RESIZING if size == (500, 375) else _PYTHON) for size in _OF_JPEG},
    "4:2:0": {size: Line(AT_MOST, bound, _DECODING) for size, bound in _OF_JPEG.items()},
}
"""DiffuseMix from a store against one decode of its source, by encoding and size; the goals are 0.3 for raw, and 0.6
for 4:2:0 from 500x375 on."""

HALF_DECODED = Line(AT_MOST, 0.7)
"""Decoding a half against one whole decode of the same picture."""

HALF_CUT = Line(AT_MOST, 0.03, "some twenty calls of NumPy, which cost the same for a small picture")
"""Cutting a half out of the bytes, without decoding, against the same."""

_COLD = "in a loader a call takes 1.6 times what it takes in a loop, whose caches are warm"
_FRACTAL = "each call resizes a fractal, which takes as long as the rest of a raw call"
LOADER = {
    sizes: {"raw": Line(AT_LEAST, 0.85, cause), "4:2:0": Line(AT_LEAST, 0.8, f"{_DECODING}; {cause}")}
    for sizes, cause in (("one size", _COLD), ("several sizes", _FRACTAL))
}
"""Images a second of a loader with DiffuseMix p=0.5 against without, by sizes and encoding; the goal is 0.9."""

ADDED_MEMORY = Line(AT_MOST, 50)
"""Megabytes that DiffuseMix adds to each of two workers: its own, and half of what they share."""

JOB = Line(
    AT_LEAST,
    0.8,
    "hashes, checks, tar and records, and reading each part back, take a quarter to a third of its processor time",
)
"""Images a second of the job with a free backend against bare decode, resize and encode."""

SCORING = Line(AT_LEAST, 0.8)
"""Counterparts a second that a free scorer measures against a bare loop that reads and decodes the same images."""

OPEN = Line(AT_MOST, 20)
"""Milliseconds to open a store of a million entries."""

LOOKUP = Line(AT_MOST, 20)
"""Microseconds to look a key up among a million."""

LOOKUP_GROWTH = Line(AT_MOST, 1.5)
"""A look-up among a million against one among ten thousand."""

WORKER_MEMORY = Line(AT_MOST, 20)
"""Megabytes that only one worker holds for a store of a million entries."""

IMPORT = Line(AT_MOST, 1.05)
"""`import albu_diffusemix` against `import albumentations`."""

PROCEDURAL = Line(AT_MOST, 30)
"""Milliseconds for a procedural counterpart of 256x256."""

GENERATION = {"paper": Line(AT_LEAST, 8), "fast": Line(AT_LEAST, 35), "fastest": Line(AT_LEAST, 90)}
"""Images a second of each preset on an H100 at 256 px against a loop like the authors'."""
