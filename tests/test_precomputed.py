import pickle
from collections import Counter

import albumentations as A
import cv2
import numpy as np
import pytest
from precomputed_files import (
    Entry,
    counterpart_of,
    decoded,
    expected_part,
    make_store,
    noise,
    picture,
    precomputed,
)

from albu_diffusemix import DiffuseMix, HalfConcat, mixing, unmixed_images
from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.backends.precomputed import Precomputed
from albu_diffusemix.functional import match_format
from albu_diffusemix.images import write_image
from albu_diffusemix.jpeg import encode
from albu_diffusemix.masks import MASKS
from albu_diffusemix.store import Recipe, Source, Store
from albu_diffusemix.tracing import trace

IMAGE = picture(1, 48, 64)
WHOLE = (0, 0, 64, 48)


def flat(level):
    return encode(np.full((48, 64, 3), level, np.uint8))


@pytest.fixture
def store(tmp_path):
    """One image with four counterparts: flat ones that tell which they are."""
    variants = [("snowy", "a", 40), ("snowy", "b", 80), ("sunset", "c", 120), ("sunset", "d", 160)]
    entries = [Entry("class/001.jpg", IMAGE, flat(level), prompt, variant) for prompt, variant, level in variants]
    return make_store(tmp_path / "flowers.dm", *entries)


def ask(backend, image=IMAGE, prompt=None, seed=0, key="class/001.jpg", box=WHOLE):
    [counterpart] = backend.generate([Request(image, prompt, seed, key, box)])
    return counterpart


def level_of(backend, **request):
    return int(ask(backend, **request).image[0, 0, 0])


# Choosing


def test_every_counterpart_of_the_image_is_chosen_by_some_seed_and_always_by_the_same(store):
    backend = Precomputed(store)
    levels = [level_of(backend, seed=seed) for seed in range(8)]
    assert set(levels) == {40, 80, 120, 160}
    assert [level_of(Precomputed(store), seed=seed) for seed in range(8)] == levels


def test_a_prompt_chooses_among_its_own_counterparts_and_is_reported(store):
    answers = [ask(Precomputed(store), prompt="sunset", seed=seed) for seed in range(8)]
    assert {int(answer.image[0, 0, 0]) for answer in answers} == {120, 160}
    assert {answer.prompt for answer in answers} == {"sunset"}


def test_without_a_key_the_pixels_find_the_same_counterparts(store):
    backend = Precomputed(store)
    assert [level_of(backend, seed=seed, key=None) for seed in range(8)] == [
        level_of(backend, seed=seed) for seed in range(8)
    ]


def test_a_key_in_decomposed_unicode_finds_its_counterpart(tmp_path):
    store = make_store(tmp_path / "store", Entry("caf\u00e9/1.jpg", IMAGE, flat(40)))
    assert level_of(Precomputed(store), key="cafe\u0301/1.jpg") == 40


