"""Scorers that need a model: CLIP, an embedding's cosine, and the rank of the true label by a classifier."""

import functools
import json
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

import numpy as np
import torch
import xxhash
from numpy.typing import NDArray

from albu_diffusemix.clip_filter import load_model
from albu_diffusemix.curate.labels import match_outputs
from albu_diffusemix.curate.scorers import Figures, ScoreOptions, View
from albu_diffusemix.datasets.objects import import_attribute
from albu_diffusemix.generate.class_files import read_label_map
from albu_diffusemix.text import in_one_line

__all__ = ["ClassifierScorer", "ClipScorer", "EmbeddingScorer"]

_CLIP, _DINO, _CLASSIFIER = "openai/clip-vit-base-patch32", "facebook/dinov2-small", "google/vit-base-patch16-224"


class EmbeddingScorer:
    """The cosine between a model's embeddings of a counterpart and its source, in [-1, 1].

    Args:
        options: With the model; DINOv2 (small) where it names none.
        labels: Of no use here.

    Raises:
        ValueError: The model cannot be loaded.

    """

    figures: Mapping[str, str] = {"cosine": "float64"}
    default = _DINO

    def __init__(self, options: ScoreOptions, labels: Collection[str]) -> None:
        del labels
        self.batch_size = options.batch_size
        self._options = options
        self._model, self._processor, missing = load_model(
            options.model or self.default, options.revision, options.device
        )
        self._pooled = not any("pooler" in name for name in missing)
        self.fingerprint = _fingerprint(options, self._model, self._processor)

    def prepare(self, view: View) -> Sequence[tuple[Any, ...]]:
        """Return the pixels as the model takes them."""
        before = _pixels(self._processor, view.image)
        return [(before, _pixels(self._processor, image)) for _, image in view.counterparts]

    def score(self, prepared: Sequence[tuple[Any, ...]]) -> list[Figures]:
        """Embed each source once, and all counterparts."""
        return [(float(cosine),) for cosine in self._beside_sources(prepared)[0]]

    def _beside_sources(self, prepared: Sequence[tuple[Any, ...]]) -> tuple[torch.Tensor, torch.Tensor]:
        sources = list({id(row[0]): row[0] for row in prepared}.values())
        places = {id(source): place for place, source in enumerate(sources)}
        embedded = self._embed(torch.stack([*sources, *(row[1] for row in prepared)]))
        before, after = embedded[[places[id(row[0])] for row in prepared]], embedded[len(sources) :]
        return (before * after).sum(-1), after

    def _embed(self, pixels: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            made = self._made(pixels.to(self._model.device, self._model.dtype))
        return torch.nn.functional.normalize(made.float(), dim=-1).cpu()

    def _made(self, pixels: torch.Tensor) -> torch.Tensor:
        if hasattr(self._model, "get_image_features"):
            return _features(self._model.get_image_features(pixel_values=pixels))
        made = self._model(pixel_values=pixels)
        pooled: torch.Tensor | None = getattr(made, "pooler_output", None) if self._pooled else None
        if pooled is not None:
            return pooled.flatten(1)
        last: torch.Tensor = made.last_hidden_state
        return last.mean(1) if last.ndim == 3 else last.flatten(2).mean(2)  # noqa: PLR2004  tokens, or a grid


class ClipScorer(EmbeddingScorer):
    """What CLIP says: `image`, the cosine to the source, and `text`, that to what the prompt asks for.

    Args:
        options: With the model, OpenAI's ViT-B/32 where it names none, and the text; empty: without `text`.
        labels: Of no use here.

    Raises:
        ValueError: The model cannot be loaded or embeds no images.

    """

    default = _CLIP

    def __init__(self, options: ScoreOptions, labels: Collection[str]) -> None:
        super().__init__(options, labels)
        if not hasattr(self._model, "get_image_features"):
            raise ValueError(f"model {options.model!r} ({type(self._model).__name__}) is not a CLIP model")
        self.figures = {"image": "float64", **({"text": "float64"} if options.text else {})}
        self._text = _check_text(options.text)
        self._tokenizer: Any = self._load_tokenizer() if options.text else None
        self._embed_text = functools.lru_cache(1024)(self._embedded)

    def prepare(self, view: View) -> Sequence[tuple[Any, ...]]:
        """Return the pixels as the model takes them, and the text."""
        words = [{"prompt": record.prompt, "label": view.source.label or ""} for record, _ in view.counterparts]
        rows = super().prepare(view)
        return [(*row, self._text.format(**given)) for row, given in zip(rows, words, strict=True)]

    def score(self, prepared: Sequence[tuple[Any, ...]]) -> list[Figures]:
        """Embed each source and each text once, and all counterparts."""
        cosines, after = self._beside_sources(prepared)
        if self._tokenizer is None:
            return [(float(cosine),) for cosine in cosines]
        texts = torch.stack([self._embed_text(row[2]) for row in prepared])
        return list(zip(cosines.tolist(), (texts * after).sum(-1).tolist(), strict=True))

    def _load_tokenizer(self) -> Any:
        import transformers  # noqa: PLC0415  seconds

        name = self._options.model or self.default
        try:
            tokenizer: Any = transformers.AutoTokenizer.from_pretrained(name, revision=self._options.revision)
            if len(tokenizer) <= len(tokenizer.all_special_tokens):  # where files are missing, it knows no words
                raise ValueError("the files of its words are missing")  # noqa: TRY301  as what it raises itself
        except (OSError, ValueError, ImportError) as error:
            reason = in_one_line(error).rstrip(".")
            raise ValueError(f"the tokenizer of {name!r} cannot be loaded: {reason}; --text '' does without") from error
        return tokenizer

    def _embedded(self, text: str) -> torch.Tensor:
        tokens = self._tokenizer([text], return_tensors="pt", padding="max_length", truncation=True)
        with torch.inference_mode():
            made = _features(self._model.get_text_features(**tokens.to(self._model.device)))
        return torch.nn.functional.normalize(made.float(), dim=-1)[0].cpu()


class _Classifier(NamedTuple):
    prepare: Callable[[NDArray[np.uint8]], Any]
    classify: Callable[[list[Any]], Any]
    outputs: list[str]
    fingerprint: str


class ClassifierScorer:
    """What a classifier says of the true label: `probability`, and `rank`, 1 for the most probable.

    Where a label stands for several outputs, the probability is their sum and the rank that of the best.

    Args:
        options: With the model, ViT-B/16 of ImageNet where it names none, and the file of labels.
        labels: Those of the data set.

    Raises:
        ValueError: The model cannot be loaded, or a label has no output.

    """

    figures: Mapping[str, str] = {"probability": "float64", "rank": "int32"}

    def __init__(self, options: ScoreOptions, labels: Collection[str]) -> None:
        if not labels:
            raise ValueError("the data set gives no labels, which a classifier is asked for: see --label-column")
        label_map = {} if options.label_map is None else read_label_map(options.label_map)
        self.batch_size = options.batch_size
        self._classifier = _load_classifier(options)
        self._outputs = match_outputs(labels, self._classifier.outputs, label_map)
        matched = xxhash.xxh3_64_hexdigest(json.dumps(self._outputs).encode())
        self.fingerprint = f"{self._classifier.fingerprint}-{matched}"

    def prepare(self, view: View) -> Sequence[tuple[Any, ...]]:
        """Return the pixels as the model takes them, and the label."""
        return [(self._classifier.prepare(image), view.source.label) for _, image in view.counterparts]

    def score(self, prepared: Sequence[tuple[Any, ...]]) -> list[Figures]:
        """Classify the counterparts."""
        made = self._classifier.classify([pixels for pixels, _ in prepared])
        logits = torch.as_tensor(made).float().cpu()
        if logits.shape != (len(prepared), len(self._classifier.outputs)):
            expected = f"({len(prepared)}, {len(self._classifier.outputs)})"
            raise ValueError(f"the classifier gives values of shape {tuple(logits.shape)}; {expected} were expected")
        rows = zip(logits.double().softmax(-1), prepared, strict=True)
        return [self._figures(row, label) for row, (_, label) in rows]

    def _figures(self, probabilities: torch.Tensor, label: str | None) -> Figures:
        if label is None:
            return None, None
        own = probabilities[self._outputs[label]]
        return float(own.sum()), 1 + int((probabilities > own.max()).sum())


def _load_classifier(options: ScoreOptions) -> _Classifier:
    name = options.model or _CLASSIFIER
    if ":" in name and not name.startswith("hf"):
        return _own_classifier(options, name)
    model, processor, missing = load_model(
        _id_of(name), options.revision, options.device, "AutoModelForImageClassification"
    )
    if missing:
        raise ValueError(f"model {name!r} is not a classifier: it has no weights for {missing[0]!r}; give another")

    def classify(pixels: list[torch.Tensor]) -> torch.Tensor:
        with torch.inference_mode():
            made: torch.Tensor = model(pixel_values=torch.stack(pixels).to(model.device, model.dtype)).logits
            return made

    outputs = [str(model.config.id2label[number]) for number in range(model.config.num_labels)]
    return _Classifier(
        functools.partial(_pixels, processor), classify, outputs, _fingerprint(options, model, processor)
    )


def _id_of(name: str) -> str:
    """Return the id on the Hub of what timm calls by a name of its own, such as "resnet18.a1_in1k"."""
    for beginning in ("hf_hub:", "hf-hub:"):
        name = name.removeprefix(beginning)
    return f"timm/{name}" if "/" not in name and "." in name else name


def _own_classifier(options: ScoreOptions, name: str) -> _Classifier:
    factory = import_attribute(name)
    try:
        classify = factory()
        outputs = [str(output) for output in classify.labels]
    except AttributeError as error:
        raise ValueError(
            f"{name}() must return a function of a list of images, (H, W, 3) uint8 RGB, with the names of its outputs "
            f"as its attribute `labels`: {in_one_line(error)}"
        ) from error
    except Exception as error:
        raise ValueError(f"{name}() fails: {type(error).__name__}: {in_one_line(error)}") from error

    def without_gradients(images: list[NDArray[np.uint8]]) -> Any:
        with torch.inference_mode():
            return classify(images)

    return _Classifier(np.asarray, without_gradients, outputs, _fingerprint(options, classify, outputs))


def _pixels(processor: Any, image: NDArray[np.uint8]) -> torch.Tensor:
    pixels: torch.Tensor = processor(images=image, return_tensors="pt")["pixel_values"][0]
    return pixels


def _features(made: Any) -> torch.Tensor:
    return made if isinstance(made, torch.Tensor) else made.pooler_output


def _check_text(text: str) -> str:
    try:
        text.format(prompt="", label="")
    except (KeyError, IndexError, ValueError, AttributeError) as error:
        raise ValueError(f"--text {text!r}: in braces stand {{prompt}} and {{label}} only") from error
    return text


def _fingerprint(options: ScoreOptions, model: Any, prepares: Any) -> str:
    """Return a digest of the settings and of all weights: a folder may hold others tomorrow."""
    settings = asdict(options) | {"name": None, "device": None, "batch_size": None, "label_map": None}
    digest = xxhash.xxh3_128(json.dumps([settings, str(prepares)]).encode())
    weights = model.state_dict() if isinstance(model, torch.nn.Module) else {}
    for name, tensor in weights.items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
    return f"{options.kind}-1-{digest.hexdigest()}"
