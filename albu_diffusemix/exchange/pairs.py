"""Rows of an export to Parquet as sets of edited images have them: source, prompt and counterpart, side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from albu_diffusemix.datasets import SourceFile
from albu_diffusemix.exchange.exporter import IMAGE, ParquetRows, image_file
from albu_diffusemix.generate.encoding import encode
from albu_diffusemix.image_decoding import reading
from albu_diffusemix.image_headers import orientation
from albu_diffusemix.store import Record, Source, Store, StoreError

__all__ = ["PairRows"]

_KEPT_ENDINGS = (".jpeg", ".jpg", ".png", ".webp")
_UPRIGHT = (0, 1)  # values of EXIF's orientation


class PairRows(ParquetRows):
    """The columns input_image, edit_prompt, edited_image and label, key and variant, and the figures of a store.

    Args:
        store: What is exported.
        sources: What the counterparts were made from.
        figures: A pyarrow.Table of key, variant and figures.

    """

    def __init__(self, store: Store, sources: Sequence[SourceFile], figures: Any) -> None:
        super().__init__(store)
        self._sources = {source.key: source for source in sources}
        names = [name for name in figures.column_names if name not in {"key", "variant"}]
        ids = zip(figures["key"].to_pylist(), figures["variant"].to_pylist(), strict=True)
        self._figures = dict(zip(ids, figures.select(names).to_pylist() if names else [{}] * len(figures), strict=True))
        self.columns: Mapping[str, str] = {
            "input_image": IMAGE,
            "edit_prompt": "string",
            "edited_image": IMAGE,
            "label": "string",
            "key": "string",
            "variant": "string",
            "seed": "uint32",
            **{name: "int32" if str(figures.schema.field(name).type) == "int32" else "float64" for name in names},
        }

    def row(self, record: Record) -> dict[str, Any]:
        """Return the values of a counterpart, by column.

        Raises:
            StoreError: Its source is not in the data set, has other pixels now, or cannot be read.

        """
        source = self._sources.get(record.key)
        if source is None:
            raise StoreError(
                f"the data set has no {record.key!r}, of which the store has a counterpart: give all of it"
            )
        data, ending = image_file(self._store, record)
        return {
            "input_image": {"bytes": self._source_file(source, record), "path": record.key},
            "edit_prompt": record.prompt,
            "edited_image": {"bytes": data, "path": f"{record.key}/{record.variant}.{ending}"},
            "label": source.label,
            "key": record.key,
            "variant": record.variant,
            "seed": record.seed,
            **self._figures.get((record.key, record.variant), {}),
        }

    def _source_file(self, source: SourceFile, record: Record) -> bytes:
        """Return the source's file where viewers show it as it is, and otherwise a PNG."""
        try:
            with reading(self._store.recipe.background):
                image = source.read()
        except (OSError, ValueError) as error:
            raise StoreError(f"the source {source.key!r} cannot be read: {error}") from error
        if Source.of(image) != record.source:
            raise StoreError(
                f"the source {source.key!r} has other pixels now than when its counterpart was made: run generate with "
                "--changed"
            )
        if source.kind == "file" and source.path.lower().endswith(_KEPT_ENDINGS):
            data = Path(source.path).read_bytes()
            if orientation(data) in _UPRIGHT:
                return data
        return encode(image, "png")
