"""Which counterparts a source is to have, and which of them the store lacks."""

from functools import partial
from typing import NamedTuple

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.generate.balance import per_image
from albu_diffusemix.generate.class_prompts import prompts_of, slug
from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.generate.reports import is_temporary
from albu_diffusemix.keys import derive_seed
from albu_diffusemix.store import Record, Source, Store
from albu_diffusemix.store.choices import was_rejected

__all__ = ["Missing", "Variant", "find_missing", "variants_of"]

_MOST_ATTEMPTS = 1000  # that anybody rejects of one counterpart


class Variant(NamedTuple):
    """One counterpart of a source.

    Attributes:
        name: Its name among them.
        prompt: The effect, with the class in it.
        attempt: How many attempts at it are over, because their counterparts were rejected.

    """

    name: str
    prompt: str
    attempt: int = 0


class Missing(NamedTuple):
    """What a store lacks of a source.

    Attributes:
        variants: To be made.
        present: How many are there.
        failed: How many failed before and are to be left alone.
        rejected: How many of those that are there are rejected, and stay so.

    """

    variants: list[Variant]
    present: int
    failed: int
    rejected: int = 0

    @property
    def total(self) -> int:
        """How many the source is to have."""
        return len(self.variants) + self.present + self.failed


def variants_of(source: SourceFile, options: ResolvedOptions) -> list[Variant]:
    """Return the counterparts that a source is to have; the same in every process and run.

    With `all_prompts` there is one for each of its prompts, named by its slug. Else there are `per_image`, or more in a
    small class, named "0000", "0001", ..., each with a prompt that a digest of base seed, key and name chooses: among
    all of its prompts (Algorithm 1 of the paper), or among those that it has not had since all were used. The first
    ones stay what they are, however many follow.

    Examples:
        >>> from pathlib import Path
        >>> options = ResolvedOptions(Path("train"), Path("train.dm"), prompts=("snowy", "sunset"), per_image=3)
        >>> [variant.prompt for variant in variants_of(SourceFile("", "class/001.jpg"), options)]
        ['snowy', 'sunset', 'sunset']

    """
    prompts = prompts_of(options, source)
    if options.all_prompts:
        return [Variant(slug(prompt), prompt) for prompt in prompts]
    variants: list[Variant] = []
    left: list[str] = []
    for number in range(per_image(source, options.per_image, options.raised)):
        if not left or options.draw == "with_replacement":
            left = list(prompts)
        name = f"{number:04d}"
        place = derive_seed(options.base_seed, source.key, "", name) % len(left)
        variants.append(Variant(name, left.pop(place)))
    return variants


def find_missing(
    store: Store | None, key: str, variants: list[Variant], options: ResolvedOptions, made_from: Source | None = None
) -> Missing:
    """Compare a source's variants with the store. What has an image is present; no counter is kept anywhere.

    What failed for a reason that says nothing of the source is missing, not failed. So is all that was made from
    another image than `made_from`, where that is given, and with `replace_rejected` all that is rejected, also what the
    store has beyond these variants.
    """
    if store is None:
        return Missing(variants, 0, 0)
    stored = {record.variant: record for record in store.variants(key)}
    present = {name for name, record in stored.items() if made_from in (None, record.source)}
    rejected = {name for name in present if store.is_rejected(stored[name])}
    if options.replace_rejected:
        present, rejected = present - rejected, set()
    asked = {variant.name for variant in variants}
    beyond = [Variant(name, record.prompt) for name, record in stored.items() if name not in asked | present]
    variants = [*variants, *beyond]
    absent = [variant for variant in variants if variant.name not in present]
    last = {variant.name: stored.get(variant.name) or store.find(key, variant.name) for variant in absent}
    tried = [variant for variant in absent if _may_be_tried(last[variant.name], options, made_from)]
    numbered = [_numbered(variant, last[variant.name], options, made_from) for variant in tried]
    return Missing(numbered, len(variants) - len(absent), len(absent) - len(tried), len(rejected & asked))


def _may_be_tried(last: Record | None, options: ResolvedOptions, made_from: Source | None) -> bool:
    if last is None or not last.failed or options.retry_failed or made_from not in (None, last.source):
        return True
    return is_temporary(last.reason) or (options.replace_rejected and was_rejected(last))


def _numbered(variant: Variant, last: Record | None, options: ResolvedOptions, made_from: Source | None) -> Variant:
    """Begin after the attempt that was rejected: its seed tells which it was. What was made otherwise begins at 0."""
    if last is None or made_from not in (None, last.source) or (last.failed and not was_rejected(last)):
        return variant
    seed = partial(derive_seed, options.base_seed, last.key, variant.prompt, variant.name)
    attempt = next((number for number in range(_MOST_ATTEMPTS) if seed(number) == last.seed), -1)
    return variant._replace(attempt=attempt + 1)
