"""Which outputs of a classifier stand for which labels of a data set."""

import difflib
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence

__all__ = ["match_outputs"]

_SHOWN = 5


def match_outputs(
    labels: Collection[str], outputs: Sequence[str], label_map: Mapping[str, Sequence[str]]
) -> dict[str, list[int]]:
    """Return the numbers of the outputs that stand for each label.

    A name fits whatever its letters' case, and with `_` or `-` for a space. Of an output such as "tench, Tinca tinca",
    as ImageNet has them, each name fits.

    Args:
        labels: Those of the data set.
        outputs: The classifier's names of its outputs, in their order.
        label_map: For labels that have other names there: names of outputs, or their numbers.

    Raises:
        ValueError: A label has no output, or its name fits several; the message says the nearest.

    """
    named: defaultdict[str, set[int]] = defaultdict(set)
    for number, output in enumerate(outputs):
        for name in (output, *output.split(",")):
            named[_plain(name)].add(number)
    numbers = {str(number): {number} for number in range(len(outputs))}
    found, wrong = {}, []
    for label in sorted(labels):
        wanted = label_map.get(label, [label])
        mapped = [named.get(_plain(name)) or (numbers.get(name) if label in label_map else None) for name in wanted]
        several = label not in label_map and mapped[0] is not None and len(mapped[0]) > 1
        if several or None in mapped:
            missing = wanted[0] if several else wanted[mapped.index(None)]
            wrong.append(_what_is_wrong(label, missing, named, several=several))
        found[label] = sorted(number for group in mapped for number in group or ())
    if wrong:
        more = f"; and {len(wrong) - _SHOWN:,} more" if len(wrong) > _SHOWN else ""
        raise ValueError(
            f"{len(wrong):,} of {len(found):,} labels have no output of the classifier: {'; '.join(wrong[:_SHOWN])}"
            f"{more}. Give --label-map FILE, YAML with a line for each, such as `daisy: [daisy, oxeye]`"
        )
    return found


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def _what_is_wrong(label: str, name: str, named: Mapping[str, object], *, several: bool) -> str:
    if several:
        return f"{label!r} fits several outputs"
    close = difflib.get_close_matches(_plain(name), named, n=1)
    return f"{label!r}{f' ({name!r})' if name != label else ''}{f', nearest {close[0]!r}' if close else ''}"