def test_answers_come_in_the_order_of_the_requests(tmp_path):
    images = [picture(seed, 48, 64) for seed in range(5)]
    store = make_store(tmp_path / "store", *(Entry(f"{n}.jpg", image, flat(40 * n)) for n, image in enumerate(images)))
    requests = [Request(images[n], None, 0, f"{n}.jpg", WHOLE) for n in (3, 0, 4, 1)]
    assert [int(answer.image[0, 0, 0]) // 40 for answer in Precomputed(store).generate(requests)] == [3, 0, 4, 1]


def test_a_replay_gives_the_same_image(store, fractals):
    pipeline = A.ReplayCompose([DiffuseMix(precomputed(store), fractals=fractals, p=1)])
    for _ in range(8):
        done = pipeline(image=IMAGE, diffusemix_metadata={"key": "class/001.jpg"})
        np.testing.assert_array_equal(A.ReplayCompose.replay(done["replay"], image=IMAGE)["image"], done["image"])


def test_a_pipeline_from_yaml_gives_the_same_image(store, tmp_path):
    pipeline = A.Compose([HalfConcat(precomputed(store), p=1)])
    A.save(pipeline, tmp_path / "pipeline.yaml", data_format="yaml")
    loaded = A.load(tmp_path / "pipeline.yaml", data_format="yaml")
    for either in (pipeline, loaded):
        either.set_random_seed(5)
    np.testing.assert_array_equal(loaded(image=IMAGE)["image"], pipeline(image=IMAGE)["image"])


# Pixels

SIZES = {
    "equal": ((48, 64), (48, 64)),
    "odd": ((37, 53), (32, 48)),
    "odd as it is": ((37, 53), (37, 53)),
    "larger": ((375, 500), (256, 336)),
    "much larger": ((480, 41), (144, 16)),
    "smaller": ((5, 3), (16, 16)),
    "a pixel": ((1, 1), (16, 16)),
    "a pixel as it is": ((1, 1), (1, 1)),
}


@pytest.mark.parametrize("seam_width", [0.0, 0.3])
@pytest.mark.parametrize("mask_type", MASKS)
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("encoding", ["jpeg", "jpeg444", "raw"])
def test_pixels_are_those_of_the_whole_counterpart_cut_out_and_resized(tmp_path, encoding, size, mask_type, seam_width):
    (height, width), stored = SIZES[size]
    image = picture(3, height, width)
    data = counterpart_of(image, *stored, encoding)
    store = make_store(tmp_path / "store", Entry("1.jpg", image, data), encoding=encoding)
    check_hybrid(image, data, HalfConcat(precomputed(store), mask_types=(mask_type,), seam_width=seam_width, p=1))


@pytest.mark.parametrize("mask_type", ["left", "bottom", "mixup", "whole"])
@pytest.mark.parametrize("kind", ["grey", "one channel", "float32", "float32 grey", "four channels", "five channels"])
@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_other_formats_of_the_image_get_the_same_part(tmp_path, encoding, kind, mask_type):
    rgb = picture(4, 37, 53)
    image = {
        "grey": rgb[..., 0],
        "one channel": rgb[..., :1],
        "float32": rgb / np.float32(255),
        "float32 grey": rgb[..., 0] / np.float32(255),
        "four channels": np.dstack([rgb, rgb[..., 0]]),
        "five channels": np.concatenate([rgb, rgb[..., :2]], axis=2),
    }[kind]
    source = cv2.cvtColor(rgb[..., 0], cv2.COLOR_GRAY2RGB) if "grey" in kind or kind == "one channel" else rgb
    data = counterpart_of(rgb, 32, 48, encoding)
    store = make_store(tmp_path / "store", Entry("1.jpg", source, data), encoding=encoding)
    check_hybrid(np.ascontiguousarray(image), data, HalfConcat(precomputed(store), mask_types=(mask_type,), p=1))


def check_hybrid(image, data, transform):
    mask = MASKS[transform.mask_types[0]]
    for seed in range(3):
        pipeline = A.Compose([transform], seed=seed)
        with trace() as calls:
            mixed = pipeline(image=image, diffusemix_metadata={"key": "1.jpg"})["image"]
        params = calls[0].params["mask_params"]
        box = mask.box(*image.shape[:2], transform.seam_width, params)
        x_min, y_min, x_max, y_max = box
        if x_min == x_max or y_min == y_max:
            continue
        part = match_format(expected_part(data, box, *image.shape[:2]), image[y_min:y_max, x_min:x_max])
        np.testing.assert_array_equal(mixed, mask.hybrid(image, part, transform.seam_width, params))


@pytest.mark.parametrize(
    "box", [(0, 0, 1, 1), (250, 200, 251, 201), (499, 0, 500, 375), (0, 374, 500, 375), (2, 3, 4, 5)]
)
def test_a_box_thinner_than_a_stored_pixel_gets_the_one_it_lies_on(tmp_path, box):
    image = picture(3, 375, 500)
    data = counterpart_of(image, 16, 16)
    backend = Precomputed(make_store(tmp_path / "store", Entry("1.jpg", image, data)))
    np.testing.assert_array_equal(ask(backend, image, key="1.jpg", box=box).image, expected_part(data, box, 375, 500))


@pytest.mark.parametrize("ending", [".png", ".webp", ".jpg"])
def test_images_that_others_encoded_give_the_same_part(tmp_path, ending):
    data = cv2.imencode(ending, picture(5, 96, 128)[..., ::-1])[1].tobytes()
    backend = Precomputed(make_store(tmp_path / "store", Entry("1.jpg", IMAGE, data)))
    for box in (WHOLE, (0, 0, 32, 48), (3, 5, 4, 48)):
        got = ask(backend, key="1.jpg", box=box).image
        np.testing.assert_array_equal(got, expected_part(data, box, 48, 64))
        assert got.flags["C_CONTIGUOUS"]


@pytest.mark.parametrize("ending", [".png", ".jpg"])
def test_a_grey_counterpart_is_replicated(tmp_path, ending):
    data = cv2.imencode(ending, picture(5, 48, 64)[..., 0])[1].tobytes()
    part = ask(Precomputed(make_store(tmp_path / "store", Entry("1.jpg", IMAGE, data))), key="1.jpg").image
    np.testing.assert_array_equal(part, decoded(data))


def test_a_list_of_images_finds_the_counterpart_of_each(tmp_path):
    images = [picture(seed, 48, 64) for seed in range(3)]
    store = make_store(tmp_path / "store", *(Entry(f"{n}.jpg", image, flat(50 * n)) for n, image in enumerate(images)))
    mixed = A.Compose([HalfConcat(precomputed(store), mask_types=("left",), p=1)])(images=np.stack(images))["images"]
    assert [int(image[0, 0, 0]) for image in mixed] == [0, 50, 100]
    assert all((image[:, 32:] == source[:, 32:]).all() for image, source in zip(mixed, images, strict=True))


# What is missing


def test_a_miss_names_the_key_the_store_its_size_and_a_key_of_it(store):
    with pytest.raises(
        ValueError, match=r"key 'other.jpg' among the 1 sources of .*flowers.dm: .*like 'class/001.jpg'"
    ):
        ask(Precomputed(store), key="other.jpg", image=noise(0, 8, 8))


@pytest.mark.parametrize("key", ["train/class/001.jpg", "001.jpg", "class/001", "class/001.png"])
def test_a_key_with_other_folders_or_ending_is_told_the_one_that_is_there(store, key):
    with pytest.raises(
        ValueError, match=rf"asked for '{key}', the store has 'class/001.jpg'.*relative to the same root"
    ):
        ask(Precomputed(store), key=key, image=noise(0, 8, 8))


def test_a_key_with_a_folder_that_no_key_may_begin_with_is_a_plain_miss(store):
    with pytest.raises(ValueError, match=r"the store has no such key"):
        ask(Precomputed(store), key="train/__cache__/9.gif", image=noise(0, 8, 8))


def test_a_key_of_its_own_is_told_under_which_one_the_store_has_its_pixels(store):
    with pytest.raises(ValueError, match=r"under another key .*'bird.png', the store has 'class/001.jpg'"):
        ask(Precomputed(store), key="bird.png")


def test_a_key_that_is_not_valid_is_refused(store):
    with pytest.raises(ValueError, match=r"'/data/1.jpg' is absolute"):
        ask(Precomputed(store, on_miss="passthrough"), key="/data/1.jpg")


def test_a_failure_says_why_there_is_no_image(store):
    with Store.create(store, Store.open(store).recipe).writer() as writer:
        writer.fail("class/002.jpg", "a", "blank", prompt="snowy")
    with pytest.raises(ValueError, match=r"no counterpart could be made: blank: .*--retry-failed"):
        ask(Precomputed(store), key="class/002.jpg", image=noise(0, 8, 8))


def test_an_empty_store_says_that_it_is(tmp_path):
    backend = Precomputed(make_store(tmp_path / "store"))
    for key in ("1.jpg", None):
        with pytest.raises(ValueError, match=r"among the 0 sources of .*: the store is empty: run generate"):
            ask(backend, key=key)


def test_an_image_without_the_wanted_prompt_says_which_it_has(tmp_path):
    store = make_store(tmp_path / "store", Entry("1.jpg", IMAGE, flat(40), "snowy"))
    with pytest.raises(ValueError, match=r"other prompts than 'sunset' \(snowy\): leave prompts=None"):
        ask(Precomputed(store), key="1.jpg", prompt="sunset")


def test_unknown_pixels_without_a_key_say_so(store):
    with pytest.raises(ValueError, match=r"given no key.* no source in the store has these pixels \(9x8\)"):
        ask(Precomputed(store), key=None, image=noise(0, 8, 9))


def test_a_miss_passes_through_with_one_warning_and_a_count(store, fractals, monkeypatch):
    monkeypatch.setattr(mixing, "_unmixed", Counter())
    pipeline = A.Compose([DiffuseMix(precomputed(store, on_miss="passthrough"), fractals=fractals, p=1)])
    image, metadata = noise(0, 8, 8), {"key": "other.jpg"}
    with pytest.warns(UserWarning, match=r"a counterpart is 'missing'") as caught:
        mixed = [pipeline(image=image, diffusemix_metadata=metadata)["image"] for _ in range(3)]
    assert all((out == image).all() for out in mixed)
    assert len(caught) == 1
    assert unmixed_images() == {"missing": 3}


# Opening


def test_construction_complains_where_there_is_no_store(tmp_path):
    with pytest.raises(ValueError, match=r"no store at .*nowhere"):
        create_backend(precomputed(str(tmp_path / "nowhere")))
    (tmp_path / "photos").mkdir()
    write_image(tmp_path / "photos/1.png", IMAGE)
    with pytest.raises(ValueError, match=r"photos has no store.json: it is not a store"):
        DiffuseMix(precomputed(str(tmp_path / "photos")))


def test_construction_complains_of_a_newer_format(tmp_path, store):
    file = tmp_path / "flowers.dm/store.json"
    file.write_text(file.read_text().replace('"version": 2', '"version": 99'))
    with pytest.raises(ValueError, match=r"format version 99, newer than 2: update"):
        Precomputed(store)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"on_miss": "skip"}, "on_miss must be 'error' or 'passthrough'; got 'skip'"),
        ({"on_mismatch": None}, "on_mismatch must be 'error' or 'stretch'; got None"),
        ({"store": ""}, "store must be the path of a store's folder; got ''"),
        ({"store": 3}, "store must be the path of a store's folder; got 3"),
        ({"size": 3}, "no option 'size'; allowed: store, on_miss, on_mismatch"),
    ],
)
def test_construction_complains_of_bad_options(store, options, complaint):
    with pytest.raises(ValueError, match=complaint):
        create_backend({**precomputed(store), **options})


