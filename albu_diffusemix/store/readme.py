"""README.md of a store: how its counterparts were made, for people, with a picture."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.recipe import Recipe
from albu_diffusemix.text import printable

__all__ = ["SCORES_PICTURE", "VIEWER", "readme_page", "scores_in", "write_readme", "write_scores"]

SCORES_PICTURE = "scores.png"
"""The picture beside what README.md says of scores."""

_SCORES = re.compile(r"\n<!-- scores -->\n.*?<!-- end of scores -->\n", re.DOTALL)
_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_README = """\
---
{card}---

# Counterparts for DiffuseMix

Images made once by `albu-diffusemix generate`, to be mixed into training images by the package `albu-diffusemix`:

```python
DiffuseMix(backend={{"name": "precomputed", "store": "{address}"}}, p=0.5)
```

The parts are plain WebDataset tars: `<source>/<variant>.{ending}` with a `.json` beside it that names the source, the
prompt and the seed. Any archiver, `webdataset` and `datasets.load_dataset("webdataset", data_files="parts/*.tar")` open
them.{raw}
{picture}
## How it was made

{recipes}
{text}"""
VIEWER: dict[str, Any] = {"configs": [{"config_name": "default", "data_files": "parts/*.tar"}]}
"""What a card says to the Hub's viewer of data sets."""


def write_readme(root: Path, made: Sequence[Recipe], text: str, picture: bytes) -> None:
    """Write README.md, and the picture in it beside.

    Raises:
        StoreError: The picture is neither JPEG nor PNG, or a file cannot be written.

    """
    link = ""
    if picture:
        ending = {_JPEG: "jpg", _PNG[:3]: "png"}.get(picture[:3])
        if ending is None:
            raise StoreError(
                f"the picture for {root} starts with {picture[:8]!r}: give the bytes of a JPEG or PNG file"
            )
        link = f"\n![Sources and their counterparts](contact-sheet.{ending})\n"
        with explained("write", root / f"contact-sheet.{ending}"):
            write_atomically(root / f"contact-sheet.{ending}", lambda file: file.write(picture))
    page = readme_page(printable(root.name), VIEWER, made, text, link) + scores_in(root)
    with explained("write", root / "README.md"):
        write_atomically(root / "README.md", lambda file: file.write(page.encode()))


def scores_in(root: Path) -> str:
    """Return what README.md says of scores; empty where it says nothing of them."""
    found = _SCORES.search(_page_in(root))
    return found[0] if found else ""


def write_scores(root: Path, text: str, picture: bytes) -> None:
    """Put what the scores say at the end of README.md, in place of what it said of them before.

    Args:
        root: The store's folder.
        text: Markdown, which names `SCORES_PICTURE` where there is a picture.
        picture: The bytes of a PNG file; empty for none.

    Raises:
        StoreError: The files cannot be written.

    """
    page = f"{_SCORES.sub('', _page_in(root)).rstrip()}\n\n<!-- scores -->\n{text.strip()}\n<!-- end of scores -->\n"
    with explained("write", root / "README.md"):
        if picture:
            write_atomically(root / SCORES_PICTURE, lambda file: file.write(picture))
        else:
            (root / SCORES_PICTURE).unlink(missing_ok=True)
        write_atomically(root / "README.md", lambda file: file.write(page.encode()))


def _page_in(root: Path) -> str:
    try:
        return (root / "README.md").read_bytes().decode(errors="replace").replace("\r\n", "\n")
    except OSError:
        return ""


def readme_page(address: str, card: Mapping[str, Any], made: Sequence[Recipe], text: str, link: str = "") -> str:
    """Return the page: the Hub's card, how to train from the store, how it was made, and the text at its end.

    Args:
        address: What the spec of the backend names the store by.
        card: Fields of the card, which the Hub reads from the head of the page.
        made: The store's recipes.
        text: Markdown.
        link: Markdown of a picture.

    """
    blocks = [f"```json\n{json.dumps(recipe.to_json(), indent=2, ensure_ascii=False)}\n```" for recipe in made]
    encodings = [recipe.encoding.get("format", "jpg") for recipe in made]
    return _README.format(
        ending=encodings[0],
        raw=" Files `.npy` are arrays of uint8, height x width x RGB." if RAW in encodings else "",
        card=yaml.safe_dump(dict(card), sort_keys=False, allow_unicode=True),
        address=address,
        picture=link,
        recipes="\n\nand, later, some of them:\n\n".join(blocks),
        text=f"\n{text.strip()}\n" if text else "",
    )
