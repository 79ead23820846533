"""What the images of a baked set are called."""

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.images import IMAGE_SUFFIXES
from albu_diffusemix.keys import normalise_key

__all__ = ["refuse_clashes", "stem_of"]

_LONGEST = 230  # bytes of a name before its number and endings; file systems allow 255 with them


def stem_of(source: SourceFile, output_format: str) -> str:
    """Return the path of a source's images, without the number and ending that each has behind it.

    Examples:
        >>> stem_of(SourceFile("/data/001.png", "001.png", "rose"), "folder")
        'rose/001'

    """
    key = source.key
    suffix = PurePosixPath(key).suffix
    stem = key.removesuffix(suffix) if suffix.lower() in IMAGE_SUFFIXES else key
    if output_format == "webdataset":  # whose readers end a sample's key at the first dot of its name
        folder, slash, name = stem.rpartition("/")
        return folder + slash + name.replace(".", "_")
    if output_format == "folder" and source.label and not stem.startswith(f"{source.label}/"):
        return f"{source.label}/{stem}"
    return stem


def refuse_clashes(sources: Iterable[SourceFile], output_format: str, versions: Sequence[int | None]) -> None:
    """Raise ValueError where two images would have one name, or a name is one that file systems refuse."""
    seen: dict[str, str] = {}
    for source in sources:
        stem = normalise_key(stem_of(source, output_format))
        if "/" in (source.label or "") and not source.key.startswith(f"{source.label}/"):
            raise ValueError(
                f"{source.key!r}: label {source.label!r} cannot be the name of a folder: write no '/' in it"
            )
        if len(stem.rpartition("/")[2].encode()) > _LONGEST:
            raise ValueError(f"key {source.key!r}: its name is longer than {_LONGEST} bytes: shorten it")
        if stem in seen:
            raise ValueError(_clash(seen[stem], source.key, "without its ending"))
        seen[stem] = source.key
    for stem in seen if None in versions else ():
        other, _, number = stem.rpartition("__")
        if other in seen and number in map(str, versions):
            raise ValueError(_clash(seen[stem], seen[other], f"and its number {number}"))


def _clash(one: str, other: str, how: str) -> str:
    return f"{one!r} and {other!r} {how} would have one name in the baked set: rename one, or --exclude it"
