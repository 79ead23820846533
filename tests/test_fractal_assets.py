import json
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from tqdm import tqdm

sys.path.append(str(Path(__file__).parents[1]))

from fractal_assets.rendering import generate, measures
from fractal_assets.rendering.checking import across_families, faults_in_renderings, least_distance
from fractal_assets.rendering.families import FAMILIES
from fractal_assets.rendering.generate import BASE_SEED, Place, find_candidate, main, write_all
from fractal_assets.rendering.manifest import FOLDER, decoded, pixel_hash, read_manifest

NAMES = [record.file for record in read_manifest(FOLDER)]


@pytest.fixture(scope="module")
def records():
    return {record.file: record for record in read_manifest(FOLDER)}


@pytest.fixture(scope="module")
def images(records):
    return {name: decoded((FOLDER / name).read_bytes()) for name in records}


@pytest.fixture
def copied(tmp_path):
    """A folder with the shipped images and manifest, to spoil."""
    for name in (*NAMES, "manifest.csv"):
        shutil.copy(FOLDER / name, tmp_path)
    return tmp_path


def check(folder, capsys, count=0):
    status = main(["--folder", str(folder), "--check", str(count)])
    return status, capsys.readouterr().out.splitlines()


def test_manifest_and_folder_name_the_same_hundred_images(records):
    assert {path.name for path in FOLDER.glob("*.jpg")} == set(records)
    assert len(records) == len(NAMES) == 100


def test_every_image_is_512_by_512_rgb_and_has_the_hash_of_the_manifest(records, images):
    for name, image in images.items():
        assert image.shape == (512, 512, 3)
        assert pixel_hash(image) == records[name].pixel_hash


@pytest.mark.parametrize("name", NAMES)
def test_an_image_measured_again_lies_within_every_range_and_agrees_with_the_manifest(name, records, images):
    measured = measures.measure(images[name])
    assert measures.out_of_range(measured) == []
    assert measured == pytest.approx(records[name].measured, abs=0.001)


def test_the_ranges_are_those_that_the_design_asks_for():
    assert measures.RANGES == {
        "edge_density": (0.04, 0.32),
        "colour_entropy": (2.8, 5.5),
        "colourfulness": (12.0, 85.0),
        "box_dimension": (1.1, 1.65),
        "power_slope": (1.9, 3.3),
        "mean_luma": (40.0, 140.0),
        "near_black": (0.0, 0.25),
    }


def test_the_families_have_the_sizes_that_the_design_asks_for(records):
    counts = Counter(record.family for record in records.values())
    assert counts == {"flame": 40, "ifs": 20, "julia": 20, "zoom": 10, "spiral": 5, "kaleidoscope": 5}


def test_at_least_forty_images_are_their_own_mirror_image_by_more_than_point_six(images):
    small = [cv2.resize(image, (128, 128), interpolation=cv2.INTER_AREA) for image in images.values()]
    assert sum(measures.mirror_correlation(image) > 0.6 for image in small) >= 40


def test_no_two_images_are_nearer_than_the_least_distance(images):
    nearest, first, second = least_distance(images)
    assert nearest >= measures.LEAST_DISTANCE, (first, second)


def test_the_images_together_stay_under_fifteen_megabytes():
    assert sum(path.stat().st_size for path in FOLDER.glob("*.jpg")) < 15e6


def test_the_shipped_set_passes_its_own_check(capsys):
    assert check(FOLDER, capsys) == (0, ["100 images agree with their manifest; 0 rendered again"])


def test_check_turns_red_when_two_images_are_swapped(copied, capsys):
    (copied / "flame_00.jpg").rename(copied / "aside")
    (copied / "ifs_03.jpg").rename(copied / "flame_00.jpg")
    (copied / "aside").rename(copied / "ifs_03.jpg")
    status, faults = check(copied, capsys)
    assert status == 1
    assert {fault.partition(":")[0] for fault in faults} == {"flame_00.jpg", "ifs_03.jpg"}
    assert any("pixel hash" in fault for fault in faults)


def test_check_turns_red_when_an_image_repeats_another(copied, capsys):
    shutil.copy(copied / "julia_01.jpg", copied / "julia_02.jpg")
    _, faults = check(copied, capsys)
    assert "julia_01.jpg: distance 0.00 from julia_02.jpg, at least 20.0 is required" in faults


