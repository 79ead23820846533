"""CLIP's tokenizer without transformers: a prompt to the numbers of its tokens."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from albu_diffusemix.backends.model_files import read_json

__all__ = ["PromptTokenizer"]

_CONFIG = "tokenizer_config.json"
_START, _END = "<|startoftext|>", "<|endoftext|>"
_LENGTH, _LONGEST = 77, 1_000_000  # CLIP's own; what is above stands for "no limit" in a config
_WORDS = r"'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+"  # OpenAI's CLIP, simple_tokenizer.py


class PromptTokenizer:
    """Tokenizes prompts, each filled up or cut off to one length.

    Args:
        folder: With tokenizer.json, or vocab.json and merges.txt; tokenizer_config.json may say length and padding.

    Raises:
        ValueError: A file is broken; the message names it.

    """

    def __init__(self, folder: Path) -> None:
        config = _config(folder)
        length = _length(folder, config)
        self._tokenizer = _read(folder)
        padding = _content(config.get("pad_token", _END))
        number = self._tokenizer.token_to_id(padding)
        if number is None:
            raise ValueError(f"{folder} has no token {padding!r}, with which short prompts are filled up")
        self._tokenizer.enable_truncation(length)
        self._tokenizer.enable_padding(length=length, pad_id=number, pad_token=padding)

    def encode(self, prompt: str) -> NDArray[np.int64]:
        """Return the numbers of a prompt's tokens, (1, length)."""
        return np.array([self._tokenizer.encode(prompt).ids], np.int64)


def _read(folder: Path) -> Tokenizer:
    whole = folder / "tokenizer.json"
    try:
        return Tokenizer.from_file(str(whole)) if whole.is_file() else _build(folder)
    except Exception as error:  # tokenizers raises Exception itself
        path = whole if whole.is_file() else folder / "vocab.json"
        raise ValueError(f"tokenizer {path} cannot be read: {' '.join(str(error).split())}") from error


def _build(folder: Path) -> Tokenizer:
    vocabulary = json.loads((folder / "vocab.json").read_text("utf-8"))
    lines = (folder / "merges.txt").read_text("utf-8").splitlines()
    pairs = [line.partition(" ") for line in lines if line and not line.startswith("#version")]
    merges = [(left, right) for left, _, right in pairs]
    model = models.BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=_END)
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )
    words = pre_tokenizers.Split(Regex(_WORDS), behavior="removed", invert=True)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.add_special_tokens([_START, _END])
    end, start = (_END, vocabulary[_END]), (_START, vocabulary[_START])
    tokenizer.post_processor = processors.RobertaProcessing(end, start, trim_offsets=False, add_prefix_space=False)
    return tokenizer


def _config(folder: Path) -> dict[str, Any]:
    path = folder / _CONFIG
    return read_json(path) if path.is_file() else {}


def _length(folder: Path, config: dict[str, Any]) -> int:
    length = config.get("model_max_length", _LENGTH)
    if isinstance(length, bool) or not isinstance(length, int | float) or not length > 0:
        raise ValueError(f"{folder / _CONFIG}: model_max_length must be a number above 0; got {length!r}")
    return int(length) if length < _LONGEST else _LENGTH


def _content(token: Any) -> str:
    """Return a token's text; older files hold it with its settings."""
    return str(token.get("content") if isinstance(token, dict) else token)
