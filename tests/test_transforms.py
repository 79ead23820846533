import json
import pickle
import warnings
from copy import deepcopy

import albumentations as A
import numpy as np
import pytest
from conftest import Inverting, drawn, make_image
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from albu_diffusemix import PRESETS, DiffuseMix, FractalBlend, HalfConcat, unmixed_images
from albu_diffusemix.functional import fractal_blend, half_concat
from albu_diffusemix.masks import MASKS

SIZES = [(1, 1), (1, 6), (2, 2), (7, 5), (64, 48)]
FORMATS = [((), "uint8"), ((1,), "uint8"), ((3,), "uint8"), ((5,), "uint8"), ((), "float32"), ((3,), "float32")]


def inverting(**arguments):
    return HalfConcat(backend="inverting", p=1, **arguments)


@pytest.fixture
def transforms(fractals):
    return [
        HalfConcat(backend="inverting", p=1),
        FractalBlend(fractals=fractals, p=1),
        DiffuseMix(backend="inverting", fractals=fractals, p=1),
    ]


def test_half_concat_is_equation_1_on_a_pipelines_image(photograph):
    transform = inverting(mask_types=("bottom",))
    expected = half_concat(photograph, 255 - photograph, "bottom")
    assert np.array_equal(A.Compose([transform])(image=photograph)["image"], expected)


def test_diffusemix_is_half_concat_and_then_fractal_blend(photograph, fractals):
    transform = DiffuseMix(backend="inverting", fractals=fractals, mask_types=("left",), alpha_range=(0.5, 0.5), p=1)
    blend = FractalBlend(fractals=fractals, alpha_range=(0.5, 0.5), p=1)
    params = {"fractal_index": 1, "alpha": 0.5, "mask_type": "left", "mask_params": {}}
    hybrid = half_concat(photograph, 255 - photograph, "left")
    mixed = transform.apply(photograph, **params, prompt=None, seed=0, key=None)
    assert np.array_equal(mixed, blend.apply(hybrid, **params))


@pytest.mark.parametrize("side", [20, 100])
@pytest.mark.parametrize("mask_type", MASKS)
@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
def test_diffusemix_blends_where_the_fractal_is_remembered_and_where_it_is_not(
    rng, fractals, mask_type, side, channels, dtype
):
    image = make_image(rng, (side, side, *channels), dtype)
    concat = {"backend": "inverting", "seam_width": 0.3, "mask_types": (mask_type,), "p": 1}
    transform = DiffuseMix(fractals=fractals, alpha_range=(0.4, 0.4), **concat)
    params = transform.sample(transform.py_random, {})
    hybrid = HalfConcat(**concat).apply(image, **params)
    expected = FractalBlend(fractals=fractals, p=1).apply(hybrid, **params)
    for _ in range(3):
        np.testing.assert_allclose(transform.apply(image, **params), expected, atol=1e-6)


def test_presets_are_arguments(photograph, fractals):
    for preset in PRESETS.values():
        transform = DiffuseMix(backend="inverting", fractals=fractals, **preset, p=1)
        assert A.Compose([transform])(image=photograph)["image"].shape == photograph.shape


def test_the_official_preset_puts_the_counterpart_right_or_below_with_a_seam():
    transform = HalfConcat("inverting", **{k: v for k, v in PRESETS["official"].items() if k != "alpha_range"}, p=1)
    pipeline = A.Compose([transform], seed=1)
    hybrids = {pipeline(image=np.zeros((256, 256), np.uint8))["image"].tobytes() for _ in range(20)}
    expected = {
        half_concat(np.zeros((256, 256), np.uint8), np.full((256, 256), 255, np.uint8), half, 20 / 256).tobytes()
        for half in ("right", "bottom")
    }
    assert hybrids == expected


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("channels", "dtype"), FORMATS)
def test_every_size_and_format_comes_back_in_its_own_format(rng, transforms, size, channels, dtype):
    image = make_image(rng, size + channels, dtype)
    before = image.copy()
    for transform in transforms:
        mixed = A.Compose([transform], seed=3)(image=image)["image"]
        assert (mixed.shape, mixed.dtype) == (image.shape, image.dtype)
        assert mixed.flags.c_contiguous
        assert np.array_equal(image, before)


@pytest.mark.parametrize("mask_type", MASKS)
@pytest.mark.parametrize("size", [(1, 1), (2, 3), (255, 256)])
def test_every_mask_takes_every_size(rng, mask_type, size):
    image = make_image(rng, (*size, 3), "uint8")
    for seed in range(5):
        mixed = A.Compose([inverting(mask_types=(mask_type,))], seed=seed)(image=image)["image"]
        assert mixed.shape == image.shape


