"""No process of ours runs a module that lies in the working directory or beside the data, unless it was asked for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from job_files import environment, make_data
from precomputed_files import Entry, counterpart_of, make_store, picture

from albu_diffusemix.images import write_image

NAMES = ("xxhash", "queue", "json", "cv2", "numpy", "albumentations", "yaml", "pydantic", "tqdm", "struct")
PROGRAM = Path(sys.executable).with_name("albu-diffusemix")


@pytest.fixture
def hostile(tmp_path):
    """A data folder with modules that leave a mark when they run."""
    folder = make_data(tmp_path / "data", 4)
    for name in NAMES:
        (folder / f"{name}.py").write_text(
            f"import os; open(os.environ['MARK'], 'a').write('{name} '); raise ImportError('{name} of the data ran')"
        )
    return folder


def run(hostile, *words, program=(PROGRAM,), **names):
    """Run the command line in the data folder; gives its status, its output, and the modules that ran."""
    mark = hostile.parent / "mark"
    without_torch = environment(hostile.parent) | {"PYTHONPATH": str(hostile.parent / "no_torch")}
    done = subprocess.run(
        [*program, *map(str, words)],
        cwd=hostile,
        env=without_torch | {"MARK": str(mark), **names},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr, mark.read_text() if mark.exists() else ""


@pytest.mark.parametrize("workers", [1, 2])
def test_generate_inside_of_a_data_folder_runs_none_of_its_modules(hostile, workers):
    words = ("generate", ".", "-o", "../x.dm", "--backend", "procedural", "--size", "32", "--workers", workers)
    status, output, ran = run(hostile, *words)
    assert (status, ran) == (0, ""), output


def test_workers_run_none_of_its_modules_where_pythonpath_has_an_empty_entry(hostile, tmp_path):
    """Only the workers see the variable: what Python does before it starts our code is not ours to change."""
    code = (
        "import os, sys; sys.path[:] = filter(None, sys.path); from albu_diffusemix.cli import main; "
        "os.environ['PYTHONPATH'] = os.pathsep + os.environ['ELSEWHERE']; sys.exit(main())"
    )
    words = ("generate", ".", "-o", "../x.dm", "--backend", "procedural", "--size", "32", "--workers", 2)
    status, output, ran = run(hostile, *words, program=(sys.executable, "-c", code), ELSEWHERE=str(tmp_path))
    assert (status, ran) == (0, ""), output


def test_a_later_import_of_the_command_line_does_not_look_into_the_working_directory(hostile):
    (hostile / "late.py").write_text("open(__import__('os').environ['MARK'], 'a').write('late')")
    code = (
        "import os, sys; here = os.getcwd(); os.chdir('/'); from albu_diffusemix import cli; os.chdir(here); "
        "cli.store.Store.open = lambda path: __import__('late'); sys.exit(cli.main())"
    )
    _, output, ran = run(hostile, "status", ".", program=(sys.executable, "-c", code))
    assert "No module named 'late'" in output
    assert ran == ""


@pytest.mark.parametrize(
    "words",
    [
        ("preview", ".", "-o", "../sheet.png"),
        ("doctor", ".", "../flowers.dm"),
        ("import", "../out", "-o", "../back.dm", "--sources", "."),
        ("verify", "../flowers.dm"),
    ],
)
def test_the_other_commands_inside_of_a_data_folder_run_none_of_its_modules(hostile, words):
    image = picture(0, 48, 64)
    write_image(hostile / "class0/000.png", image)
    make_store(hostile.parent / "flowers.dm", Entry("class0/000.png", image, counterpart_of(image, 32, 48)))
    write_image(hostile.parent / "out/class0/000.png/0000.png", 255 - image)
    status, output, ran = run(hostile, *words)
    assert ran == ""
    assert status in (0, 1), output


@pytest.mark.parametrize("workers", [1, 2])
def test_a_module_that_was_asked_for_is_found_in_the_working_directory_and_those_beside_it_are_not(hostile, workers):
    (hostile / "my_backend.py").write_text(
        "import xxhash, queue, numpy as np\n"
        "from albu_diffusemix.backends import Counterpart, register_backend\n"
        "class Mine:\n"
        "    prompts, fingerprint = ('negative',), 'mine'\n"
        "    def check_prompt(self, prompt): pass\n"
        "    def generate(self, requests):\n"
        "        return [Counterpart(255 - r.image, 'ok', r.prompt) for r in requests]\n"
        "register_backend('mine', 'my_backend:Mine')\n"
    )
    words = ("generate", ".", "-o", "../x.dm", "--backend", "mine", "--size", "32", "--import", "my_backend")
    status, output, ran = run(hostile, *words, "--workers", workers)
    assert (status, ran) == (0, ""), output


def test_a_data_set_that_was_asked_for_is_found_in_the_working_directory_and_modules_beside_it_are_not(hostile):
    image = picture(0, 48, 64)
    make_store(hostile.parent / "flowers.dm", Entry("class0/000.png", image, counterpart_of(image, 32, 48)))
    (hostile / "my_data.py").write_text(
        "import xxhash, queue\nfrom albu_diffusemix.images import read_image\nfrom pathlib import Path\n"
        "train = [{'image': read_image(path), 'key': 'class0/000.png'} for path in Path('class0').glob('000.png')]\n"
    )
    write_image(hostile / "class0/000.png", image)
    status, output, ran = run(hostile, "doctor", "my_data:train", "../flowers.dm")
    assert (status, ran) == (0, ""), output


def test_a_worker_runs_the_same_copy_of_the_package_however_it_was_found(hostile, tmp_path):
    copy = tmp_path / "elsewhere/albu_diffusemix"
    copy.parent.mkdir()
    package = Path(__file__).parents[1] / "albu_diffusemix"
    copy.mkdir()
    for entry in package.iterdir():
        if entry.name not in ("__pycache__", "__init__.py"):
            (copy / entry.name).symlink_to(entry)
    mark = tmp_path / "copies"
    own = (package / "__init__.py").read_text() + f"\nopen({str(mark)!r}, 'a').write('.')\n"
    (copy / "__init__.py").write_text(own)
    code = f"import sys; sys.path[0] = {str(copy.parent)!r}; from albu_diffusemix.cli import main; sys.exit(main())"
    words = ("generate", ".", "-o", "../x.dm", "--backend", "procedural", "--size", "32", "--workers", 2)
    status, output, _ = run(hostile, *words, program=(sys.executable, "-c", code))
    assert status == 0, output
    assert mark.read_text() == "..."


def test_workers_find_what_pythonpath_names(hostile, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/colours.py").write_text("")
    words = ("generate", ".", "-o", "../x.dm", "--backend", "procedural", "--size", "32", "--import", "colours")
    names = os.pathsep.join([str(tmp_path / "mine"), environment(tmp_path)["PYTHONPATH"]])
    status, output, _ = run(hostile, *words, "--workers", 2, PYTHONPATH=names)
    assert status == 0, output


@pytest.mark.parametrize(
    ("code", "complaint"),
    [
        (r"raise RuntimeError('\x1b[2J boom\nsecond')", r"RuntimeError: \x1b[2J boom second"),
        ("def (", "SyntaxError: invalid syntax"),
        ("raise SystemExit(0)", "SystemExit: 0"),
        ("raise SystemExit", "SystemExit"),
        ("import nothing_of_this_name", "ModuleNotFoundError: No module named 'nothing_of_this_name'"),
    ],
)
@pytest.mark.parametrize("command", ["generate", "doctor"])
def test_a_module_that_was_asked_for_and_cannot_be_imported_is_one_line(hostile, code, complaint, command):
    (hostile / "broken.py").write_text(code)
    image = picture(0, 48, 64)
    make_store(hostile.parent / "flowers.dm", Entry("class0/000.png", image, counterpart_of(image, 32, 48)))
    commands = {
        "generate": ("generate", ".", "-o", "../x.dm", "--backend", "procedural", "--import", "broken"),
        "doctor": ("doctor", "broken:train", "../flowers.dm"),
    }
    status, output, _ = run(hostile, *commands[command])
    assert status == 2, output
    assert "module 'broken' cannot be imported: " + complaint in output
    assert output.count("\n") == 1
    assert not (hostile.parent / "x.dm").exists()
