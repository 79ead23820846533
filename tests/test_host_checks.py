"""What the hosts ask of each image-only transform, asked of ours, with each way to their counterparts."""

import multiprocessing

import albumentations as A
import numpy as np
import pytest
import torch
from conftest import make_image
from mixing_cases import CASES, make_mix, pixels_in_a_process

from albu_diffusemix._host import HOST
from albu_diffusemix.tracing import trace

SHAPES = [(12, 10), (12, 10, 1), (12, 10, 3), (12, 10, 5)]
VIEWS = {
    "mirrored": np.s_[:, :, ::-1],
    "thinned": np.s_[:, ::2],
    "BGR": np.s_[..., ::-1],
}
BOXES = {
    "pascal_voc": [[1, 2, 30, 40], [0, 0, 128, 96]],
    "coco": [[1, 2, 29, 38], [0, 0, 128, 96]],
    "yolo": [[0.5, 0.5, 0.25, 0.3], [0.1, 0.2, 0.1, 0.1]],
    "albumentations": [[0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1]],
}
KEYPOINTS = {
    "xy": [[5, 6], [70, 80]],
    "yx": [[6, 5], [80, 70]],
    "xya": [[5, 6, 30], [70, 80, 90]],
    "xys": [[5, 6, 2], [70, 80, 3]],
    "xyas": [[5, 6, 30, 2], [70, 80, 90, 3]],
    "xysa": [[5, 6, 2, 30], [70, 80, 3, 90]],
}
DUAL = A.HorizontalFlip(p=0)
"""Does nothing; without any transform that moves boxes and keypoints the hosts warn."""


@pytest.fixture(scope="session")
def stores(tmp_path_factory):
    return tmp_path_factory.mktemp("stores")


@pytest.fixture(params=CASES, ids=str)
def ready(request, stores):
    """Make each of the transforms ready for the images that it will see."""
    return lambda *images, **arguments: make_mix(request.param, stores, *images, **arguments)


@pytest.fixture(params=["uint8", "float32"])
def dtype(request):
    return request.param


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.fixture(params=["images", "volume", "volumes"])
def batch(request):
    return request.param


def stacked(target, images):
    """Images (N, H, W, ...) as a target of many takes them."""
    return images[None] if target == "volumes" else images


def test_an_image_keeps_its_dtype_and_shape_and_is_changed(ready, rng, shape, dtype):
    image = make_image(rng, shape, dtype)
    mixed = ready(image)(image=image)["image"]
    assert (mixed.dtype, mixed.shape) == (image.dtype, image.shape)
    assert not np.array_equal(mixed, image)


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1)])
def test_a_line_of_pixels_is_an_image(ready, rng, size, dtype):
    image = make_image(rng, (*size, 3), dtype)
    mixed = ready(image)(image=image)["image"]
    assert (mixed.dtype, mixed.shape) == (image.dtype, image.shape)


def test_a_batch_is_mixed_as_its_images_are_one_by_one(ready, rng, batch, shape):
    images = make_image(rng, (3, *shape), "uint8")
    mix = ready(*images)
    mixed = mix(**{batch: stacked(batch, images)})[batch]
    expected = np.stack([mix.alone(place)(image=image)["image"] for place, image in enumerate(images)])
    assert np.array_equal(mixed, stacked(batch, expected))


def test_an_additional_target_is_mixed_as_the_image_is(ready, rng, shape):
    image = make_image(rng, shape, "uint8")
    mixed = ready(image)(compose={"additional_targets": {"image2": "image"}}, image=image, image2=image)
    assert np.array_equal(mixed["image"], mixed["image2"])


def test_a_list_of_images_stays_a_list(ready, rng):
    images = list(make_image(rng, (2, 12, 10, 3), "uint8"))
    mix = ready(*images)
    mixed = mix(images=images)["images"]
    assert isinstance(mixed, list)
    assert np.array_equal(np.stack(mixed), mix(images=np.stack(images))["images"])


def test_an_empty_batch_stays_empty_where_the_host_takes_one(ready, rng, batch):
    mix = ready(make_image(rng, (12, 10, 3), "uint8"))
    empty = stacked(batch, np.zeros((2, 12, 10, 3), np.uint8))[:0]
    if HOST == "albumentationsx":
        assert mix(**{batch: empty})[batch].shape == empty.shape
        return
    with pytest.raises(IndexError):  # as it does for any transform
        A.Compose([A.HorizontalFlip(p=1)])(**{batch: empty})


def test_what_is_given_is_never_written_to(ready, rng, batch, dtype):
    images = make_image(rng, (2, 12, 10, 3), dtype)
    before = images.copy()
    mix = ready(*images)
    mix(**{batch: stacked(batch, images)})
    mix.alone(0)(image=images[0])
    assert np.array_equal(images, before)