@pytest.mark.parametrize("seam_width", [0.0, 0.5])
def test_the_mask_whole_gives_the_counterpart_as_it_is(photograph, seam_width):
    transform = HalfConcat("inverting", mask_types=("whole",), seam_width=seam_width, p=1)
    assert np.array_equal(transform(image=photograph)["image"], 255 - photograph)


def test_the_whole_counterpart_gets_a_fractal(photograph, fractals):
    transform = DiffuseMix("inverting", mask_types=("whole",), alpha_range=(0.2, 0.2), fractals=fractals, p=1)
    mixed = A.Compose([transform], seed=3)(image=photograph)["image"].astype(int)
    assert np.abs(mixed - 0.8 * (255 - photograph.astype(int))).max() <= 0.2 * 255 + 1
    assert not np.array_equal(mixed, 255 - photograph)


def test_masks_boxes_keypoints_and_labels_stay_as_they_are(photograph, transforms):
    mask = (photograph[..., 0] > 99).astype(np.uint8)
    boxes, keypoints = np.array([[1.0, 2.0, 30.0, 40.0]]), np.array([[5.0, 6.0], [70.0, 80.0]])
    for transform in transforms:
        pipeline = A.Compose(
            [transform, A.HorizontalFlip(p=0)],
            bbox_params=A.BboxParams("pascal_voc", label_fields=["names"]),
            keypoint_params=A.KeypointParams("xy"),
        )
        out = pipeline(image=photograph, mask=mask, masks=[mask], bboxes=boxes, keypoints=keypoints, names=["cat"])
        assert not np.array_equal(out["image"], photograph)
        assert np.array_equal(out["mask"], mask)
        assert np.array_equal(out["masks"][0], mask)
        assert np.allclose(out["bboxes"], boxes)
        assert np.allclose(out["keypoints"], keypoints)
        assert out["names"] == ["cat"]


def test_p_of_zero_gives_the_same_object_back(photograph):
    for transform in (HalfConcat("inverting", p=0), DiffuseMix("inverting", p=0), FractalBlend(p=0)):
        assert transform(image=photograph)["image"] is photograph


def test_images_and_volumes_are_mixed_as_single_images_are(rng, transforms):
    images = make_image(rng, (3, 16, 12, 3), "uint8")
    for transform in transforms:
        pipeline = A.Compose([transform], additional_targets={"image2": "image"}, seed=5)
        out = pipeline(image=images[0], image2=images[1], images=images)
        assert np.array_equal(out["images"][0], out["image"])
        assert np.array_equal(out["images"][1], out["image2"])

        out = A.Compose([transform], seed=5)(volume=images, volumes=images[None], images=images)
        assert np.array_equal(out["volume"], out["images"])
        assert np.array_equal(out["volumes"][0], out["images"])


def test_an_empty_batch_stays_empty(transforms):
    empty = np.zeros((0, 8, 8, 3), np.uint8)
    for transform in transforms:
        assert transform.apply_to_images(empty).shape == empty.shape
        assert transform.apply_to_volumes(empty[None][:0]).shape == (0, 0, 8, 8, 3)


def test_a_list_of_images_of_several_sizes_stays_a_list(rng, transforms):
    images = [make_image(rng, (8, 9, 3), "uint8"), make_image(rng, (10, 7, 3), "uint8")]
    for transform in transforms:
        params = {"mask_type": "left", "mask_params": {}, "prompt": None, "seed": 0, "key": None}
        mixed = transform.apply_to_images(images, **params, alpha=0.2, fractal_index=0)
        assert [image.shape for image in mixed] == [image.shape for image in images]


def test_the_same_seed_gives_the_same_pictures(photograph, transforms):
    for transform in transforms:
        first, second = (A.Compose([deepcopy(transform)], seed=7) for _ in range(2))
        for _ in range(4):
            assert np.array_equal(first(image=photograph)["image"], second(image=photograph)["image"])


def test_sampled_parameters_are_plain_data(photograph, transforms):
    for transform in transforms:
        [params] = drawn(A.Compose([transform]), image=photograph)
        assert "alpha" in params or "seed" in params
        assert json.loads(json.dumps(params)) == params


def test_two_transforms_of_one_pipeline_draw_different_numbers(photograph, fractals):
    transforms = [HalfConcat("inverting", p=1), DiffuseMix("inverting", fractals=fractals, p=1)]
    first, second = drawn(A.Compose(transforms, seed=11), image=photograph)
    assert first["seed"] != second["seed"]