def test_a_prompt_that_the_store_does_not_have_is_refused_when_the_transform_is_built(store):
    with pytest.raises(
        ValueError, match=r"no counterpart in .*flowers.dm has the prompt 'rain'; it has: 'snowy', 'sunset'"
    ):
        DiffuseMix(precomputed(store), prompts=("rain",))


def test_prompts_of_mixed_recipes_are_known_too(store):
    Store.create(store, Recipe("procedural", "beef", ("aurora",)), allow_mixed=True)
    Precomputed(store).check_prompt("aurora")


def test_the_fingerprint_tells_stores_and_their_use_apart(tmp_path, store):
    other = make_store(tmp_path / "other", prompts=("aurora",))
    specs = [precomputed(store), precomputed(other), precomputed(store, on_mismatch=r"stretch")]
    assert len({create_backend(spec).fingerprint for spec in specs}) == 3
    assert create_backend(specs[0]).fingerprint == Precomputed(store).fingerprint


def test_it_says_what_it_is(store):
    assert repr(Precomputed(store)) == f"Precomputed({store!r}, on_miss='error', on_mismatch='error')"


def test_a_pickle_is_small_and_opens_the_store_again(store):
    backend = Precomputed(store)
    ask(backend)
    pickled = pickle.dumps(backend)
    assert len(pickled) < 500
    assert level_of(pickle.loads(pickled), seed=2) == level_of(backend, seed=2)  # noqa: S301  pickled just above


