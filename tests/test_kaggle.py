"""The notebook for Kaggle, run as it stands: no network, inputs that somebody else owns and nobody may write to."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import nbformat
import pytest
from nbclient import NotebookClient
from skimage import data
from tiny_models import save_instruct_pix2pix

from albu_diffusemix.cli import main
from albu_diffusemix.images import write_image
from albu_diffusemix.store import Store

ROOT = Path(__file__).parents[1]
NOTEBOOK = ROOT / "docs/kaggle.ipynb"
OWNER, USER = 61234, 65534
AS_ANOTHER_USER = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"]
MAY_READ = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
"""The environment of the tests may lie in the home of root: all may be read, but only what is the user's be written."""

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="setpriv is a program of Linux"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of Jupyter's own packages
]


def make_competition(folder):
    """Photographs in two classes, and the table that names them without their endings."""
    photographs = {"face": data.astronaut(), "cat": data.chelsea(), "cup": data.coffee(), "rocket": data.rocket()}
    rows = []
    for number, (name, image) in enumerate(photographs.items()):
        for turned in (False, True):
            key = f"{name}_{int(turned)}"
            small = cv2.resize(image, (64, 48), interpolation=cv2.INTER_AREA)
            write_image(folder / "train_images" / f"{key}.png", small[::-1].copy() if turned else small)
            rows.append({"image_id": key, "label": "daisy" if number % 2 else "tulip"})
    with (folder / "train.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["image_id", "label"])
        writer.writeheader()
        writer.writerows(rows)


def make_wheel(folder, scratch):
    """The wheel of this checkout, from a copy, since setuptools writes beside the sources."""
    left_out = shutil.ignore_patterns(".*", "build", "dist", "*.egg-info", "__pycache__", "tests", "docs", "benchmarks")
    shutil.copytree(ROOT, scratch, ignore=left_out)
    build = f"from setuptools import build_meta; build_meta.build_wheel({str(folder)!r})"
    subprocess.run([sys.executable, "-c", build], cwd=scratch, check=True, capture_output=True)


def make_inputs(folder, scratch):
    make_competition(folder / "flowers")
    table = [str(folder / "flowers/train.csv"), "--images", str(folder / "flowers/train_images")]
    columns = ["--key-column", "image_id", "--label-column", "label"]
    store = str(scratch / "flowers.dm")
    assert main(["generate", *table, *columns, "-o", store, "--backend", "procedural", "--size", "48"]) == 0
    assert main(["export", store, "--to", "kaggle", "-o", str(folder / "flowers-dm")]) == 0
    save_instruct_pix2pix(folder / "instruct-pix2pix/diffusers/default/1")
    (folder / "albu-diffusemix-wheels").mkdir()
    make_wheel(folder / "albu-diffusemix-wheels", scratch / "sources")


def give_away(folder):
    """Let somebody else own the folder, and nobody write to it."""
    for path in [folder, *folder.rglob("*")]:
        if os.geteuid() == 0:
            os.chown(path, OWNER, OWNER)
        path.chmod(path.stat().st_mode & ~0o222)


def run_notebook(inputs, working, monkeypatch):
    """Run the notebook in a kernel of another user where these are the tests of root; return its outputs by cell."""
    other = [*AS_ANOTHER_USER, *MAY_READ] if os.geteuid() == 0 else []
    kernel = working.parent / "jupyter/kernels/python3/kernel.json"
    kernel.parent.mkdir(parents=True)
    argv = [*other, sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
    kernel.write_text(json.dumps({"argv": argv, "display_name": "Python 3", "language": "python"}))
    monkeypatch.setenv("JUPYTER_PATH", str(working.parent / "jupyter"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(working.parent / "runtime"))
    packages = working / "packages"  # in place of the site-packages of Kaggle's image
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")},
        "KAGGLE_INPUT": str(inputs),
        "KAGGLE_WORKING": str(working),
        "PIP_TARGET": str(packages),
        "PYTHONPATH": str(packages),
        "PATH": f"{packages / 'bin'}:{Path(sys.executable).parent}:{os.environ['PATH']}",
        "HOME": str(working),
        "HF_HUB_OFFLINE": "1",
        "ALBUMENTATIONS_NO_TELEMETRY": "1",
    }
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(working)}}
    client = NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources)
    client.execute(env=environment)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    return "".join(output.get("text", "") for output in outputs)


@pytest.fixture(scope="module")
def ran():
    """What the notebook printed, its inputs before and after, and its working folder."""
    with tempfile.TemporaryDirectory() as name:  # pytest's own folder is closed to other users
        folder = Path(name)
        folder.chmod(0o755)
        inputs, working = folder / "input", folder / "working"
        inputs.mkdir()
        working.mkdir()
        make_inputs(inputs, folder)
        before = listing(inputs)
        give_away(inputs)
        if os.geteuid() == 0:
            os.chown(working, USER, USER)
        with pytest.MonkeyPatch.context() as monkeypatch:
            printed = run_notebook(inputs, working, monkeypatch)
        yield printed, (before, listing(inputs)), working
        for path in [inputs, *inputs.rglob("*")]:
            path.chmod(path.stat().st_mode | 0o200)


def listing(folder):
    return sorted((str(path), path.stat().st_size) for path in folder.rglob("*"))


def test_the_notebook_runs_to_its_end(ran):
    printed, _, _ = ran
    assert "flowers-dm has a counterpart for 8 of 8 images (100.0 %)" in printed
    assert "Made 2 counterparts" in printed
    assert re.findall(r"^fold (\d): [01]\.\d\d right of 4 images$", printed, re.MULTILINE) == ["0", "1"]


def test_the_notebook_uses_the_wheel_that_is_attached(ran):
    _, _, working = ran
    assert (working / "packages/albu_diffusemix/hub.py").is_file()


def test_the_notebook_writes_nothing_into_its_inputs(ran):
    _, (before, after), working = ran
    assert before == after
    assert os.geteuid() != 0 or working.owner() == working.joinpath("made_here.dm").owner() == "nobody"


def test_the_notebook_leaves_a_store_that_is_whole(ran):
    _, _, working = ran
    assert main(["verify", str(working / "made_here.dm")]) == 0
    assert len(list(Store.open(working / "made_here.dm").records())) == 2


def test_the_notebook_is_kept_without_outputs():
    cells = nbformat.read(NOTEBOOK, as_version=4).cells
    assert [cell.get("outputs", []) for cell in cells] == [[]] * len(cells)
