"""What `save_applied_params` says of a call, on either host: what was really done."""

import albumentations as A
import pytest
from conftest import drawn
from precomputed_files import Entry, counterpart_of, make_store, precomputed

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat
from albu_diffusemix._host import HOST


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


def test_no_prompt_is_recorded_for_a_backend_whose_images_have_their_own(tmp_path, photograph):
    store = make_store(tmp_path / "store", Entry("a.jpg", photograph, counterpart_of(photograph, 32, 32)))
    pipeline = A.Compose([HalfConcat(precomputed(store), p=1)], save_applied_params=True)
    [(_, recorded)] = pipeline(image=photograph, diffusemix_metadata={"key": "a.jpg"})["applied_transforms"]
    assert recorded.get("prompt") is None
    assert recorded.get("prompts") is None
