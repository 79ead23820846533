"""How alike a counterpart and its source are to CLIP: a filter for what diffusion drew too freely, or not at all.

Nothing uses it unless asked to; it needs torch and transformers, and the weights of a CLIP model.
"""

import contextlib
import logging
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from albu_diffusemix.text import in_one_line

__all__ = ["SimilarityFilter", "load_model"]


class SimilarityFilter:
    """Accepts counterparts whose cosine similarity to their sources, between CLIP's image embeddings, lies in a range.

    Below the range the subject has gone with its label; above it nothing was changed. Where the bounds should lie
    depends on the model, the data and the prompts: `measure` a few hundred pairs first and look at both ends.

    The model is loaded at the first use; one instance may be used from several threads.

    Args:
        low: Least similarity that is accepted, in [-1, 1].
        high: Greatest similarity that is accepted, above `low`, at most 1.
        model_id: A folder or an id on the Hugging Face Hub of a model with `get_image_features`, such as CLIP or
            SigLIP. Default: "openai/clip-vit-base-patch32".
        revision: Branch, tag or commit on the Hub. Default: None, the main branch.
        device: "cuda", "cuda:1", "mps", "cpu", or "auto", the first of them that there is. Default: "auto".
        local_files_only: Never ask the Hub. Default: False.

    Raises:
        ValueError: The bounds are not in order.

    Examples:
        >>> from albu_diffusemix.clip_filter import SimilarityFilter
        >>> SimilarityFilter(low=0.9, high=0.6)
        Traceback (most recent call last):
        ...
        ValueError: low and high must satisfy -1 <= low < high <= 1; got 0.9 and 0.6

    """

    def __init__(
        self,
        low: float,
        high: float,
        model_id: str = "openai/clip-vit-base-patch32",
        revision: str | None = None,
        device: str = "auto",
        *,
        local_files_only: bool = False,
    ) -> None:
        if not -1 <= low < high <= 1:
            raise ValueError(f"low and high must satisfy -1 <= low < high <= 1; got {low} and {high}")
        self.low = low
        self.high = high
        self.model_id = model_id
        self._revision = revision
        self._device = device
        self._local_files_only = local_files_only
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_lock": None, "_loaded": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._lock = threading.Lock()

    def measure(self, images: Sequence[NDArray[np.uint8]], sources: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        """Return the cosine similarity of each image to its source.

        Args:
            images: Counterparts, (H, W, 3) uint8 RGB, of any size.
            sources: As many sources, likewise.

        Returns:
            (N,) float32 in [-1, 1].

        Raises:
            ValueError: There are not as many of both, or the model cannot be loaded.

        """
        if len(images) != len(sources):
            raise ValueError(f"each image needs its source; got {len(images)} images and {len(sources)} sources")
        with self._lock:
            pairs = [(self._embed(image), self._embed(source)) for image, source in zip(images, sources, strict=True)]
        return np.array([np.sum(image * source) for image, source in pairs], np.float32).clip(-1, 1)

    def find_flaws(self, images: Sequence[NDArray[np.uint8]], sources: Sequence[NDArray[np.uint8]]) -> list[str | None]:
        """Say why a counterpart is of no use: too far from its source, or too near; None for one that is accepted.

        Args:
            images: As for `measure`.
            sources: As for `measure`.

        Raises:
            ValueError: As for `measure`.

        """
        return [self._flaw(float(value)) for value in self.measure(images, sources)]

    def _flaw(self, similarity: float) -> str | None:
        if similarity < self.low:
            return f"too different from its source (similarity {similarity:.3f} < {self.low})"
        if similarity > self.high:
            return f"too similar to its source (similarity {similarity:.3f} > {self.high})"
        return None

    def _embed(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Embed an image by itself: in a batch its last digits, and so a verdict, would depend on its neighbours."""
        import torch  # noqa: PLC0415  seconds, and optional

        with torch.inference_mode():
            model, processor = self._load()
            inputs = processor(images=[image], return_tensors="pt").to(model.device)
            made = model.get_image_features(pixel_values=inputs["pixel_values"])
            features = made if isinstance(made, torch.Tensor) else made.pooler_output
            unit: NDArray[np.float32] = torch.nn.functional.normalize(features.float(), dim=-1).cpu().numpy()
            return unit

    def _load(self) -> tuple[Any, Any]:
        if self._loaded is None:
            source = (self.model_id, self._revision, self._device)
            model, processor, _ = load_model(*source, local_files_only=self._local_files_only)
            if not hasattr(model, "get_image_features"):
                raise ValueError(
                    f"model {self.model_id!r} ({type(model).__name__}) embeds no images: give a CLIP model"
                )
            self._loaded = (model, processor)
        return self._loaded


def load_model(
    model_id: str,
    revision: str | None = None,
    device: str = "auto",
    kind: str = "AutoModel",
    *,
    local_files_only: bool = False,
) -> tuple[Any, Any, list[str]]:
    """Load a model that looks at images, and what prepares images for it.

    Args:
        model_id: A folder or an id on the Hugging Face Hub.
        revision: Branch, tag or commit on the Hub. Default: None, the main branch.
        device: As for `SimilarityFilter`.
        kind: The class of transformers that loads it. Default: "AutoModel".
        local_files_only: Never ask the Hub. Default: False.

    Returns:
        The model, its image processor, and the names of the weights that the files lack: these are random.

    Raises:
        ValueError: It cannot be loaded.

    """
    import transformers  # noqa: PLC0415  seconds, and optional

    from albu_diffusemix.backends.torch_devices import choose_device  # noqa: PLC0415  imports torch

    chosen = choose_device(device)
    source = _source(model_id, revision) if local_files_only else model_id
    options = {} if source != model_id else {"revision": revision}
    image_processors: Any = transformers.AutoImageProcessor
    try:
        with _quiet(transformers.utils.logging):
            model, found = getattr(transformers, kind).from_pretrained(source, output_loading_info=True, **options)
            processor = image_processors.from_pretrained(source, backend="pil", **options)
    except (OSError, ValueError, ImportError) as error:
        raise ValueError(_how_to_get(model_id, in_one_line(error))) from error
    return model.eval().to(chosen), processor, sorted(found["missing_keys"])


@contextlib.contextmanager
def _quiet(library: Any) -> Iterator[None]:
    """Keep bars and reports of the loading off the terminal: what is wrong is an error or in the answer."""
    level, had_bars = library.get_verbosity(), library.is_progress_bar_enabled()
    hub = logging.getLogger("huggingface_hub")
    hub_level = hub.level
    hub.setLevel(logging.ERROR)  # a line for each time that it asks again
    library.set_verbosity_error()
    library.disable_progress_bar()
    try:
        yield
    finally:
        hub.setLevel(hub_level)
        library.set_verbosity(level)
        if had_bars:
            library.enable_progress_bar()


def _source(model_id: str, revision: str | None) -> str:
    """Return the model's folder, one in the Hub's cache among others."""
    if Path(model_id).is_dir():
        return model_id
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415  optional

    config = try_to_load_from_cache(model_id, "config.json", revision=revision)
    if isinstance(config, str):
        return str(Path(config).parent)
    reason = "it is not in the Hub's cache, and local_files_only forbids to download it"
    raise ValueError(_how_to_get(model_id, reason))


def _how_to_get(model_id: str, reason: str) -> str:
    return (
        f"model {model_id!r} cannot be loaded: {reason.rstrip('.')}. With a network, run once: "
        f"hf download {model_id}; or give the path of its folder as model_id"
    )
