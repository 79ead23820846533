"""Which prompts each source is drawn from: its own, else those of its class, else those of the run."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace

import xxhash

from albu_diffusemix.backends import Backend
from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.prompts import LABEL, fill_label
from albu_diffusemix.text import did_you_mean

__all__ = ["choose_prompts", "look_at_prompts", "name_unknown_labels", "prompts_of", "slug"]

_SLUG_LENGTH = 48
_SHOWN = 5


def choose_prompts(options: ResolvedOptions, backend: Backend) -> ResolvedOptions:
    """Return the options with the prompts of a job: the user's, or the backend's own; class names only if they count.

    Raises:
        ValueError: There are no prompts, one occurs twice, the backend cannot do one, or two would have one variant's
            name.

    """
    by_class = options.prompts_by_class or {}
    prompts = options.prompts or (() if by_class else backend.prompts)
    if not prompts and not by_class:
        raise ValueError(f"backend {options.backend!r} has no prompts of its own: give --prompt or --prompts-file")
    lists = (prompts, *by_class.values())
    for chosen in lists:
        if not _is_filled(options, chosen):
            _check(chosen, options, backend)
    counts = options.class_names or any(_is_filled(options, chosen) for chosen in lists)
    return replace(options, prompts=tuple(prompts), class_names=options.class_names if counts else None)


def look_at_prompts(sources: Iterable[SourceFile], options: ResolvedOptions, backend: Backend) -> ResolvedOptions:
    """Check that each source of a data set has prompts, and that the backend can do those with its label in them.

    Returns:
        The options, which say whether sources have prompts of their own.

    Raises:
        ValueError: There are no prompts for a class, a prompt needs a label that a source does not have, no prompt
            needs the class names that were given, or as `choose_prompts`.

    """
    first: dict[tuple[tuple[str, ...], str | None], SourceFile] = {}
    for source in sources:
        first.setdefault((source.prompts, source.label), source)
    without = {label: first[own, label].key for own, label in first if not _as_given(options, first[own, label])}
    if without:
        raise ValueError(_describe_classes_without_prompts(list(without), without))
    for source in first.values():
        filled = _is_filled(options, _as_given(options, source), own=bool(source.prompts))
        if source.label is None and filled:
            prompt = next(prompt for prompt in _as_given(options, source) if LABEL in prompt)
            raise ValueError(
                f"prompt {prompt!r} needs a label, and source {source.key!r} has none: put it into the folder of its "
                "class, or give its label in the manifest"
            )
        if source.prompts or filled:
            _check(prompts_of(options, source), options, backend)
    lists = [*(own for own, _ in first), options.prompts, *(options.prompts_by_class or {}).values()]
    if options.class_names and not any(_is_filled(options, prompts) for prompts in lists):
        raise ValueError(f"class names are given, but no prompt has {LABEL} in it, such as 'a {LABEL} in snow'")
    return replace(options, prompts_by_source=any(own for own, _ in first))


def prompts_of(options: ResolvedOptions, source: SourceFile) -> tuple[str, ...]:
    """Return the prompts that a source is drawn from, with the name of its class in the place of `{label}`.

    Examples:
        >>> from pathlib import Path
        >>> prompts = {"prompts": ("snowy",), "prompts_by_class": {"tea_rose": ("a {label} at sunset",)}}
        >>> options = ResolvedOptions(Path("train"), Path("train.dm"), **prompts)
        >>> prompts_of(options, SourceFile("1.jpg", "1.jpg", "tea_rose"))
        ('a tea rose at sunset',)
        >>> prompts_of(options, SourceFile("1.jpg", "1.jpg", "tea_rose", prompts=("a {label} in rain",)))
        ('a tea rose in rain',)

    """
    given = _as_given(options, source)
    if source.label is None or (options.class_names is None and not source.prompts):
        return given
    return tuple(fill_label(prompt, source.label, options.class_names or {}) for prompt in given)


def name_unknown_labels(given: Collection[str], labels: Collection[str]) -> Iterator[str]:
    """Say which of the labels that were given no source has, and which one may have been meant.

    Args:
        given: Labels that the user wrote.
        labels: Those of the sources.

    Yields:
        A line for each, of the first few, and one for all others.

    """
    known = set(labels)
    unknown = [label for label in given if label not in known]
    for label in unknown[:_SHOWN]:
        yield f"no source has the label {label!r}{did_you_mean(label, labels)}"
    if len(unknown) > _SHOWN:
        yield f"no source has {len(unknown) - _SHOWN:,} more of the labels"


def slug(prompt: str) -> str:
    """Return a variant's name for a prompt: lower case, words joined by dashes.

    What is long, or loses letters on the way, ends in a digest of the prompt.

    Examples:
        >>> slug("a sketch with crayon")
        'a-sketch-with-crayon'
        >>> slug("été")
        't-4527085b'

    """
    plain = re.sub(r"[^a-z0-9]+", "-", prompt.lower()).strip("-")
    if prompt.isascii() and 0 < len(plain) <= _SLUG_LENGTH:
        return plain
    digest = xxhash.xxh3_64_hexdigest(prompt.encode())[:8]
    return f"{plain[:_SLUG_LENGTH].strip('-')}-{digest}".strip("-")


def _as_given(options: ResolvedOptions, source: SourceFile) -> tuple[str, ...]:
    if source.prompts:
        return source.prompts
    if source.label is None or options.prompts_by_class is None:
        return options.prompts
    return options.prompts_by_class.get(source.label, options.prompts)


def _is_filled(options: ResolvedOptions, prompts: Iterable[str], *, own: bool = False) -> bool:
    return (own or options.class_names is not None) and any(LABEL in prompt for prompt in prompts)


def _check(prompts: Sequence[str], options: ResolvedOptions, backend: Backend) -> None:
    twice = [prompt for prompt, count in Counter(prompts).items() if count > 1]
    if twice:
        raise ValueError(f"prompt {twice[0]!r} is given twice: leave one out")
    for prompt in prompts:
        backend.check_prompt(prompt)
    names: dict[str, str] = {}
    for prompt in prompts if options.all_prompts else ():
        other = names.setdefault(slug(prompt), prompt)
        if other != prompt:
            raise ValueError(f"prompts {other!r} and {prompt!r} are both the variant {slug(prompt)!r}: leave one out")


def _describe_classes_without_prompts(without: Sequence[str | None], first: dict[str | None, str]) -> str:
    labels = [label for label in without if label is not None]
    if not labels:
        return f"source {first[None]!r} has no label, and there are no default prompts: give some at 'default'"
    several = f"{len(labels):,} classes have no prompts, such as {labels[0]!r}"
    what = several if len(labels) > 1 else f"class {labels[0]!r} has no prompts"
    return f"{what}: give some at this label, or for all other classes at 'default'"
