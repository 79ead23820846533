"""Whatever carries a pipeline from one place to another: files, dicts, pickles, replays."""

import copy
import json
import pickle
from pathlib import Path

import albumentations as A
import numpy as np
import pytest
from precomputed_files import Entry, counterpart_of, make_store, picture

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat

SEED = 13
TRANSFORMS = {"DiffuseMix": DiffuseMix, "HalfConcat": HalfConcat, "FractalBlend": FractalBlend}
CONTAINERS = {
    "Compose": lambda transform: [transform],
    "OneOf": lambda transform: [A.OneOf([transform, A.VerticalFlip(p=1)], p=1)],
    "Sequential": lambda transform: [A.Sequential([transform, A.HorizontalFlip(p=0.5)], p=1)],
    "SomeOf": lambda transform: [A.SomeOf([transform, A.HorizontalFlip(p=1), A.NoOp(p=1)], n=2, p=1)],
    "SelectiveChannelTransform": lambda transform: [A.SelectiveChannelTransform([transform], channels=(0, 1, 2), p=1)],
    "nested Compose": lambda transform: [A.Compose([A.OneOf([A.Sequential([transform], p=1)], p=1)]), A.Transpose()],
}


@pytest.fixture(params=CONTAINERS)
def container(request):
    return CONTAINERS[request.param]


@pytest.fixture(params=TRANSFORMS)
def transform(request, fractals):
    """Each transform with arguments that are not its defaults."""
    blending = {"fractals": fractals, "alpha_range": (0.1, 0.4)}
    concatenating = {"backend": {"name": "inverting", "status": "ok"}, "mask_types": ("cutmix", "top")}
    arguments = {
        "DiffuseMix": {**blending, **concatenating, "seam_width": 0.25},
        "HalfConcat": {"prompts": ("snowy", "sunset"), "mask_types": ("left", "mixup")},
        "FractalBlend": blending,
    }
    return TRANSFORMS[request.param](**arguments[request.param], p=1)


@pytest.fixture
def pipeline(container, transform):
    return A.Compose(container(transform), seed=SEED)


def by_dict(pipeline, folder):
    del folder
    return A.from_dict(json.loads(json.dumps(A.to_dict(pipeline))))


def by_file(pipeline, folder, data_format):
    A.save(pipeline, folder / "pipeline", data_format=data_format)
    return A.load(folder / "pipeline", data_format=data_format)


def by_json(pipeline, folder):
    return by_file(pipeline, folder, "json")


def by_yaml(pipeline, folder):
    return by_file(pipeline, folder, "yaml")


def by_folder(pipeline, folder):
    pipeline.save_pretrained(folder)
    return A.Compose.from_pretrained(folder)


def by_pickle(pipeline, folder):
    del folder
    return pickle.loads(pickle.dumps(pipeline))  # noqa: S301  made in the same line


def by_deepcopy(pipeline, folder):
    del folder
    return copy.deepcopy(pipeline)


WAYS = [by_dict, by_json, by_yaml, by_folder, by_pickle, by_deepcopy]


def pictures(pipeline, image, calls=3):
    pipeline.set_random_seed(SEED)
    return [pipeline(image=image)["image"] for _ in range(calls)]


def nested(config):
    """The transforms that a pipeline's dict holds, without what belongs to the outermost."""
    return config["transform"]["transforms"]


@pytest.mark.parametrize("way", WAYS)
def test_a_pipeline_arrives_with_its_arguments_and_gives_the_same_pictures(tmp_path, photograph, pipeline, way):
    arrived = way(pipeline, tmp_path)
    assert json.dumps(nested(A.to_dict(arrived))) == json.dumps(nested(A.to_dict(pipeline)))
    for one, other in zip(pictures(arrived, photograph), pictures(pipeline, photograph), strict=True):
        assert np.array_equal(one, other)


# Neither host records what happens inside of a SelectiveChannelTransform.
@pytest.mark.parametrize("name", sorted(CONTAINERS.keys() - {"SelectiveChannelTransform"}))
def test_a_replay_repeats_the_picture_and_serves_another_image(photograph, name, transform):
    recorded = A.ReplayCompose(CONTAINERS[name](transform))(image=photograph)
    replay = json.loads(json.dumps(recorded["replay"]))
    assert np.array_equal(A.ReplayCompose.replay(replay, image=photograph)["image"], recorded["image"])
    other = np.ascontiguousarray(photograph[:, ::-1])
    assert A.ReplayCompose.replay(replay, image=other)["image"].size == other.size


NEEDED = {"instruct_pix2pix": ("diffusers",), "diffusers": ("diffusers",), "onnx": ("onnxruntime", "tokenizers")}


def specs(folder):
    """Every kind of backend, as its user would name it."""
    image = picture(1, 32, 32)
    store = make_store(folder / "store", Entry("a.jpg", image, counterpart_of(image, 32, 32)))
    return [
        "procedural",
        {"name": "procedural"},
        {"name": "precomputed", "store": store, "on_mismatch": "stretch"},
        {"name": "instruct_pix2pix", "model_id": "timbrooks/instruct-pix2pix", "preset": "fast"},
        {"name": "diffusers", "model_id": "someone/editor", "size": 512},
        {"name": "onnx", "model": "someone/exported", "session_options": {"intra_op_num_threads": 1}},
        {"name": "inverting", "status": "missing"},
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("number", range(7))
@pytest.mark.parametrize("kind", [DiffuseMix, HalfConcat])
def test_every_kind_of_backend_arrives(tmp_path, number, kind, way):
    spec = specs(tmp_path)[number]
    for package in NEEDED.get(spec["name"] if isinstance(spec, dict) else spec, ()):
        pytest.importorskip(package)
    arrived = way(A.Compose([kind(spec)]), tmp_path).transforms[0]
    assert arrived.backend == spec


REFUSED = {
    "a path": {"fractals": Path("nowhere")},
    "a function": {"backend": print},
    "a path of a backend": {"backend": {"name": "precomputed", "store": Path("nowhere")}},
    "an object": {"backend": object()},
    "no backend": {"backend": {}},
}
MADE_PLAIN = {
    "NumPy floats": {"alpha_range": (np.float64(0.1), np.float32(0.5))},
    "a NumPy float": {"seam_width": np.float32(0.5)},
    "a NumPy probability": {"p": np.float64(0.5)},
    "a NumPy string": {"mask_types": (np.str_("left"),)},
    "a NumPy prompt": {"backend": "procedural", "prompts": (np.str_("snowy"),)},
    "a NumPy key": {"metadata_key": np.str_("mine")},
    "an array": {"alpha_range": np.array([0.1, 0.2])},
    "a set": {"mask_types": {"left"}},
    "a NumPy option": {"backend": {"name": "inverting", "status": np.str_("ok")}},
    "a list": {"mask_types": ["left"], "alpha_range": [0.1, 0.2]},
}


@pytest.mark.parametrize("arguments", REFUSED.values(), ids=REFUSED)
def test_what_no_file_can_hold_is_refused_when_the_transform_is_built(arguments):
    with pytest.raises(ValueError, match=next(iter(arguments))):
        DiffuseMix(**{"backend": "inverting", **arguments})


@pytest.mark.parametrize("arguments", MADE_PLAIN.values(), ids=MADE_PLAIN)
def test_what_a_file_would_write_otherwise_is_kept_as_it_will_come_back(tmp_path, arguments):
    transform = DiffuseMix(**{"backend": "inverting", **arguments})
    assert by_yaml(A.Compose([transform]), tmp_path).transforms[0].to_dict() == transform.to_dict()
