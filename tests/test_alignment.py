"""A counterpart that lies askew is never mixed in: each way of moving an image before DiffuseMix is named."""

import albumentations as A
import cv2
import numpy as np
import pytest
from precomputed_files import Entry, counterpart_of, expected_part, make_store, picture, precomputed

from albu_diffusemix import DiffuseMix, HalfConcat

IMAGE = picture(1, 48, 64)
SQUARE = picture(2, 48, 48)
DATA = counterpart_of(IMAGE, 48, 64)


class Before(A.ImageOnlyTransform):
    """Stands before DiffuseMix in a pipeline."""

    def __init__(self, change, p=1):
        super().__init__(p=p)
        self.change = change

    def apply(self, img, **_):
        return np.ascontiguousarray(self.change(img))


MOVES = {
    "flipped left to right": lambda image: image[:, ::-1],
    "flipped upside down": lambda image: image[::-1],
    "turned by 180 degrees": lambda image: np.rot90(image, 2),
    "turned a quarter clockwise": lambda image: np.rot90(image, -1),
    "turned a quarter counter-clockwise": np.rot90,
    "transposed": lambda image: image.transpose(1, 0, 2),
    "transposed along its other diagonal": lambda image: np.rot90(image.transpose(1, 0, 2), 2),
}
PROVABLE = {
    **MOVES,
    "BGR": lambda image: image[..., ::-1],
    **{f"{what}, and BGR": lambda image, move=move: move(image)[..., ::-1] for what, move in MOVES.items()},
}
OTHERS = {
    "another size than its source: .*64x48": {
        "crop": lambda image: image[4:-4, 8:],
        "resize": lambda image: cv2.resize(image, (24, 32)),
        "enlarge": lambda image: cv2.resize(image, (96, 96)),
        "pad": lambda image: np.pad(image, ((8, 8), (0, 0), (0, 0))),
    },
    "other pixels than its source": {
        "shift": lambda image: np.roll(image, 1, axis=1),
        "shift down": lambda image: np.roll(image, 1, axis=0),
        "crop to size": lambda image: cv2.resize(image[4:-4, 8:], (64, 48)),
        "a grey level": lambda image: cv2.add(image, (1, 1, 1, 0)),
        "one pixel": lambda image: np.where(np.indices(image.shape).sum(0) == 0, 255 - image, image),
    },
    r"other pixels than its source \(it is grey\)": {
        "grey": lambda image: cv2.cvtColor(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    },
    r"lies on its side \(48x64, the source was 64x48\)": {
        "turn and brighten": lambda image: cv2.add(np.rot90(image).copy(), (1, 1, 1, 0)),
    },
}
UNPROVABLE = [(cause, change) for cause, changes in OTHERS.items() for change in changes.values()]
IDS = [name for changes in OTHERS.values() for name in changes]


@pytest.fixture
def store(tmp_path):
    return make_store(
        tmp_path / "store",
        Entry("1.jpg", IMAGE, DATA),
        Entry("2.jpg", SQUARE, counterpart_of(SQUARE, 48, 48)),
    )


def train(store, change, image=IMAGE, key="1.jpg", **options):
    backend = precomputed(store, **options)
    pipeline = A.Compose([Before(change), HalfConcat(backend, mask_types=("left",), p=1)])
    return pipeline(image=image, **({"diffusemix_metadata": {"key": key}} if key else {}))["image"]


@pytest.mark.parametrize("what", PROVABLE)
@pytest.mark.parametrize(("image", "key"), [(IMAGE, "1.jpg"), (SQUARE, "2.jpg"), (IMAGE, None), (SQUARE, None)])
def test_a_changed_image_is_an_error_that_names_the_change(store, what, image, key):
    with pytest.raises(ValueError, match=rf"the image is {what}: (put DiffuseMix first|convert it first)"):
        train(store, PROVABLE[what], image, key)


@pytest.mark.parametrize("what", PROVABLE)
@pytest.mark.parametrize(("image", "key"), [(IMAGE, "1.jpg"), (SQUARE, "2.jpg")])
def test_a_stretch_does_not_allow_what_is_proven_to_be_changed(store, what, image, key):
    with pytest.raises(ValueError, match=rf"the image is {what}: "):
        train(store, PROVABLE[what], image, key, on_mismatch=r"stretch")


@pytest.mark.parametrize(("cause", "change"), UNPROVABLE, ids=IDS)
def test_any_other_change_is_an_error_that_names_what_can_be_seen(store, cause, change):
    with pytest.raises(ValueError, match=rf"{cause}.*: put DiffuseMix first"):
        train(store, change)
    with pytest.raises(ValueError, match=r"no source in the store has these pixels .*: put DiffuseMix first"):
        train(store, change, key=None)


@pytest.mark.parametrize(
    "transform",
    [
        A.HorizontalFlip(p=1),
        A.VerticalFlip(p=1),
        A.Transpose(p=1),
        A.CenterCrop(32, 32),
        A.RandomResizedCrop((32, 32)),
        A.Resize(24, 32),
        A.Rotate((10, 20), p=1),
        A.PadIfNeeded(100, 100),
        A.Affine(translate_px=(1, 3), p=1),
    ],
    ids=repr,
)
def test_the_hosts_own_transforms_before_diffusemix_are_noticed(store, fractals, transform):
    pipeline = A.Compose([transform, DiffuseMix(precomputed(store), fractals=fractals, p=1)], seed=1)
    with pytest.raises(ValueError, match=r"put DiffuseMix first"):
        pipeline(image=IMAGE, diffusemix_metadata={"key": "1.jpg"})


def test_a_mismatch_is_an_error_where_misses_pass_through(store):
    with pytest.raises(ValueError, match=r"the counterpart of key '1.jpg' in .* does not fit"):
        train(store, MOVES["flipped left to right"], on_miss="passthrough")


def test_an_unchanged_image_of_any_dtype_passes(store):
    part = expected_part(DATA, (0, 0, 32, 48), 48, 64)
    for image, key in ((IMAGE, "1.jpg"), (IMAGE, None)):
        np.testing.assert_array_equal(train(store, np.array, image, key)[:, :32], part)
    as_float = (IMAGE / 255).astype(np.float32)
    np.testing.assert_array_equal(train(store, np.array, as_float)[:, :32], part * np.float32(1 / 255))


def test_a_change_that_leaves_all_pixels_where_they_are_is_none(tmp_path):
    symmetric = np.concatenate([IMAGE, IMAGE[:, ::-1]], axis=1)
    store = make_store(tmp_path / "symmetric", Entry("1.jpg", symmetric, DATA))
    train(store, MOVES["flipped left to right"], symmetric)


@pytest.mark.parametrize("size", [(32, 32), (24, 32), (7, 111), (96, 130), (48, 63)])
def test_a_stretch_of_the_whole_image_gets_the_counterpart_stretched_alike(store, size):
    height, width = size
    stretched = cv2.resize(IMAGE, (width, height), interpolation=cv2.INTER_AREA)
    with pytest.raises(ValueError, match=r'on_mismatch": "stretch"'):
        train(store, np.array, stretched)
    mixed = train(store, np.array, stretched, on_mismatch=r"stretch")
    box = (0, 0, width // 2, height)
    np.testing.assert_array_equal(mixed[:, : width // 2], expected_part(DATA, box, height, width))
    np.testing.assert_array_equal(mixed[:, width // 2 :], stretched[:, width // 2 :])


def test_a_stretch_allows_another_decoder(store):
    other = cv2.add(IMAGE, (1, 0, 1, 0))
    mixed = train(store, np.array, other, on_mismatch=r"stretch")
    np.testing.assert_array_equal(mixed[:, :32], expected_part(DATA, (0, 0, 32, 48), 48, 64))


def test_a_stretch_refuses_exchanged_sides_even_where_pixels_prove_nothing(store):
    with pytest.raises(ValueError, match=r"lies on its side"):
        train(store, lambda image: cv2.resize(image, (48, 64)), on_mismatch=r"stretch")


def test_a_stretch_needs_a_key(store):
    with pytest.raises(ValueError, match=r"no source in the store has these pixels"):
        train(store, lambda image: cv2.resize(image, (32, 32)), key=None, on_mismatch=r"stretch")


def test_of_several_sources_under_one_key_the_one_with_these_pixels_counts(tmp_path):
    other = picture(9, 48, 64)
    entries = [
        Entry("1.jpg", other, counterpart_of(other, 48, 64), variant="a"),
        Entry("1.jpg", IMAGE, DATA, variant="b"),
    ]
    store = make_store(tmp_path / "store", *entries)
    for options in ({}, {"on_mismatch": "stretch"}):
        for _ in range(8):
            mixed = train(store, np.array, **options)
            np.testing.assert_array_equal(mixed[:, :32], expected_part(DATA, (0, 0, 32, 48), 48, 64))


def test_the_key_of_another_image_is_named_with_the_right_one(tmp_path):
    entries = [Entry("a.jpg", IMAGE, DATA), Entry("b.jpg", picture(3, 48, 64), DATA)]
    transform = HalfConcat(precomputed(make_store(tmp_path / "store", *entries)), p=1)
    with pytest.raises(ValueError, match=r"key is that of another image \(given 'b.jpg', .* these pixels as 'a.jpg'\)"):
        transform(image=IMAGE, diffusemix_metadata={"key": "b.jpg"})


ONE_BLOCK = np.zeros((48, 64, 3), np.uint8)
ONE_BLOCK[16:24, 40:48] = 1


@pytest.mark.parametrize("encoding", ["jpeg", "jpeg444", "raw"])
@pytest.mark.parametrize(
    ("change", "said"),
    [
        (MOVES["flipped left to right"], "the image is flipped left to right"),
        (lambda image: image ^ ONE_BLOCK, "the image has other pixels than its source"),
    ],
    ids=["flipped", "one block"],
)
def test_a_change_that_comes_only_at_the_third_read_is_found(tmp_path, encoding, change, said):
    entry = Entry("1.jpg", IMAGE, counterpart_of(IMAGE, 48, 64, encoding))
    store = precomputed(make_store(tmp_path / "store", entry, encoding=encoding))
    reads = iter([lambda image: image, lambda image: image, change])

    def read(image):
        return next(reads)(image)

    pipeline = A.Compose([Before(read), DiffuseMix(store, p=1)], seed=7)
    for _ in range(2):
        pipeline(image=IMAGE, diffusemix_metadata={"key": "1.jpg"})
    with pytest.raises(ValueError, match=said):
        pipeline(image=IMAGE, diffusemix_metadata={"key": "1.jpg"})
