"""Tokenizers of single letters, made by transformers 4 and 5 alike."""

import json
import tempfile
from pathlib import Path

import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers.convert_slow_tokenizer import bytes_to_unicode

LETTERS = list(bytes_to_unicode().values())
_MAKES_FROM_WORDS = int(transformers.__version__.split(".")[0]) > 4


def clip_tokenizer():
    words = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
    return _of_pairs(transformers.CLIPTokenizer, words, model_max_length=77)


def qwen_tokenizer(special, template):
    more = {"extra_special_tokens" if _MAKES_FROM_WORDS else "additional_special_tokens": special[1:]}
    tokenizer = _of_pairs(transformers.Qwen2Tokenizer, [*LETTERS, *special], model_max_length=4096, **more)
    tokenizer.chat_template = template
    return tokenizer


def t5_tokenizer():
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0), ("▁", -2.0)]
    pieces += [(letter, -3.0) for letter in map(chr, range(33, 127))]
    if _MAKES_FROM_WORDS:
        return transformers.T5Tokenizer(pieces, extra_ids=0, model_max_length=512)
    made = Tokenizer(models.Unigram(pieces, unk_id=2))
    made.pre_tokenizer, made.decoder = pre_tokenizers.Metaspace(), decoders.Metaspace()
    return transformers.T5TokenizerFast(tokenizer_object=made, extra_ids=0, model_max_length=512)


def _of_pairs(kind, words, **options):
    """A tokenizer with no pairs of letters to join."""
    numbers = {word: number for number, word in enumerate(words)}
    if _MAKES_FROM_WORDS:
        return kind(numbers, [], **options)
    with tempfile.TemporaryDirectory() as folder:
        files = Path(folder, "vocab.json"), Path(folder, "merges.txt")
        files[0].write_text(json.dumps(numbers))
        files[1].write_text("#version: 0.2\n")
        return kind(*map(str, files), **options)