def test_a_replay_repeats_the_picture_and_serves_another_image(photograph, transforms):
    for transform in transforms:
        recorded = A.ReplayCompose([transform])(image=photograph)
        again = A.ReplayCompose.replay(recorded["replay"], image=photograph)
        assert np.array_equal(again["image"], recorded["image"])
        other = A.ReplayCompose.replay(recorded["replay"], image=photograph[::-1])
        assert other["image"].shape == photograph.shape


@pytest.mark.parametrize("data_format", ["yaml", "json"])
def test_saved_pipelines_load_and_give_the_same_pictures(tmp_path, photograph, transforms, data_format):
    for transform in transforms:
        pipeline = A.Compose([transform, A.HorizontalFlip()], seed=13)
        path = tmp_path / f"pipeline.{data_format}"
        A.save(pipeline, path, data_format=data_format)
        loaded = A.load(path, data_format=data_format)
        loaded.set_random_seed(13)
        assert A.to_dict(loaded)["transform"]["transforms"] == A.to_dict(pipeline)["transform"]["transforms"]
        assert np.array_equal(loaded(image=photograph)["image"], pipeline(image=photograph)["image"])


def test_a_spec_whose_options_come_back_in_another_order_draws_the_same(photograph):
    specs = [{"name": "inverting", "status": "ok"}, {"status": "ok", "name": "inverting"}]
    first, second = (A.Compose([HalfConcat(spec, p=1)], seed=5)(image=photograph)["image"] for spec in specs)
    assert np.array_equal(first, second)


def test_pickled_transforms_are_small_and_give_the_same_pictures(photograph, transforms):
    for transform in transforms:
        pipeline = A.Compose([transform], seed=17)
        pipeline(image=photograph)
        data = pickle.dumps(pipeline)
        assert len(data) < 20_000
        clone = pickle.loads(data)  # noqa: S301  made in the line above
        assert np.array_equal(clone(image=photograph)["image"], pipeline(image=photograph)["image"])


def test_a_given_counterpart_is_used_and_no_backend_asked(photograph):
    pipeline = A.Compose(
        [HalfConcat({"name": "inverting", "status": "missing"}, mask_types=("right",), p=1)], strict=True
    )
    counterpart = photograph // 2
    for at_hand in (counterpart, counterpart.astype(np.float32) / 255):
        mixed = pipeline(image=photograph, diffusemix_metadata={"counterpart": at_hand})["image"]
        assert np.array_equal(mixed, half_concat(photograph, counterpart, "right"))


def test_given_counterparts_go_with_the_images_of_a_batch(rng):
    images, counterparts = (make_image(rng, (2, 8, 9, 3), "uint8") for _ in range(2))
    pipeline = A.Compose([inverting(mask_types=("top",), metadata_key="mine")])
    mixed = pipeline(images=images, mine={"counterpart": counterparts})["images"]
    assert np.array_equal(mixed[1], half_concat(images[1], counterparts[1], "top"))


def test_the_key_of_the_metadata_is_sampled(photograph):
    [params] = drawn(A.Compose([inverting()]), image=photograph, diffusemix_metadata={"key": "cat/001.jpg"})
    assert params["key"] == "cat/001.jpg"


@pytest.mark.parametrize(
    ("metadata", "error", "message"),
    [
        ("cat/001.jpg", ValueError, "must be a dict with 'key', 'counterpart' or both; got 'str'"),
        ({"path": "x"}, ValueError, r"got keys \['path'\]"),
        ({"key": 3}, TypeError, r"\['key'\] must be a string; got 3"),
        ({"counterpart": "x.jpg"}, TypeError, "must be a NumPy array; got str"),
        (
            {"counterpart": np.zeros((5, 5, 3), np.uint8)},
            ValueError,
            r"one image of 96x128 for each of the target's 1; got shape \(5, 5, 3\)",
        ),
        ({"counterpart": np.zeros((96, 128, 2), np.uint8)}, ValueError, "got 2 in shape"),
    ],
)
def test_bad_metadata_is_refused_with_its_value(photograph, metadata, error, message):
    with pytest.raises(error, match=message):
        A.Compose([inverting()])(image=photograph, diffusemix_metadata=metadata)


