"""README.md of a store: how its counterparts were made, for people, with a picture."""

import json
from collections.abc import Sequence
from pathlib import Path

from albu_diffusemix.atomic_files import write_atomically
from albu_diffusemix.store.files import StoreError, explained
from albu_diffusemix.store.raw_images import ENCODING as RAW
from albu_diffusemix.store.recipe import Recipe
from albu_diffusemix.text import printable

__all__ = ["write_readme"]

_JPEG, _PNG = b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n"
_README = """\
---
configs:
- config_name: default
  data_files: parts/*.tar
---

# Counterparts for DiffuseMix

Images made once by `albu-diffusemix generate`, to be mixed into training images by the package `albu-diffusemix`:

```python
DiffuseMix(backend={{"name": "precomputed", "store": "{name}"}}, p=0.5)
```

The parts are plain WebDataset tars: `<source>/<variant>.{ending}` with a `.json` beside it that names the source, the
prompt and the seed. Any archiver, `webdataset` and `datasets.load_dataset("webdataset", data_files="parts/*.tar")` open
them.{raw}
{picture}
## How it was made

{recipes}
{text}"""


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
    blocks = [f"```json\n{json.dumps(recipe.to_json(), indent=2, ensure_ascii=False)}\n```" for recipe in made]
    listed = "\n\nand, later, some of them:\n\n".join(blocks)
    encodings = [recipe.encoding.get("format", "jpg") for recipe in made]
    page = _README.format(
        ending=encodings[0],
        raw=" Files `.npy` are arrays of uint8, height x width x RGB." if RAW in encodings else "",
        name=printable(root.name),
        picture=link,
        recipes=listed,
        text=f"\n{text.strip()}\n" if text else "",
    )
    with explained("write", root / "README.md"):
        write_atomically(root / "README.md", lambda file: file.write(page.encode()))
