"""What `save_applied_params` says of a call, on either host: what was really done."""

import albumentations as A
import numpy as np
import pytest
from conftest import drawn
from precomputed_files import Entry, make_store, picture, precomputed

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix._host import HOST
from albu_diffusemix.jpeg import encode
from albu_diffusemix.tracing import trace


@pytest.fixture
def pipeline(fractals):
    return A.Compose(
        [
            DiffuseMix(prompts=("snowy", "sunset"), fractals=fractals, alpha_range=(0.1, 0.9), p=1),
            HalfConcat(prompts=("snowy", "sunset"), p=1),
            FractalBlend(fractals=fractals, alpha_range=(0.1, 0.9), p=1),
            DiffuseMix(fractals=fractals, p=0),
        ],
        save_applied_params=True,
    )


@pytest.fixture
def calls(pipeline, photograph):
    """For each of ten calls: what was recorded, and what our transforms drew."""
    found = []
    for _ in range(10):
        out = {}
        params = drawn(lambda **data: out.update(pipeline(**data)), image=photograph)  # noqa: B023  called at once
        found.append((out["applied_transforms"], params))
    return found


def test_each_transform_that_was_applied_is_named_once_and_in_order(calls):
    for applied, _ in calls:
        names = [name.rpartition(".")[2] for name, _ in applied]
        assert names == ["DiffuseMix", "HalfConcat", "FractalBlend"]


@pytest.mark.skipif(HOST != "albumentations", reason="AlbumentationsX records arguments")
def test_the_mit_host_records_everything_that_was_drawn(calls):
    for applied, params in calls:
        for (_, recorded), sampled in zip(applied, params, strict=True):
            assert sampled.items() <= recorded.items()


@pytest.mark.skipif(HOST != "albumentationsx", reason="the MIT host records what was drawn")
def test_albumentationsx_records_the_arguments_that_fix_what_was_drawn(calls):
    for applied, params in calls:
        mix, concat, blend = (recorded for _, recorded in applied)
        assert mix["prompts"] == (params[0]["prompt"],)
        assert mix["mask_types"] == (params[0]["mask_type"],)
        assert mix["alpha_range"] == (params[0]["alpha"],) * 2
        assert concat["mask_types"] == (params[1]["mask_type"],)
        assert blend["alpha_range"] == (params[2]["alpha"],) * 2


@pytest.mark.skipif(HOST != "albumentationsx", reason="a method of AlbumentationsX")
def test_a_pipeline_rebuilt_from_the_record_repeats_its_choices(calls, photograph):
    for applied, params in calls:
        rebuilt = A.Compose.from_applied_transforms(applied)
        for again, before in zip(drawn(rebuilt, image=photograph), params, strict=True):
            assert {again.get(name) for name in ("prompt", "mask_type", "alpha")} == {
                before.get(name) for name in ("prompt", "mask_type", "alpha")
            }


# Counterparts of a store

IMAGE, OTHER = picture(1, 48, 64), picture(2, 48, 64)
KEY = {"key": "a.jpg"}
LEVELS = {40: ("snowy", "0000"), 80: ("snowy", "0001"), 120: ("sunset", "0002"), 160: ("sunset", "0003")}
"""The grey level of each counterpart, and what it was made as."""


def entries(key, image, levels=LEVELS):
    flat = {level: encode(np.full((48, 64, 3), level, np.uint8)) for level in levels}
    return [Entry(key, image, flat[level], *LEVELS[level]) for level in levels]


@pytest.fixture
def store(tmp_path):
    return make_store(tmp_path / "store", *entries("a.jpg", IMAGE), *entries("b.jpg", OTHER, [160]))


def whole(store, **options):
    return HalfConcat(precomputed(store, **options), mask_types=("whole",), p=1)


def taken(image):
    return LEVELS[int(image[0, 0, 0])]


@pytest.mark.parametrize("metadata", [{}, KEY])
def test_a_replay_says_which_counterpart_was_taken(store, metadata):
    pipeline = A.ReplayCompose([whole(store)])
    seen = set()
    for _ in range(20):
        done = pipeline(image=IMAGE, diffusemix_metadata=metadata)
        params = done["replay"]["transforms"][0]["params"]
        params = params["params"] if HOST == "albumentationsx" else params
        assert (params["prompt"], params["variant"]) == taken(done["image"])
        seen.add(params["variant"])
    assert len(seen) > 1


