"""Families whose pipelines need torchvision: `make test-vision` runs this file."""

import functools
from pathlib import Path

import diffusers
import numpy as np
import pytest
import tiny_editors
from diffusion_tools import THIRD_PARTY_WARNINGS, drawn_by, request
from family_checks import MORE, check_purity, check_resumed, check_shapes, quick_backend

from albu_diffusemix.backends.diffusers.families import FAMILIES, refuse_by_name

pytestmark = [
    *(pytest.mark.filterwarnings(warning) for warning in THIRD_PARTY_WARNINGS),
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # transformers of itself
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

ALL = pytest.mark.parametrize("name", tiny_editors.VISION)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("editors")
    return functools.cache(lambda name: tiny_editors.VISION[name](folder / name))


@pytest.fixture(scope="module")
def backends(models):
    return functools.cache(lambda name: quick_backend(models(name), **MORE.get(name, {})))


@ALL
def test_a_family_draws_the_same_whatever_came_before_beside_or_after(backends, name):
    check_purity(backends(name))


@ALL
def test_a_killed_run_goes_on_to_the_same_images(models, tmp_path, name):
    check_resumed(name, models(name), tmp_path)


@ALL
def test_size_governs_what_a_family_draws_but_longcat(backends, name):
    side = 1024 if name == "longcat" else 64
    check_shapes(backends(name), (side, side))


@pytest.mark.parametrize(
    ("name", "size", "sides"),
    [
        ("qwen_edit", 64, (48, 96)),
        ("qwen_image_21", 128, (96, 192)),
        ("omnigen", 64, (48, 96)),
        ("kandinsky", 64, (48, 96)),
    ],
)
def test_with_shape_aspect_a_family_draws_the_images_own_ratio(models, name, size, sides):
    check_shapes(quick_backend(models(name), shape="aspect", **{**MORE.get(name, {}), "size": size}), sides)


def test_longcat_has_one_size(models):
    with pytest.raises(ValueError, match="always draws 1,024 x 1,024 pixels: leave size out; got 64"):
        quick_backend(models("longcat"))


def test_qwen_is_guided_without_a_negative_prompt_of_the_users(models):
    guided, not_guided = (
        drawn_by(quick_backend(models("qwen_edit"), guidance_scale=scale), [request()]) for scale in (4.0, 1.0)
    )
    assert np.abs(guided - not_guided).mean() > 1e-4


def test_the_page_lists_the_pipelines_that_a_probe_decides_on():
    known = {name for family in FAMILIES for name in (family.pipeline, *family.from_text)}
    names = {name for name in dir(diffusers) if name.endswith("Pipeline")} - known
    page = (Path(__file__).parents[1] / "docs" / "models.md").read_text()
    listed = page.partition("<!-- probed -->")[2].partition("<!-- end of probed -->")[0]
    found = sorted(name.removesuffix("Pipeline") for name in names if is_probed(name))
    assert found == listed.replace(",", " ").split()


def is_probed(class_name):
    from albu_diffusemix.backends.diffusers.signatures import read_signature  # noqa: PLC0415  warns when it is imported

    try:
        refuse_by_name(class_name, "a model")
        read_signature(class_name, "a model")
    except ValueError:
        return False
    return True
