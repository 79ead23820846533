"""Stores to measure with: real ones of a few photographs, and synthetic ones of any number of entries."""

import os
import random
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import xxhash

from albu_diffusemix.generate.encoding import ENCODINGS, at_stored_size, encode
from albu_diffusemix.keys import hash_key
from albu_diffusemix.store import Recipe, Source, Store, Verdict
from albu_diffusemix.store.index import Index
from albu_diffusemix.store.index_rows import ROW
from albu_diffusemix.store.indexing import assemble
from albu_diffusemix.store.records import Part
from benchmarks.photographs import filtered

A_PART, IMAGE, PLACE = 10_000, 24_000, 26_624
"""Images a part of 256 MiB; bytes of an image, and of its place in the tar with headers and record."""


def make_store(path, images, side, encoding="jpeg", make=filtered):
    """Counterparts of the images as the job stores them, by the keys of `key_of`; the store's spec."""
    store = Store.create(path, Recipe("a benchmark", "f00d", ("any",), side, encoding=ENCODINGS[encoding]))
    with store.writer() as writer:
        for number, image in enumerate(images):
            data = encode(make(at_stored_size(image, side, encoding), number), encoding)
            writer.put(key_of(number), "0000", data, prompt="any", seed=0, source=Source.of(image))
    store.merge()
    return {"name": "precomputed", "store": str(path)}


def key_of(number):
    return f"{number}.jpg"


def reject_some(synthetic, count):
    """Reject `count` counterparts of a synthetic store, spread over it, by a rule; returns the seconds that it took."""
    store, keys = Store.open(synthetic.path), synthetic.keys[:: len(synthetic.keys) // count][:count]
    start = time.process_time()
    store.choose(Verdict(key, "0000", "reject", "too far from its source", "clip_image < 0.6") for key in keys)
    return time.process_time() - start


class Synthetic(NamedTuple):
    """A store whose images are all zeros, its keys, and the seconds that making its merged index took."""

    path: Path
    keys: list[str]
    indexing: float

    def sample(self, count, seed):
        return random.Random(seed).choices(self.keys, k=count)


def make_synthetic(path, count, a_part=A_PART, *, distinct=False):
    """A merged index of one counterpart each of `count` sources, as the store writes it, and parts that are holes.

    All images are zeros and have their check, so that they can be read; with `distinct` each has a check of its own, as
    images have that differ.
    """
    Store.create(path, Recipe("procedural", "f00d", ("snowy",)))
    keys = [f"n{number % 1000:08d}/n{number % 1000:08d}_{number}.JPEG" for number in range(count)]
    texts = [key.encode() for key in keys]
    lengths = np.array([len(text) for text in texts])
    numbers = np.arange(count)
    rows = np.zeros(count, ROW)
    rows["key_hi"], rows["key_lo"] = np.frombuffer(b"".join(map(hash_key, keys)), ">u8").reshape(-1, 2).T
    rows["pixels_hi"], rows["pixels_lo"] = np.random.default_rng(0).integers(0, 2**64, (2, count), dtype=np.uint64)
    rows["key_at"], rows["key_length"] = np.cumsum(lengths) - lengths, lengths
    rows["part"], rows["offset"] = numbers // a_part, 512 + numbers % a_part * PLACE
    rows["length"], rows["height"], rows["width"], rows["seed"] = IMAGE, 375, 500, numbers
    if distinct:
        rows["image_check"] = np.random.default_rng(1).integers(0, 2**64, count, dtype=np.uint64)
    else:
        rows["image_check"] = xxhash.xxh3_64_intdigest(bytes(IMAGE))
    rows["variant"], rows["prompt"], rows["encoding"] = 1, 2, 1
    parts = [Part(f"part-{number:05d}", a_part * PLACE + 1024, "00" * 16) for number in range(-(-count // a_part))]
    for part in parts:
        (path / "parts" / f"{part.name}.tar").touch()
        os.truncate(path / "parts" / f"{part.name}.tar", part.size)
    texts = np.frombuffer(b"".join(texts), np.uint8)
    start = time.process_time()
    Index(assemble(parts, {}, rows, ["", "0000", "snowy"], texts), path / "index" / "merged.idx").save()
    return Synthetic(path, keys, time.process_time() - start)