def test_check_turns_red_when_an_image_is_darkened_and_names_the_measure(copied, capsys):
    cv2.imwrite(str(copied / "zoom_04.jpg"), cv2.imread(str(copied / "zoom_04.jpg")) // 4)
    status, faults = check(copied, capsys)
    assert status == 1
    assert any(fault.startswith("zoom_04.jpg: mean_luma") and "(allowed 40.0 to 140.0)" in fault for fault in faults)


def test_check_names_missing_extra_and_broken_images_and_a_family_that_is_short(copied, capsys):
    (copied / "flame_07.jpg").unlink()
    shutil.copy(copied / "ifs_00.jpg", copied / "stray.jpg")
    (copied / "ifs_01.jpg").write_bytes(b"no image")
    cv2.imwrite(str(copied / "ifs_02.jpg"), np.zeros((5, 7, 3), np.uint8))
    lines = (copied / "manifest.csv").read_text().splitlines(keepends=True)
    (copied / "manifest.csv").write_text("".join(line for line in lines if not line.startswith("zoom_09")))
    status, faults = check(copied, capsys)
    assert status == 1
    assert faults == [
        "flame_07.jpg: in the manifest, not in the folder",
        "stray.jpg: in the folder, not in the manifest",
        "zoom_09.jpg: in the folder, not in the manifest",
        "manifest: 9 images of family zoom, 10 are required",
        "ifs_01.jpg: 8 bytes are not an image that OpenCV can decode",
        "ifs_02.jpg: shape (5, 7, 3), not (512, 512, 3)",
    ]


def test_check_says_in_one_line_when_the_manifest_is_missing_or_is_not_one(tmp_path, capsys):
    assert main(["--folder", str(tmp_path), "--check"]) == 1
    [error] = capsys.readouterr().err.splitlines()
    assert "manifest.csv" in error
    (tmp_path / "manifest.csv").write_text("file,family\n")
    assert main(["--folder", str(tmp_path), "--check"]) == 1
    [error] = capsys.readouterr().err.splitlines()
    assert "has the columns ['file', 'family'], not ['file', 'family', 'seed'" in error


def test_an_unreadable_row_is_named(copied, capsys):
    text = (copied / "manifest.csv").read_text()
    (copied / "manifest.csv").write_text(text.replace("flame_01.jpg,flame,", "flame_01.jpg,flame,x", 1))
    assert main(["--folder", str(copied), "--check"]) == 1
    assert "manifest.csv, row 2 cannot be read: invalid literal for int()" in capsys.readouterr().err


def test_rendered_again_an_image_is_what_ships_and_another_one_is_not(copied, records):
    spiral = records["spiral_02.jpg"]
    assert faults_in_renderings(copied, [spiral], 1) == []
    shutil.copy(copied / "spiral_03.jpg", copied / "spiral_02.jpg")
    [fault] = faults_in_renderings(copied, [spiral], 1)
    assert fault.startswith("spiral_02.jpg: differs by ")
    assert fault.endswith("grey levels from its rendering, at most 5.0")


def test_the_images_to_render_again_come_from_all_families_in_turn(records):
    first = across_families(list(records.values()))[:6]
    assert {record.family for record in first} == set(FAMILIES)


@pytest.mark.parametrize("name", ["flame_03.jpg", "kaleidoscope_00.jpg"])
def test_an_image_rendered_twice_with_another_in_between_is_the_same(name, records):
    render, params = FAMILIES[records[name].family].render, records[name].params
    alone = render(params, 64)
    FAMILIES["flame"].render(records["flame_08.jpg"].params, 64)
    assert np.array_equal(render(params, 64), alone)


@pytest.mark.parametrize("name", ["julia_00.jpg", "kaleidoscope_03.jpg", "flame_00.jpg"])
def test_the_seed_in_the_manifest_draws_the_parameters_again(name, records):
    record = records[name]
    order = int(name.partition("_")[2].removesuffix(".jpg"))
    drawn = FAMILIES[record.family].draw(np.random.default_rng(record.seed), order)
    assert json.dumps(drawn) == json.dumps(record.params)


def test_an_image_found_alone_is_the_one_that_ships(records, tmp_path):
    found = find_candidate(Place("spiral", 0, FAMILIES["spiral"].first_attempts[0]), BASE_SEED)
    assert found.record.params == records["spiral_00.jpg"].params
    write_all(tmp_path, [found])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["manifest.csv", "spiral_00.jpg"]
    assert read_manifest(tmp_path) == [found.record]


def test_a_candidate_too_near_to_an_accepted_one_is_searched_for_again_from_the_next_attempt():
    found = find_candidate(Place("spiral", 4, 5), BASE_SEED)
    twin = found._replace(place=Place("spiral", 3, 8))
    accepted = {}
    with tqdm(disable=True) as bar:
        assert generate._accept([found, twin], accepted, bar) == [Place("spiral", 3, 9)]
    assert accepted == {"spiral_04": found}


@pytest.mark.parametrize("arguments", [["--check", "-1"], ["--check", "few"], ["--workers", "x"]])
def test_a_count_that_is_not_a_number_of_images_is_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert f"{arguments[1]!r} is not a count of images: 0 or more" in capsys.readouterr().err


def test_without_numba_rendering_ends_in_one_line_with_the_command_to_install_it():
    program = "import sys; sys.modules['numba'] = None; from fractal_assets.rendering.generate import main; "
    run = subprocess.run(
        [sys.executable, "-c", program + "sys.exit(main(['--check', '1']))"],
        cwd=FOLDER.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert run.stderr.splitlines()[-1].endswith("needs numba, which is not installed: pip install numba")
    assert "Traceback" not in run.stderr


def test_the_sheet_shows_every_image_ten_in_a_row(tmp_path):
    assert main(["--sheet", str(tmp_path / "sheet.jpg")]) == 0
    assert cv2.imread(str(tmp_path / "sheet.jpg")).shape == (10 * 194, 10 * 180, 3)


def test_a_sheet_of_an_unknown_format_is_a_clear_error(tmp_path, capsys):
    assert main(["--sheet", str(tmp_path / "sheet.doc")]) == 1
    assert "OpenCV writes no '.doc' images; name it .png or .jpg" in capsys.readouterr().err


GREY = np.full((128, 128, 3), 90, np.uint8)
HALVES = np.hstack([np.full((128, 64, 3), 10, np.uint8), np.full((128, 64, 3), 200, np.uint8)])
NOISE = np.random.default_rng(5).integers(0, 256, (128, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("name", "image", "expected"),
    [
        ("edge_density", GREY, 0.0),
        ("edge_density", HALVES, 1 / 128),
        ("colour_entropy", GREY, 0.0),
        ("colour_entropy", HALVES, 1.0),
        ("colourfulness", GREY, 0.0),
        ("colourfulness", np.full((128, 128, 3), (100, 60, 20), np.uint8), 0.3 * np.hypot(40, 60)),
        ("box_dimension", GREY, 0.0),
        ("box_dimension", HALVES, 1.0),
        ("mean_luma", HALVES, 105.0),
        ("near_black", HALVES, 0.5),
        ("mirror_correlation", HALVES, 1.0),
    ],
)
def test_a_measure_has_the_value_that_its_formula_gives(name, image, expected):
    assert measures.MEASURES[name](image) == pytest.approx(expected, abs=1e-9)


def test_white_noise_has_a_level_power_spectrum_and_a_brownian_one_falls_with_the_square():
    assert measures.power_slope(NOISE) == pytest.approx(0.0, abs=0.1)
    cycles = np.hypot(*np.meshgrid(np.fft.fftfreq(128), np.fft.fftfreq(128)))
    field = np.fft.ifft2(np.fft.fft2(NOISE[..., 0] - 127.5) / np.maximum(cycles, 1 / 128)).real
    level = np.clip(128 + 30 * field / field.std(), 0, 255).astype(np.uint8)
    assert measures.power_slope(np.dstack([level] * 3)) == pytest.approx(2.0, abs=0.15)


def test_noise_is_like_neither_of_its_mirror_images():
    assert abs(measures.mirror_correlation(NOISE)) < 0.1


def test_the_distance_is_the_root_mean_square_difference_and_nothing_between_an_image_and_its_flips():
    dark, light = measures.thumbnail(GREY), measures.thumbnail(GREY + 7)
    assert measures.distance(dark, light) == pytest.approx(7.0)
    noise = measures.thumbnail(NOISE)
    assert measures.distance(noise, noise[:, ::-1]) == 0.0
    assert measures.distance(noise, noise[::-1, ::-1]) == 0.0


def test_a_value_out_of_range_is_named_with_what_is_allowed():
    measured = measures.measure(GREY)
    assert "edge_density 0.0 (allowed 0.04 to 0.32)" in measures.out_of_range(measured)
    assert not any(fault.startswith("mean_luma") for fault in measures.out_of_range(measured))
