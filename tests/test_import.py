"""Importing the package leaves no trace beyond its transforms, whichever host is installed."""

import json
import os
import subprocess
import sys

import albumentations
import pytest

from albu_diffusemix import _host

HEAVY = ("torch", "diffusers", "transformers", "onnxruntime", "skimage", "numba", "datasets", "webdataset", "ray")

STATE = """
import json, os, random, socket, sys, warnings
import albumentations, cv2, numpy
def refuse(*_, **__):
    raise AssertionError("a call to the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
def state():
    return {
        "OpenCV": [cv2.getNumThreads(), cv2.useOptimized(), cv2.ocl.useOpenCL()],
        "random": repr(random.getstate()),
        "NumPy's random": repr(numpy.random.get_state()),
        "NumPy's errors": numpy.geterr(),
        "warnings": repr(warnings.filters),
        "environment": dict(os.environ),
        "hooks": repr([sys.excepthook, sys.meta_path, sys.path]),
        "folder": os.listdir(),
    }
before, modules = state(), set(sys.modules)
import albu_diffusemix
after = state()
print(json.dumps({
    "changed": [name for name in before if before[name] != after[name]],
    "loaded": sorted(name for name in set(sys.modules) - modules if "." not in name),
}))
"""


def run(code, folder, *more_paths):
    """Run in a fresh interpreter, which finds modules in these folders first."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, more_paths))}
    command = [sys.executable, "-W", "default", "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """What importing the package changed in a process that had its host."""
    done = run(STATE, tmp_path_factory.mktemp("import"))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    return json.loads(done.stdout)


def test_importing_changes_no_global_state_and_calls_no_network(imported):
    assert imported["changed"] == []


def test_importing_loads_no_heavy_package_beyond_the_hosts_own(imported):
    assert not set(imported["loaded"]) & set(HEAVY)


def a_distribution(folder, name, version):
    """What pip leaves of an installed distribution."""
    info = folder / f"{name}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_two_hosts_at_once_are_warned_of_with_the_repair(tmp_path):
    other = {"albumentations": "albumentationsx", "albumentationsx": "albumentations"}[_host.HOST]
    a_distribution(tmp_path, other, "9.9.9")
    done = run("import albu_diffusemix", tmp_path, tmp_path)
    assert f"{other} 9.9.9" in done.stderr
    assert f"{_host.HOST} {albumentations.__version__}" in done.stderr
    assert "are both installed" in done.stderr
    assert "pip uninstall -y albumentations albumentationsx" in done.stderr


NO_HOST = """
import sys
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
import albu_diffusemix
"""


def test_without_a_host_the_error_says_what_to_install(tmp_path):
    done = run(NO_HOST.format(missing="albumentations"), tmp_path)
    assert "ModuleNotFoundError: albu_diffusemix extends Albumentations" in done.stderr
    assert "pip install albumentations" in done.stderr


def test_a_module_that_the_host_misses_is_named_as_the_hosts_own(tmp_path):
    done = run(NO_HOST.format(missing="albucore"), tmp_path)
    assert "No module named 'albucore" in done.stderr
    assert "extends Albumentations" not in done.stderr
