import os
import platform
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import pytest
from conftest import make_image

from albu_diffusemix import DiffuseMix, FractalBlend, HalfConcat, __version__
from albu_diffusemix._host import HOST
from albu_diffusemix.cli import main
from albu_diffusemix.contact_sheet import CELL
from albu_diffusemix.images import read_image, write_image
from albu_diffusemix.preview import steps

COMPOSE = "__version__: 2.0.8\ntransform: {{__class_fullname__: Compose, transforms: [{{__class_fullname__: {}}}]}}"


@pytest.fixture
def folder(tmp_path, rng):
    for name in ("cat/1.png", "cat/2.png", "dog/1.png"):
        write_image(tmp_path / "images" / name, make_image(rng, (40, 60, 3), "uint8"))
    return tmp_path / "images"


@pytest.fixture
def pipeline_file(tmp_path, fractals):
    path = tmp_path / "pipeline.yaml"
    A.save(A.Compose([DiffuseMix("inverting", fractals=fractals, p=0.1), A.Normalize(p=0)]), path, data_format="yaml")
    return path


def preview(*arguments):
    return main(["preview", *map(str, arguments)])


def test_the_demo_writes_a_pipeline_and_a_sheet_and_says_that_it_is_not_diffusion(tmp_path, capsys):
    assert main(["demo", "-o", str(tmp_path)]) == 0
    assert isinstance(A.load(tmp_path / "pipeline.yaml", data_format="yaml").transforms[0], DiffuseMix)
    assert read_image(tmp_path / "sheet.png").shape[1] > 6 * CELL
    assert "not diffusion" in capsys.readouterr().out


def test_the_demo_repeats_itself(tmp_path):
    for name in ("first", "second"):
        main(["demo", "-o", str(tmp_path / name)])
    assert (tmp_path / "first/sheet.png").read_bytes() == (tmp_path / "second/sheet.png").read_bytes()


def test_the_demo_without_its_photographs_says_what_to_install(tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "skimage", None)
    assert main(["demo", "-o", str(tmp_path)]) == 2
    assert "pip install scikit-image" in capsys.readouterr().err


def test_preview_shows_a_folder_through_a_pipeline_file(folder, pipeline_file, tmp_path, capsys):
    assert preview(folder, "-o", tmp_path / "sheet.png", "--pipeline", pipeline_file) == 0
    assert "(3 shown, 0 skipped)" in capsys.readouterr().out
    assert read_image(tmp_path / "sheet.png").shape[0] > 3 * CELL * 40 / 60


def test_preview_shows_as_many_rows_as_asked_spread_over_the_folder(folder, pipeline_file, tmp_path, capsys):
    assert preview(folder, "-o", tmp_path / "a.png", "--pipeline", pipeline_file, "--rows", 2) == 0
    assert "(2 shown, 0 skipped)" in capsys.readouterr().out
    chosen = (folder / "cat/1.png", folder / "cat/2.png")
    assert preview(*chosen, "-o", tmp_path / "b.png", "--pipeline", pipeline_file) == 0
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("error", [MemoryError(), cv2.error("OpenCV: too large")])
def test_an_image_that_the_pipeline_cannot_take_is_skipped_in_preview(folder, tmp_path, capsys, monkeypatch, error):
    def fails_on_one(image, name, pipeline):
        if name == "cat/2.png":
            raise error
        return steps(image, name, pipeline)

    monkeypatch.setattr("albu_diffusemix.cli.pictures.steps", fails_on_one)
    assert preview(folder, "-o", tmp_path / "sheet.png") == 1
    out, err = capsys.readouterr()
    assert "(2 shown, 1 skipped)" in out
    assert "skipped: 'cat/2.png': " in err


def test_preview_repeats_itself_for_a_seed(folder, pipeline_file, tmp_path):
    sheets = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        preview(folder, "-o", tmp_path / f"{name}.png", "--pipeline", pipeline_file, "--seed", seed)
        sheets.append((tmp_path / f"{name}.png").read_bytes())
    assert sheets[0] == sheets[1] != sheets[2]


def test_preview_names_skips_and_counts_what_it_cannot_read(folder, pipeline_file, tmp_path, capsys):
    (folder / "broken.jpg").write_bytes(b"no")
    images = (folder / "cat/1.png", folder / "broken.jpg", folder / "missing.png")
    assert preview(*images, "-o", tmp_path / "sheet.png", "--pipeline", pipeline_file) == 1
    out, err = capsys.readouterr()
    assert "(1 shown, 2 skipped)" in out
    assert "broken.jpg' is not a readable image" in err
    assert "missing.png': No such file" in err
    assert (tmp_path / "sheet.png").exists()


def test_preview_with_nothing_left_to_show_writes_nothing(tmp_path, pipeline_file, capsys):
    assert preview(tmp_path / "missing.png", "-o", tmp_path / "sheet.png", "--pipeline", pipeline_file) == 1
    assert "all 1 images skipped" in capsys.readouterr().err
    assert not (tmp_path / "sheet.png").exists()


