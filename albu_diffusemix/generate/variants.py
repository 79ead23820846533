"""Which counterparts a source is to have, and which of them the store lacks."""

import re
from collections import Counter
from typing import NamedTuple

import xxhash

from albu_diffusemix.backends import Backend
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.reports import is_temporary
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Record, Source, Store

__all__ = ["Missing", "Variant", "choose_prompts", "find_missing", "slug", "variants_of"]

_SLUG_LENGTH = 48


class Variant(NamedTuple):
    """One counterpart of a source: its name among them, and the effect."""

    name: str
    prompt: str


class Missing(NamedTuple):
    """What a store lacks of a source.

    Attributes:
        variants: To be made.
        present: How many are there.
        failed: How many failed before and are to be left alone.

    """

    variants: list[Variant]
    present: int
    failed: int

    @property
    def total(self) -> int:
        """How many the source is to have."""
        return len(self.variants) + self.present + self.failed


def choose_prompts(options: ResolvedOptions, backend: Backend) -> tuple[str, ...]:
    """Return the prompts of a job: the user's, or the backend's own.

    Raises:
        ValueError: There are no prompts, one occurs twice, the backend cannot do one, or two would have one variant's
            name.

    """
    prompts = options.prompts or backend.prompts
    if not prompts:
        raise ValueError(f"backend {options.backend!r} has no prompts of its own: give --prompt or --prompts-file")
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
    return tuple(prompts)


def variants_of(key: str, options: ResolvedOptions) -> list[Variant]:
    """Return the counterparts that a source is to have; the same in every process and run.

    With `all_prompts` there is one for each prompt, named by its slug. Else there are `per_image`, named "0000",
    "0001", ..., each with a prompt that a digest of base seed, key and name chooses: among all of them (Algorithm 1 of
    the paper), or among those that this source has not had since all were used. The first ones stay what they are,
    however many follow.

    Examples:
        >>> from pathlib import Path
        >>> options = ResolvedOptions(Path("train"), Path("train.dm"), prompts=("snowy", "sunset"), per_image=3)
        >>> [variant.prompt for variant in variants_of("class/001.jpg", options)]
        ['snowy', 'sunset', 'sunset']

    """
    if options.all_prompts:
        return [Variant(slug(prompt), prompt) for prompt in options.prompts]
    variants: list[Variant] = []
    left: list[str] = []
    for number in range(options.per_image):
        if not left or options.draw == "with_replacement":
            left = list(options.prompts)
        name = f"{number:04d}"
        place = derive_seed(options.base_seed, key, "", name) % len(left)
        variants.append(Variant(name, left.pop(place)))
    return variants


def find_missing(
    store: Store | None, key: str, variants: list[Variant], *, retry_failed: bool, made_from: Source | None = None
) -> Missing:
    """Compare a source's variants with the store. What has an image is present; no counter is kept anywhere.

    What failed for a reason that says nothing of the source is missing, not failed. So is all that was made from
    another image than `made_from`, where that is given, also what the store has beyond these variants.
    """
    if store is None:
        return Missing(variants, 0, 0)
    stored = store.variants(key)
    present = {record.variant for record in stored if made_from in (None, record.source)}
    asked = {variant.name for variant in variants}
    beyond = [Variant(record.variant, record.prompt) for record in stored if record.variant not in asked | present]
    variants = [*variants, *beyond]
    absent = [variant for variant in variants if variant.name not in present]
    if retry_failed:
        return Missing(absent, len(variants) - len(absent), 0)
    untried = [variant for variant in absent if _may_be_tried(store.find(key, variant.name), made_from)]
    return Missing(untried, len(variants) - len(absent), len(absent) - len(untried))


def _may_be_tried(last: Record | None, made_from: Source | None) -> bool:
    return last is None or made_from not in (None, last.source) or is_temporary(last.reason)


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
