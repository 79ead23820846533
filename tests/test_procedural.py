"""The procedural backend: recognisable is for eyes, the rest is here. Run this file to write the golden file again."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
from skimage import data

from albu_diffusemix.backends import Request, create_backend
from albu_diffusemix.backends.procedural import EFFECTS, Procedural, _generator, nearest_prompt
from albu_diffusemix.prompts import PAPER_PROMPTS

GOLDEN = Path(__file__).parent / "golden" / "procedural.json"
GOLDEN_TOLERANCE = 2.0  # grey levels of a cell's mean: OpenCV's rounding moves it by far less, a changed filter by more
PHOTOGRAPHS = ("astronaut", "chelsea", "coffee", "rocket")
SHAPES = ((1, 1), (1, 2), (1, 40000), (2500, 1), (3, 2), (32, 32), (31, 257), (256, 256), (1201, 1100))


def filtered(image, prompt, seed=0):
    height, width = image.shape[:2]
    [counterpart] = Procedural().generate([Request(image, prompt, seed, None, (0, 0, width, height))])
    return counterpart.image


def photograph(name, side=256):
    image = getattr(data, name)()
    edge = min(image.shape[:2])
    top, left = (image.shape[0] - edge) // 2, (image.shape[1] - edge) // 2
    square = np.ascontiguousarray(image[top : top + edge, left : left + edge])
    return cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)


def edges(image):
    soft = cv2.GaussianBlur(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY).astype(np.float32), (0, 0), 3)
    return cv2.magnitude(cv2.Sobel(soft, cv2.CV_32F, 1, 0), cv2.Sobel(soft, cv2.CV_32F, 0, 1))


def edge_agreement(source, counterpart):
    """Chance that a pixel on one of the source's edges (its strongest tenth) is a stronger edge in the counterpart
    than a pixel off them: 1 is perfect, 0.5 is no relation (the area under the ROC curve).
    """
    wanted, found = edges(source).ravel(), edges(counterpart).ravel()
    on_edge = wanted > np.quantile(wanted, 0.9)
    rank = found.argsort().argsort()
    return (rank[on_edge].mean() - (on_edge.sum() - 1) / 2) / (~on_edge).sum()


def cell_means(image):
    return cv2.resize(image.astype(np.float32), (4, 4), interpolation=cv2.INTER_AREA).round(1).tolist()


def golden_cells():
    return {prompt: cell_means(filtered(photograph("chelsea", 128), prompt, seed=7)) for prompt in EFFECTS}


def test_the_prompts_are_the_papers_nine_and_rain_is_available_by_name():
    assert Procedural().prompts == PAPER_PROMPTS
    assert set(EFFECTS) == {*PAPER_PROMPTS, "rain"}


def test_repr_and_docstring_say_not_diffusion():
    assert "not diffusion" in repr(create_backend({"name": "procedural"}))
    assert "Not diffusion" in Procedural.__doc__


def test_fingerprint_names_the_backend_and_its_version():
    assert Procedural().fingerprint == "procedural-1"


@pytest.mark.parametrize("prompt", EFFECTS)
def test_outlines_stay_where_they_were(prompt):
    images = [photograph(name) for name in PHOTOGRAPHS]
    agreement = [edge_agreement(image, filtered(image, prompt, seed)) for image in images for seed in (0, 1)]
    assert np.mean(agreement) > 0.75
    assert min(agreement) > 0.65


@pytest.mark.parametrize("prompt", EFFECTS)
def test_a_counterpart_moved_by_a_few_pixels_would_agree_less(prompt):
    source = photograph("astronaut")
    made = filtered(source, prompt)
    moved = [np.roll(made, shift, axis) for shift in (-5, 5) for axis in (0, 1)]
    assert edge_agreement(source, made) > max(edge_agreement(source, other) for other in moved)


@pytest.mark.parametrize("prompt", EFFECTS)
def test_every_filter_changes_the_photograph_and_two_seeds_differ_visibly(prompt):
    source = photograph("coffee")
    one, other = (filtered(source, prompt, seed).astype(int) for seed in (0, 1))
    assert np.abs(one - source).mean() > 10
    assert np.abs(one - other).mean() > 4


def test_autumn_turns_green_leaves_to_rust():
    leaves = np.full((128, 128, 3), (60, 130, 50), np.uint8)
    leaves[::3, ::2] = (90, 160, 70)
    red, green, blue = filtered(leaves, "autumn").reshape(-1, 3).mean(axis=0)
    assert red > green + 30 > blue + 60


def test_ten_prompts_give_ten_different_counterparts():
    means = np.array([cell_means(filtered(photograph("astronaut", 128), prompt)) for prompt in EFFECTS])
    apart = np.abs(means[:, None] - means[None]).mean(axis=(2, 3, 4))
    assert apart[~np.eye(len(EFFECTS), dtype=bool)].min() > 5


def test_order_neighbours_and_threads_do_not_move_a_byte(rng):
    source = photograph("astronaut", 160)
    requests = [Request(source, prompt, seed, None, (0, 0, 160, 160)) for prompt in EFFECTS for seed in (3, 4)]
    expected = [counterpart.image.tobytes() for counterpart in Procedural().generate(requests)]
    order = rng.permutation(len(requests))
    backend = Procedural()
    with ThreadPoolExecutor(4) as pool:
        made = list(pool.map(lambda index: backend.generate([requests[index]])[0].image.tobytes(), order))
    assert made == [expected[index] for index in order]


@pytest.fixture
def opencv_threads():
    before = cv2.getNumThreads()
    yield cv2.setNumThreads
    cv2.setNumThreads(before)


@pytest.mark.parametrize("prompt", EFFECTS)
def test_the_number_of_opencv_threads_does_not_move_a_byte(prompt, opencv_threads):
    source = photograph("rocket", 700)
    made = []
    for threads in (1, 4):
        opencv_threads(threads)
        made.append(filtered(source, prompt, 5))
    np.testing.assert_array_equal(*made)


@pytest.mark.parametrize("prompt", EFFECTS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_every_size_works_and_the_source_is_only_read(prompt, shape, rng):
    source = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    before = source.copy()
    source.flags.writeable = False
    made = filtered(source, prompt)
    assert (made.shape, made.dtype) == (source.shape, np.uint8)
    np.testing.assert_array_equal(source, before)


@pytest.mark.parametrize("prompt", EFFECTS)
@pytest.mark.parametrize("level", [0, 128, 255])
def test_a_blank_image_gets_a_counterpart_too(prompt, level):
    blank = np.full((64, 64, 3), level, np.uint8)
    [counterpart] = Procedural().generate([Request(blank, prompt, 0, None, (0, 0, 64, 64))])
    assert counterpart.status == "ok"
    assert counterpart.image.std() > 0


@pytest.mark.parametrize("prompt", EFFECTS)
@pytest.mark.parametrize(("side", "levels"), [(48, 12), (256, 4)])
def test_an_effect_looks_the_same_at_another_size(prompt, side, levels):
    large = photograph("astronaut", 512)
    small = cv2.resize(large, (side, side), interpolation=cv2.INTER_AREA)
    difference = np.subtract(cell_means(filtered(large, prompt)), cell_means(filtered(small, prompt)))
    assert np.abs(difference).mean() < levels


@pytest.mark.parametrize("box", [(0, 0, 40, 61), (13, 7, 80, 60), (79, 60, 80, 61)])
def test_a_box_is_cut_out_of_the_whole_counterpart_and_contiguous(box, rng):
    source = rng.integers(0, 256, (61, 80, 3), dtype=np.uint8)
    [part] = Procedural().generate([Request(source, "mosaic", 2, None, box)])
    x_min, y_min, x_max, y_max = box
    np.testing.assert_array_equal(part.image, filtered(source, "mosaic", 2)[y_min:y_max, x_min:x_max])
    assert part.image.flags.c_contiguous


def test_counterparts_come_in_the_order_of_their_requests():
    source = photograph("coffee", 64)
    asked = ["rain", "autumn", "mosaic", "autumn"]
    made = Procedural().generate([Request(source, prompt, 0, None, (0, 0, 64, 64)) for prompt in asked])
    assert [counterpart.prompt for counterpart in made] == asked


def test_without_a_prompt_the_seed_chooses_among_the_papers_nine():
    source = np.zeros((8, 8, 3), np.uint8)
    requests = [Request(source, None, seed, None, (0, 0, 8, 8)) for seed in range(80)]
    chosen = [counterpart.prompt for counterpart in Procedural().generate(requests)]
    assert set(chosen) == set(PAPER_PROMPTS)
    [again] = Procedural().generate([requests[11]])
    assert again.prompt == chosen[11]


def test_prompts_with_the_same_seed_share_no_random_numbers():
    first = {_generator(0, prompt).random() for prompt in EFFECTS}
    assert len(first) == len(EFFECTS)


def test_a_chosen_prompt_gives_what_naming_it_gives():
    source = photograph("chelsea", 64)
    [chosen] = Procedural().generate([Request(source, None, 5, None, (0, 0, 64, 64))])
    np.testing.assert_array_equal(chosen.image, filtered(source, chosen.prompt, 5))


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        *((prompt, prompt) for prompt in EFFECTS),
        ("snow", "snowy"),
        ("A snowy day", "snowy"),
        ("watercolour painting", "watercolor art"),
        ("crayon drawing", "a sketch with crayon"),
        ("Sunset!", "sunset"),
        ("sunsets", "sunset"),
        ("a sketch, with CRAYONS", "a sketch with crayon"),
        ("heavy rain", "rain"),
        ("northern lights", "aurora"),
        ("Ukiyo-e print", "ukiyo-e"),
        ("A transformed version of image into aurora", "aurora"),
        ("snow and frost in the rain", "snowy"),
    ],
)
def test_the_nearest_prompt_is_found_by_words(asked, known):
    assert nearest_prompt(asked) == known
    Procedural().check_prompt(asked)


@pytest.mark.parametrize(
    ("asked", "known"), [("A snowy day", "snowy"), ("northern lights", "aurora"), ("crayons", "a sketch with crayon")]
)
def test_a_prompt_in_other_words_comes_back_as_the_filter_that_was_drawn(asked, known):
    source = photograph("coffee", 64)
    [made] = Procedural().generate([Request(source, asked, 4, None, (0, 0, 64, 64))])
    assert made.prompt == known
    np.testing.assert_array_equal(made.image, filtered(source, known, 4))


def test_the_page_of_prompts_lists_the_words_of_every_filter():
    page = (Path(__file__).parent.parent / "docs" / "prompts.md").read_text()
    _, _, table = page.partition("| Filter | Words that ask for it |\n|---|---|\n")
    rows = [line.strip("| ").split(" | ") for line in table.partition("\n\n")[0].splitlines()]
    assert rows == [[name, effect.words] for name, effect in EFFECTS.items()]


@pytest.mark.parametrize("asked", ["", "   ", "a", "a dog", "art", "drain", "e", "with"])
def test_a_prompt_like_no_other_is_refused_with_those_that_work(asked):
    message = (
        f"unknown prompt {asked!r} for the procedural backend; it knows: autumn, snowy, sunset, watercolor art, "
        "rainbow, aurora, mosaic, ukiyo-e, a sketch with crayon, rain"
    )
    for refuse in (
        nearest_prompt,
        Procedural().check_prompt,
        lambda prompt: filtered(np.zeros((4, 4, 3), "u1"), prompt),
    ):
        with pytest.raises(ValueError, match="unknown prompt") as caught:
            refuse(asked)
        assert str(caught.value) == message


@pytest.mark.parametrize("box", [(0, 0, 0, 4), (0, 0, 7, 4), (-1, 0, 3, 4), (2, 3, 4, 3), (0, 0, 4, 5)])
def test_a_box_that_is_empty_or_outside_is_refused(box):
    with pytest.raises(ValueError, match=r"box \(.*\) must be .* inside the image's 6x4 pixels"):
        Procedural().generate([Request(np.zeros((4, 6, 3), np.uint8), "rain", 0, None, box)])


@pytest.mark.parametrize(
    ("shape", "dtype"), [((4, 4), "uint8"), ((4, 4, 4), "uint8"), ((0, 4, 3), "uint8"), ((4, 4, 3), "float32")]
)
def test_an_image_of_another_kind_is_refused(shape, dtype):
    with pytest.raises(ValueError, match=r"image must be .* \(H, W, 3\), RGB.*; got .*(shape|float32)"):
        Procedural().generate([Request(np.zeros(shape, dtype), "rain", 0, None, (0, 0, 1, 1))])


def test_the_filters_still_paint_what_the_golden_recorded():
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    painted = golden_cells()
    assert painted.keys() == golden.keys()
    moved = {prompt: float(np.abs(np.subtract(painted[prompt], golden[prompt])).max()) for prompt in golden}
    changed = {prompt: levels for prompt, levels in moved.items() if levels > GOLDEN_TOLERANCE}
    assert not changed, "filters changed: look at them, raise VERSION, and run `python tests/test_procedural.py`"


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    lines = [f"{json.dumps(prompt)}: {json.dumps(cells)}" for prompt, cells in golden_cells().items()]
    GOLDEN.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