@pytest.mark.parametrize("extension", ["yaml", "json"])
@pytest.mark.parametrize("transform", [HalfConcat, FractalBlend])
def test_preview_shows_the_single_steps_in_nested_pipelines_too(folder, tmp_path, fractals, transform, extension):
    arguments = {"fractals": fractals} if transform is FractalBlend else {"backend": "inverting"}
    path = tmp_path / f"pipeline.{extension}"
    A.save(A.Compose([A.Sequential([transform(**arguments)], p=1), A.ToFloat()]), path, data_format=extension)
    assert preview(folder, "-o", tmp_path / "sheet.webp", "--pipeline", path) == 0


def test_preview_leaves_empty_what_has_no_counterpart_and_what_is_not_a_picture(folder, tmp_path, fractals):
    pytest.importorskip("torch")
    path = tmp_path / "pipeline.yaml"
    missing = DiffuseMix({"name": "inverting", "status": "missing"}, fractals=fractals)
    A.save(A.Compose([missing, A.ToTensorV2()]), path, "yaml")
    with pytest.warns(UserWarning, match="missing"):
        assert preview(folder / "cat/1.png", "-o", tmp_path / "sheet.png", "--pipeline", path) == 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not a pipeline that A.save wrote as yaml"),
        ("a: 1", "is not a pipeline that A.save wrote as yaml: there is no 'transform'"),
        ("__version__: 2.0.8\ntransform: {__class_fullname__: Nowhere, p: 0.5}", "is not a pipeline .*Nowhere"),
        (
            COMPOSE.format("albu_diffusemix.transforms.DiffuseMix, p: 0.5, backend: procedual"),
            "error: backend: unknown backend 'procedual'.* did you mean 'procedural'",
        ),
        (COMPOSE.format("HorizontalFlip, p: 0.5"), "holds no DiffuseMix, HalfConcat or FractalBlend to show"),
    ],
)
def test_a_bad_pipeline_file_is_one_line_on_stderr(folder, tmp_path, capsys, content, message):
    path = tmp_path / "bad.yaml"
    path.write_text(content)
    assert preview(folder, "-o", tmp_path / "sheet.png", "--pipeline", path) == 2
    assert_one_line(capsys.readouterr().err, message)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["{tmp}", "-o", "{tmp}/sheet.png"], "is empty; looked for .bmp"),
        (["{images}", "-o", "{tmp}/sheet.gif"], "sheet.gif' must end in one of .bmp"),
        (["{images}", "-o", "{tmp}/sheet.png", "--pipeline", "{tmp}/no.yaml"], "no.yaml': No such file or directory"),
    ],
)
def test_bad_arguments_are_one_line_on_stderr(folder, tmp_path_factory, capsys, arguments, message):
    empty = tmp_path_factory.mktemp("empty")
    filled = [argument.format(tmp=empty, images=folder) for argument in arguments]
    assert preview(*filled) == 2
    assert_one_line(capsys.readouterr().err, message)


def assert_one_line(err, message):
    [line] = [line for line in err.splitlines() if line.startswith("albu-diffusemix: error: ")]
    assert re.search(message, line), line
    assert "Traceback" not in err


def test_rows_must_be_a_whole_number_of_at_least_one(folder, capsys):
    for rows in ("0", "-1", "many"):
        with pytest.raises(SystemExit, match="2"):
            preview(folder, "-o", "sheet.png", "--rows", rows)
        assert "whole number of at least 1" in capsys.readouterr().err


def test_an_interrupt_ends_with_130(folder, monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("albu_diffusemix.datasets.folder.find_images", interrupt)
    assert preview(folder, "-o", "sheet.png") == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_installed_command_says_in_one_line_the_versions_that_a_bug_report_needs():
    command = Path(sys.executable).with_name("albu-diffusemix")
    narrow = {**os.environ, "COLUMNS": "20"}
    done = subprocess.run([command, "--version"], capture_output=True, text=True, check=True, env=narrow)
    assert done.stderr == ""
    [line] = done.stdout.splitlines()
    assert line.startswith(
        f"albu-diffusemix {__version__} ({HOST} {A.__version__}, Python {platform.python_version()}, "
    )
    assert f", OpenCV {cv2.__version__}, NumPy {np.__version__}, " in line


def test_the_version_names_optional_packages_where_they_are_installed_and_imports_none(monkeypatch, capsys):
    installed = {"torch": "2.13.0"}

    def version(name):
        if name not in installed:
            raise metadata.PackageNotFoundError(name)
        return installed[name]

    monkeypatch.setattr(metadata, "version", version)
    monkeypatch.setitem(sys.modules, "torch", None)  # an import would raise
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    line = capsys.readouterr().out
    assert ", torch 2.13.0, " in line
    assert "ray" not in line


def test_a_sheet_is_as_wide_as_its_columns(tmp_path, folder, pipeline_file):
    preview(folder, "-o", tmp_path / "sheet.png", "--pipeline", pipeline_file)
    assert cv2.imread(str(tmp_path / "sheet.png")).shape[1] > 6 * CELL


def test_a_reader_that_has_read_enough_ends_a_command_in_silence(folder, tmp_path):
    code = "import sys; from albu_diffusemix.cli import main; sys.exit(main())"
    command = [sys.executable, "-c", code, "generate", str(folder), "-o", str(tmp_path / "s.dm"), "--dry-run"]
    running = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    running.stdout.close()
    with running:
        assert b"roken pipe" not in running.stderr.read()
    assert running.returncode == 1