def test_a_trace_says_which_counterpart_was_taken(store):
    pipeline = A.Compose([whole(store)])
    for _ in range(10):
        with trace() as calls:
            image = pipeline(image=IMAGE, diffusemix_metadata=KEY)["image"]
        assert (calls[0].params["prompt"], calls[0].params["variant"]) == taken(image)


def applied(pipeline, **data):
    done = pipeline(**data)
    [(_, recorded)] = done["applied_transforms"]
    return done["image"], recorded


@pytest.mark.skipif(HOST != "albumentations", reason="AlbumentationsX records arguments")
def test_the_mit_host_records_which_counterpart_was_taken(store):
    pipeline = A.Compose([whole(store)], save_applied_params=True)
    for _ in range(10):
        image, recorded = applied(pipeline, image=IMAGE, diffusemix_metadata=KEY)
        assert (recorded["prompt"], recorded["variant"]) == taken(image)


@pytest.mark.skipif(HOST != "albumentationsx", reason="the MIT host records what was drawn")
def test_albumentationsx_records_the_arguments_that_take_the_same_counterpart_again(store):
    pipeline = A.Compose([whole(store)], save_applied_params=True)
    for _ in range(10):
        image, recorded = applied(pipeline, image=IMAGE, diffusemix_metadata=KEY)
        prompt, variant = taken(image)
        assert recorded["prompts"] == (prompt,)
        assert recorded["backend"] == precomputed(store, variant=variant)
        rebuilt = A.Compose.from_applied_transforms([(HalfConcat.get_class_fullname(), recorded)])
        np.testing.assert_array_equal(rebuilt(image=IMAGE, diffusemix_metadata=KEY)["image"], image)


def test_a_replay_takes_the_same_counterpart_after_the_store_grew(tmp_path):
    store = make_store(tmp_path / "store", *entries("a.jpg", IMAGE, [80, 160]))
    done = [A.ReplayCompose([whole(store)])(image=IMAGE, diffusemix_metadata=KEY) for _ in range(10)]
    grown = make_store(tmp_path / "grown", *entries("a.jpg", IMAGE))
    for each in done:
        replay = {**each["replay"], "transforms": [{**each["replay"]["transforms"][0], "backend": precomputed(grown)}]}
        np.testing.assert_array_equal(A.ReplayCompose.replay(replay, image=IMAGE)["image"], each["image"])


def test_a_replay_on_an_image_without_that_counterpart_takes_one_that_it_has(store):
    pipeline = A.ReplayCompose([whole(store)])
    for _ in range(10):
        replay = pipeline(image=IMAGE)["replay"]
        assert taken(A.ReplayCompose.replay(replay, image=OTHER)["image"]) == LEVELS[160]


def test_a_batch_says_what_each_image_took(store):
    pipeline = A.ReplayCompose([whole(store)])
    for _ in range(10):
        done = pipeline(images=np.stack([IMAGE, OTHER]))
        params = done["replay"]["transforms"][0]["params"]
        params = params["params"] if HOST == "albumentationsx" else params
        each = [taken(image) for image in done["images"]]
        prompts, variants = map(list, zip(*each, strict=True))
        assert params["prompt"] == (prompts if len(set(prompts)) > 1 else prompts[0])
        assert params["variant"] == (variants if len(set(variants)) > 1 else variants[0])
        again = A.ReplayCompose.replay(done["replay"], images=np.stack([IMAGE, OTHER]))["images"]
        np.testing.assert_array_equal(again, done["images"])


def test_a_spec_may_name_the_variant_that_is_taken(store):
    pipeline = A.Compose([whole(store, variant="0001")])
    assert {taken(pipeline(image=IMAGE)["image"]) for _ in range(10)} == {LEVELS[80]}


def test_an_image_that_has_not_the_variant_of_the_spec_is_told_of_with_those_it_has(store):
    pipeline = A.Compose([whole(store, variant="0001")])
    with pytest.raises(ValueError, match=r"no such counterpart of the variant '0001' \(it has '0003'\)"):
        pipeline(image=OTHER)