def test_a_damaged_counterpart_is_an_error_and_no_picture(tmp_path, store):
    record = Store.open(store).find("class/001.jpg", "a")
    part = tmp_path / "flowers.dm/parts" / f"{record.location.part}.tar"
    data = bytearray(part.read_bytes())
    data[record.location.offset + record.location.length // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ValueError, match=r"the image of class/001.jpg a is not as written"):
        ask(Precomputed(store), seed=0)


def test_a_file_that_no_decoder_reads_is_named(tmp_path):
    store = make_store(tmp_path / "store", Entry("1.jpg", IMAGE, b"\xff\xd8\xffnothing"))
    with pytest.raises(ValueError, match=r"1.jpg 0000 in .*store cannot be decoded: .*JPEG"):
        ask(Precomputed(store), key="1.jpg")
    store = make_store(tmp_path / "second", Entry("1.jpg", IMAGE, b"\x89PNG\r\n\x1a\nnothing"))
    with pytest.raises(ValueError, match=r"1.jpg 0000 in .*second cannot be decoded: OpenCV reads no png"):
        ask(Precomputed(store), key="1.jpg")


def test_a_part_sealed_after_the_first_look_is_seen_when_the_store_is_opened_again(store):
    backend, image = Precomputed(store), noise(0, 48, 64)
    with Store.create(store, Store.open(store).recipe).writer() as writer:
        writer.put("new.jpg", "a", flat(200), prompt="snowy", seed=1, source=Source.of(image))
    with pytest.raises(ValueError, match=r"no counterpart for key 'new.jpg'"):
        ask(backend, key="new.jpg", image=image)
    assert level_of(Precomputed(store), key="new.jpg", image=image) == 200
