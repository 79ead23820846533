"""A thousand pipelines of our transforms among the host's own."""

import json

import albumentations as A
import numpy as np
import yaml
from conftest import make_image
from hypothesis import given, settings
from hypothesis import strategies as st
from random_pipelines import SIDES, pipelines


def from_json(saved):
    return json.loads(json.dumps(saved))


def from_yaml(saved):
    """By LibYAML: the same documents as the host's, in a fraction of the time."""
    return yaml.load(yaml.dump(saved, Dumper=yaml.CSafeDumper), yaml.CSafeLoader)


def result(pipeline, image, seed):
    pipeline.set_random_seed(seed)
    return np.asarray(pipeline(image=image)["image"])


# The same thousand on every run: a flaw of a native transform, found by luck, must not fail a change of ours.
@settings(max_examples=1000, deadline=None, derandomize=True)
@given(
    pipeline=pipelines(),
    size=st.tuples(SIDES, SIDES),
    dtype=st.sampled_from(["uint8", "float32"]),
    seed=st.integers(0, 2**31),
)
def test_a_pipeline_runs_repeats_by_its_seed_and_comes_back_from_json_and_yaml(pipeline, size, dtype, seed):
    image = make_image(np.random.default_rng(seed), (*size, 3), dtype)
    expected = result(pipeline, image, seed)
    assert np.array_equal(result(pipeline, image, seed), expected)
    saved = A.to_dict(pipeline)
    for loaded in (from_json(saved), from_yaml(saved)):
        assert np.array_equal(result(A.from_dict(loaded), image, seed), expected)