def test_an_image_that_may_not_be_written_to_is_taken(ready, rng):
    image = make_image(rng, (12, 10, 3), "uint8")
    image.flags.writeable = False
    assert ready(image)(image=image)["image"].flags.writeable


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_view_gives_what_its_copy_gives_and_contiguous(ready, rng, batch, view):
    images = make_image(rng, (2, 24, 10, 3), "uint8")[view]
    mix, first = ready(*images), images[0]
    for given, target, mixing in ((stacked(batch, images), batch, mix), (first, "image", mix.alone(0))):
        assert not given.flags.c_contiguous
        mixed = mixing(**{target: given})[target]
        assert mixed.flags.c_contiguous
        assert np.array_equal(mixed, mixing(**{target: given.copy()})[target])


def test_the_methods_that_the_host_calls_give_contiguous_arrays_of_views(ready, rng):
    views = make_image(rng, (2, 24, 10, 3), "uint8")[VIEWS["mirrored"]]
    mix = ready(*views)
    with trace() as calls:
        mix.alone(0)(image=views[0])
    transform, params = calls[0].transform, calls[0].params
    assert transform.apply(views[0], **params).flags.c_contiguous
    assert transform.apply_to_images(views, **params).flags.c_contiguous
    assert transform.apply_to_volumes(views[None], **params).flags.c_contiguous


def test_float32_and_uint8_agree_to_two_decimals(ready, rng, shape):
    image = make_image(rng, shape, "uint8")
    mixed = ready(image)(image=image)["image"] / 255
    as_float = (image / 255).astype(np.float32)
    assert np.abs(ready(as_float)(image=as_float)["image"] - mixed).max() < 0.01


def test_masks_are_untouched(ready, photograph):
    mask = (photograph[..., 0] > 99).astype(np.uint8)
    mixed = ready(photograph)(image=photograph, mask=mask, masks=np.stack([mask, 1 - mask]))
    assert np.array_equal(mixed["mask"], mask)
    assert np.array_equal(mixed["masks"], np.stack([mask, 1 - mask]))


@pytest.mark.parametrize("name", BOXES)
def test_boxes_are_untouched_in_every_format(ready, photograph, name):
    boxes, compose = np.array(BOXES[name], np.float64), {"bbox_params": A.BboxParams(name, label_fields=["kinds"])}
    call = {"image": photograph, "bboxes": boxes, "kinds": ["cat", "dog"]}
    mixed = ready(photograph)(DUAL, compose=compose, **call)
    assert np.array_equal(mixed["bboxes"], A.Compose([DUAL], **compose)(**call)["bboxes"])
    assert np.allclose(mixed["bboxes"], boxes, atol=1e-4)
    assert list(mixed["kinds"]) == ["cat", "dog"]


@pytest.mark.parametrize("name", KEYPOINTS)
def test_keypoints_are_untouched_in_every_format(ready, photograph, name):
    points, compose = np.array(KEYPOINTS[name], np.float64), {"keypoint_params": A.KeypointParams(name)}
    call = {"image": photograph, "keypoints": points}
    mixed = ready(photograph)(DUAL, compose=compose, **call)
    assert np.array_equal(mixed["keypoints"], A.Compose([DUAL], **compose)(**call)["keypoints"])
    assert np.allclose(mixed["keypoints"], points, atol=1e-4)


def test_a_strict_pipeline_takes_it(ready, rng):
    image = make_image(rng, (12, 10, 3), "uint8")
    mixed = ready(image)(compose={"strict": True}, image=image)["image"]
    assert np.array_equal(mixed, ready(image)(image=image)["image"])


def test_with_a_probability_of_zero_the_very_image_comes_back(ready, rng):
    image = make_image(rng, (12, 10, 3), "uint8")
    assert ready(image, p=0)(image=image)["image"] is image


def test_a_tensor_can_be_made_of_what_comes_out(ready, rng, dtype):
    image = make_image(rng, (12, 10, 3), dtype)
    mix = ready(image)
    tensor = mix(A.ToTensorV2(), image=image)["image"]
    assert np.array_equal(tensor.permute(1, 2, 0).numpy(), mix(image=image)["image"])


def test_a_tensor_goes_in_where_the_host_takes_one(ready, rng):
    image = make_image(rng, (12, 10, 3), "uint8")
    mix, tensor = ready(image), torch.from_numpy(image).permute(2, 0, 1).contiguous()
    if HOST == "albumentationsx":
        mixed = mix(image=tensor)["image"]
        assert np.array_equal(mixed.permute(1, 2, 0).numpy(), mix(image=image)["image"])
        return
    with pytest.raises(TypeError, match="numpy array"):  # as it does for any transform
        A.Compose([A.HorizontalFlip(p=1)])(image=tensor)


def test_a_pool_of_spawned_processes_gives_the_same_pictures(stores, rng):
    image = make_image(rng, (12, 10, 3), "uint8")
    mixes = [make_mix(case, stores, image) for case in CASES]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pictures = pool.starmap(pixels_in_a_process, [(mix, image) for mix in mixes])
    assert np.array_equal(np.stack(pictures), np.stack([mix(image=image)["image"] for mix in mixes]))