def test_an_image_without_a_counterpart_stays_as_it_is_with_one_warning_and_a_count(photograph, fractals):
    before = unmixed_images().get("nsfw", 0)
    transform = DiffuseMix({"name": "inverting", "status": "nsfw"}, fractals=fractals, p=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(3):
            assert np.array_equal(transform(image=photograph)["image"], photograph)
    assert ["nsfw" in str(warning.message) for warning in caught] == [True]
    assert unmixed_images()["nsfw"] == before + 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"mask_types": ("left", "middle")},
            "unknown mask .middle.; allowed: left, .*, mixup, whole",
        ),
        ({"mask_types": "left"}, r"must be a tuple, such as \('left',\)"),
        ({"prompts": "snowy"}, r"must be a tuple, such as \('snowy',\)"),
        ({"mask_types": ()}, "at least one mask; allowed: left"),
        ({"backend": "invertin"}, "unknown backend 'invertin'; known: .*; did you mean 'inverting'"),
        ({"backend": 3}, "a name or a mapping with a 'name'; got 3"),
        ({"backend": {"name": "inverting", "stats": "ok"}}, "has no option 'stats'; allowed: status"),
        ({"backend": {"name": "inverting", "status": {1}}}, "plain data that YAML can hold"),
        ({"backend": {"name": "inverting", "status": "broken"}}, "OSError: no weights in /nowhere"),
        ({"backend": "inverting", "prompts": ("snowy",)}, "unknown prompt 'snowy'; known: negative"),
        ({"prompts": ()}, "at least one prompt"),
        ({"seam_width": 20}, r"seam_width\n.* must lie in \[0, 1\]; got 20"),
        ({"alpha_range": (0.5, 0.1)}, r"alpha_range\n.* low <= high <= 1; got \(0.5, 0.1\)"),
        ({"alpha_range": (0.5, 1.5)}, r"got \(0.5, 1.5\)"),
        ({"fractals": "nowhere"}, "'builtin' or a folder of images; there is no folder 'nowhere'"),
        ({"metadata_key": ""}, "metadata_key"),
        ({"p": 2}, "less than or equal to 1"),
    ],
)
def test_a_bad_argument_is_refused_with_its_value_and_what_is_allowed(arguments, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        DiffuseMix(**arguments)


@pytest.mark.filterwarnings("ignore:prompt 'negative' may name an object:UserWarning")
@pytest.mark.parametrize("prompts", [None, ("negative",)])
def test_a_backend_is_built_once_when_a_transform_is_checked(monkeypatch, prompts):
    built = []
    whole = Inverting.__init__
    monkeypatch.setattr(Inverting, "__init__", lambda self, status="ok": (built.append(status), whole(self, status))[1])
    inverting(prompts=prompts)
    assert built == ["ok"]


def test_an_empty_folder_of_fractals_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"holds no images; looked for \.bmp"):
        FractalBlend(fractals=str(tmp_path))


def test_a_misspelt_argument_is_refused_in_strict_mode():
    with pytest.raises(ValueError, match="'seam_widht' are not valid for transform DiffuseMix"):
        DiffuseMix(seam_widht=0.1, strict=True)


@pytest.mark.parametrize("shape", [(8, 8, 2), (0, 8, 3)])
def test_a_bad_image_is_refused_in_a_pipeline(transforms, shape):
    for transform in transforms:
        with pytest.raises(ValueError, match="got"):
            transform(image=np.zeros(shape, np.uint8))


def test_a_prompt_known_to_harm_is_warned_of_when_the_transform_is_built():
    with pytest.warns(UserWarning, match="name an object"):
        DiffuseMix(prompts=("snowy cat",))


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    mask_types=st.lists(st.sampled_from(list(MASKS)), min_size=1, max_size=6),
    seam_width=st.floats(0, 1),
    alphas=st.tuples(st.floats(0, 1), st.floats(0, 1)),
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 2**31),
)
def test_any_allowed_arguments_run_serialise_and_repeat(fractals, mask_types, seam_width, alphas, size, seed):
    transform = DiffuseMix(
        "inverting",
        mask_types=tuple(mask_types),
        seam_width=seam_width,
        alpha_range=(min(alphas), max(alphas)),
        fractals=fractals,
        p=1,
    )
    image = make_image(np.random.default_rng(seed), (*size, 3), "uint8")
    again = A.from_dict(json.loads(json.dumps(A.to_dict(transform))))
    for candidate in (transform, again):
        candidate.set_random_seed(seed)
    assert np.array_equal(transform(image=image)["image"], again(image=image)["image"])


def test_a_blend_at_full_opacity_is_the_fractal(photograph, fractals):
    blend = FractalBlend((1, 1), fractals, p=1)
    fractal = blend(image=np.zeros_like(photograph))["image"]
    assert np.array_equal(fractal_blend(photograph, fractal, 1.0), fractal)
