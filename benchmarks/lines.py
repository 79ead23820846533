"""The lines that the project set itself before its first line of code (its design, section 8)."""

from typing import NamedTuple


class Line(NamedTuple):
    """A bound that a figure should keep."""

    sense: str
    bound: float

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


AT_MOST, AT_LEAST = "at most", "at least"

AGAINST_BRIGHTNESS = Line(AT_MOST, 1.0)
"""DiffuseMix in Compose, counterpart in memory, uint8 224 px, against `A.RandomBrightnessContrast`."""

AGAINST_RELEASED = Line(AT_LEAST, 100)
"""The mixing stage, how many times faster than the released code's."""

FROM_STORE = Line(AT_MOST, 0.7)
"""DiffuseMix from the store against one full decode of a JPEG of the image's size; also half-decoding alone."""

LOADER = Line(AT_LEAST, 0.8)
"""Images a second of a loader with DiffuseMix p=0.5 against without."""

JOB = Line(AT_LEAST, 0.8)
"""Images a second of the job with a free backend against bare decode, resize and encode."""

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
