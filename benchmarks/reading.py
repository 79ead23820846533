"""Reading the images of a data set from each kind of file: `python -m benchmarks.reading [IMAGES]`.

The same images in files of a folder, in a tar, in a Parquet table and in an array; and the memory of a list of rows.
"""

import io
import statistics
import sys
import tarfile
import tempfile
import time
import tracemalloc
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from albu_diffusemix.datasets import find_sources

KINDS = {"folder": "folder", "WebDataset": "images.tar", "Parquet": "images.parquet", "arrays": "images.npy"}
SIZES = {"32 px, PNG": (32, ".png"), "224 px, JPEG": (224, ".jpg")}
LISTED = 1_000_000
ROUNDS = 7


def write_all(root, images, ending):
    (root / "folder").mkdir()
    encoded = [cv2.imencode(ending, image)[1].tobytes() for image in images]
    with tarfile.open(root / "images.tar", "w") as tar:
        for number, data in enumerate(encoded):
            (root / f"folder/{number:06d}{ending}").write_bytes(data)
            info = tarfile.TarInfo(f"{number:06d}{ending}")
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    pq.write_table(pa.table({"image": encoded}), root / "images.parquet", row_group_size=100)
    np.save(root / "images.npy", np.stack(images))


def seconds_an_image(sources):
    """Time of reading each kind, by turns, seven times through: the median of the means."""
    rounds = {kind: [] for kind in sources}
    for _ in range(ROUNDS):
        for kind, of in sources.items():
            started = time.process_time()
            for source in of:
                source.read()
            rounds[kind].append((time.process_time() - started) / len(of))
    return {kind: statistics.median(each) for kind, each in rounds.items()}


def main(count):
    noise = np.random.default_rng(0)
    for name, (side, ending) in SIZES.items():
        small = noise.integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
        images = [cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC) for image in small]
        with tempfile.TemporaryDirectory() as folder:
            write_all(Path(folder), images, ending)
            sources = {kind: find_sources(f"{folder}/{file}", Path("none.dm")) for kind, file in KINDS.items()}
            seconds = seconds_an_image(sources)
        for kind, each in seconds.items():
            print(f"{name:14} {kind:12} {each * 1e6:6.0f} us {each / seconds['folder']:5.2f} x")
    with tempfile.TemporaryDirectory() as folder:
        np.save(f"{folder}/rows.npy", np.zeros((LISTED, 1, 1), np.uint8))
        tracemalloc.start()
        rows = find_sources(f"{folder}/rows.npy", Path("none.dm"))
        print(f"{len(rows):,} rows of an array listed: {tracemalloc.get_traced_memory()[0] / 1e6:.0f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
