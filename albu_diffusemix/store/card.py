"""The card of a store on the Hugging Face Hub: README.md with a head of fields that the Hub reads."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from albu_diffusemix.store import Recipe, Store
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.readme import VIEWER, readme_page, scores_in
from albu_diffusemix.store.shared_files import Contents
from albu_diffusemix.text import printable, table_cell

__all__ = ["card_page"]

_USUAL_MODELS = {"instruct_pix2pix": "timbrooks/instruct-pix2pix"}
_MODEL = re.compile(r"[\w.-]+/[\w.-]+", re.ASCII)
_SIZES = ("n<1K", "1K<n<10K", "10K<n<100K", "100K<n<1M", "1M<n<10M", "10M<n<100M", "100M<n<1B", "1B<n<10B")
_TAGS = ["albu-diffusemix", "diffusemix", "data-augmentation", "synthetic", "webdataset"]
_TEXTS = ("key", "variant", "prompt", "used_prompt")
_RECORD = {
    **dict.fromkeys(_TEXTS, "string"),
    **dict.fromkeys(("seed", "height", "width"), "int64"),
    **dict.fromkeys(("pixels", "image", "reason", "check"), "string"),
}
"""Fields of the record beside each image, and their types for the Hub's viewer."""

_PICTURE = {"dtype": "image"}
_ARRAY = {"list": {"list": {"list": "uint8"}}}
"""Types of the columns of images: of files that the viewer shows, and of raw ones."""


def card_page(store: Store, contents: Contents, address: str, license_name: str, sources: str | None) -> str:
    """Return the text of the card.

    Args:
        store: What it is about.
        contents: What the store holds.
        address: Where it will be, `hf://owner/name`.
        license_name: As the Hub names it, such as "cc-by-4.0".
        sources: Data set that the counterparts were made from; None names it as the run did that made the store.

    """
    made = [store.recipe, *store.mixed]
    models = _base_models(made)
    card = {
        "license": license_name,
        "pretty_name": f"{address.rpartition('/')[2]}: counterparts for DiffuseMix",
        "size_categories": [_SIZES[max(0, len(str(sum(contents.prompts.values()))) - 3)]],
        "tags": _TAGS,
        **({"source_datasets": [sources]} if sources else {}),
        **({"base_model": models} if models else {}),
        "dataset_info": {"features": _columns(contents)},
        **VIEWER,
    }
    filters = any(_spec(recipe)["name"] == "procedural" for recipe in made)
    text = _text(contents, sources or store.provenance.get("data"), filters=filters)
    return readme_page(address, card, made, text) + scores_in(store.path)


def _columns(contents: Contents) -> list[dict[str, Any]]:
    """Describe what WebDataset makes of a part: a column for each ending, and two of its own."""
    images = [{"name": ending, **(_ARRAY if ending == RAW else _PICTURE)} for ending in contents.encodings]
    record = {"name": "json", "struct": [{"name": name, "dtype": kind} for name, kind in _RECORD.items()]}
    return [*images, record, *({"name": name, "dtype": "string"} for name in ("__key__", "__url__"))]


def _text(contents: Contents, sources: str | None, *, filters: bool) -> str:
    rows = "\n".join(f"| {table_cell(prompt)} | {count:,} |" for prompt, count in contents.prompts.items())
    made_from = f"Made from the images of `{printable(sources)}`, which are not in here.\n\n" if sources else ""
    made_by = "Those of the procedural backend are the work of OpenCV filters, not diffusion.\n\n" if filters else ""
    return f"## What is in it\n\n{made_from}{made_by}| prompt | counterparts |\n|---|---:|\n{rows}"


def _base_models(made: Sequence[Recipe]) -> list[str]:
    """Return the models on the Hub that the backends' specs name; a folder on somebody's disk is not one."""
    specs = [_spec(recipe) for recipe in made]
    named = [spec.get("model_id") or spec.get("model") or _USUAL_MODELS.get(spec["name"], "") for spec in specs]
    return [model for model in dict.fromkeys(map(str, named)) if _MODEL.fullmatch(model) and not Path(model).exists()]


def _spec(recipe: Recipe) -> dict[str, Any]:
    return {"name": recipe.backend} if isinstance(recipe.backend, str) else dict(recipe.backend)
