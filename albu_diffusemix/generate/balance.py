"""More counterparts for the sources of small classes, so that each class has enough images to train on.

What a class gets is derived from all of its sources, so every shard and every run says the same; a process that knows
one source alone is told a few values for each class, with which `per_image` decides.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.keys import hash_key

__all__ = ["per_image", "raise_small_classes"]


def raise_small_classes(sources: Iterable[SourceFile], usual: int, least: int) -> dict[str, tuple[int, str]]:
    """Find how many counterparts each source of a small class is to have.

    Args:
        sources: All of the data set.
        usual: Counterparts of each source of the other classes.
        least: Images and counterparts together that each class is to have.

    Returns:
        For each small class how many each of its sources has at least, and the hash, in hexadecimal, below which that
        of a key must be for one more.

    Raises:
        ValueError: A source has no label.

    """
    keys: dict[str, list[str]] = defaultdict(list)
    for source in sources:
        if source.label is None:
            raise ValueError(
                f"balance needs a label for each source, and {source.key!r} has none: put it into the folder of its "
                "class, or give its label in the manifest"
            )
        keys[source.label].append(source.key)
    return {label: _shared_out(of, least) for label, of in keys.items() if len(of) * (1 + usual) < least}


def per_image(source: SourceFile, usual: int, raised: Mapping[str, tuple[int, str]]) -> int:
    """Return how many counterparts a source is to have.

    Args:
        source: The source.
        usual: Counterparts of each source of a class that is not small.
        raised: From `raise_small_classes`.

    """
    if source.label is None or source.label not in raised:
        return usual
    each, limit = raised[source.label]
    return each + (hash_key(source.key).hex() < limit)


def _shared_out(keys: list[str], least: int) -> tuple[int, str]:
    each, left = divmod(least - len(keys), len(keys))
    return each, sorted(hash_key(key).hex() for key in keys)[left]
