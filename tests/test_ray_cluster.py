"""Several raylets on one machine: what a Ray that was started by the job itself does not show."""

import os
import signal
import time
from pathlib import Path

import psutil
import pytest
from job_files import Silent, arguments, bytes_written, content, generate, make, make_data, start, wait_for
from ray_clusters import PATIENCE, Background, add_node, cluster_of, finish_here

from albu_diffusemix.generate import ray_engine
from albu_diffusemix.store.run_lock import RUNS

COUNT = 24

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::UserWarning"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("cluster") / "data", COUNT)


@pytest.fixture(scope="module")
def whole(data):
    """What the local engine makes."""
    store = data.parent / "whole.dm"
    make(data, store)
    return content(store)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("environment")


@pytest.fixture(scope="module")
def cluster(folder):
    """Two nodes of one CPU each, the first with a GPU that nobody looks at, and a head that does not work."""
    with pytest.MonkeyPatch.context() as patch, cluster_of(patch, folder) as cluster:
        add_node(cluster, folder, num_gpus=1)
        add_node(cluster, folder)
        yield cluster


@pytest.fixture
def another_node(cluster, folder):
    """Add nodes for one test."""
    added = []

    def add(**arguments):
        added.append(add_node(cluster, folder, **arguments))
        return added[-1]

    yield add
    for node in added:
        if node in cluster.worker_nodes:
            cluster.remove_node(node)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def hold(tmp_path):
    """As long as it is there, nothing is made."""
    path = tmp_path / "hold"
    path.touch()
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def told_at_once(monkeypatch):
    monkeypatch.setattr(ray_engine, "_SETTLED", 0)


def make_there(cluster, data, store, reporter=None, **options):
    given = {"engine": "ray", "workers": 2, "ray_address": cluster.address, **options}
    return make(data, store, reporter, **given)


def command(cluster, data, store, *more, **backend):
    address = "--ray-address", cluster.address
    return arguments(data, store, "--engine", "ray", "--workers", 2, *address, *more, **backend)


def held_back(cluster, data, store, reporter, hold, **options):
    """Begin a run that makes nothing as long as `hold` is there."""
    backend = {"name": "negative", "hold": str(hold)}
    return Background(make_there, cluster, data, store, reporter, backend=backend, **options)


def wait_for_note(reporter, note, run):
    end = time.monotonic() + PATIENCE
    wait_for(lambda: note in reporter.notes or time.monotonic() > end, run)
    assert note in reporter.notes


def test_raylets_that_started_elsewhere_find_the_sources_of_a_relative_path(cluster, data, store, whole, monkeypatch):
    monkeypatch.chdir(data.parent)
    assert generate("data/", store, "--engine", "ray", "--workers", 2, "--ray-address", cluster.address) == 0
    assert content(store) == whole


def test_more_workers_than_cpus_are_told_once_and_the_run_ends(cluster, data, store, whole, hold):
    """Both CPUs work, and there is one GPU: a backend that needs no GPU takes none."""
    reporter = Silent()
    run = held_back(cluster, data, store, reporter, hold, workers=3)
    wait_for_note(reporter, "2 of 3 actors placed", run)
    hold.unlink()
    run.result()
    assert reporter.notes.count("2 of 3 actors placed") == 1
    assert content(store) == whole


def test_a_node_that_joins_late_takes_part(cluster, data, store, whole, hold, another_node):
    reporter = Silent()
    run = held_back(cluster, data, store, reporter, hold, workers=3)
    wait_for_note(reporter, "2 of 3 actors placed", run)
    another_node()
    wait_for_note(reporter, "3 of 3 actors placed", run)
    hold.unlink()
    run.result()
    assert content(store) == whole


def test_the_work_of_a_node_that_dies_is_done_by_others(cluster, data, store, whole, hold, another_node):
    node = another_node()
    reporter = Silent()
    run = held_back(cluster, data, store, reporter, hold, workers=3)
    wait_for_note(reporter, "3 of 3 actors placed", run)
    cluster.remove_node(node, allow_graceful=False)
    wait_for_note(reporter, "an actor died; another takes its place", run)
    hold.unlink()
    assert run.result().failed == 0
    assert content(store) == whole


def test_an_actor_that_is_killed_is_replaced_and_its_work_is_done_again(cluster, data, store, whole, tmp_path):
    (tmp_path / "once").touch()
    reporter = Silent()
    make_there(cluster, data, store, reporter, backend={"name": "negative", "die_once": str(tmp_path / "once")})
    assert "an actor died; another takes its place" in reporter.notes
    assert content(store) == whole


@pytest.mark.parametrize(
    ("problem", "code"),
    [
        ("it has OpenCV 4.0.0, and the driver has", "import cv2; cv2.__version__ = '4.0.0'"),
        ("xxhash", "import sys; sys.modules['xxhash'] = None"),
    ],
)
def test_a_node_that_is_not_like_the_driver_ends_the_run_with_its_name(
    cluster, data, store, hold, another_node, tmp_path, capsys, problem, code
):
    (tmp_path / "site").mkdir()
    (tmp_path / "site/sitecustomize.py").write_text(code)
    another_node(env_vars={"PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), os.environ["PYTHONPATH"]])})
    given = "--engine", "ray", "--workers", 3, "--ray-address", cluster.address
    assert generate(data, store, *given, hold=str(hold)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("albu-diffusemix: error: node ")
    assert problem in error
    assert not store.exists()


def test_users_modules_travel_in_a_runtime_env_and_sources_stay_where_they_are(
    cluster, data, store, whole, tmp_path, monkeypatch
):
    monkeypatch.chdir(data.parent)
    (tmp_path / "code").mkdir()
    (tmp_path / "code/their_backends.py").write_text(
        "from albu_diffusemix.backends import register_backend\nregister_backend('theirs', 'job_backends:Negative')\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "code")
    make_there(
        cluster,
        Path(data.name),
        store,
        backend="theirs",
        modules=("their_backends",),
        runtime_env={"working_dir": str(tmp_path / "code")},
    )
    assert content(store) == whole


def test_a_share_of_a_gpu_is_taken_where_it_is_asked_for(cluster, data, store, tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/gpu_backends.py").write_text(
        "import os\nfrom pathlib import Path\nimport job_backends\n"
        f"(Path({str(tmp_path)!r}) / f'gpu-{{os.getpid()}}').write_text(str(os.environ.get('CUDA_VISIBLE_DEVICES')))\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "code")
    sent = {"modules": ("gpu_backends",), "runtime_env": {"working_dir": str(tmp_path / "code")}}
    make_there(cluster, data, store, gpus_per_worker=0.5, **sent)
    assert {path.read_text() for path in tmp_path.glob("gpu-*") if path.name != f"gpu-{os.getpid()}"} == {"0"}


def test_a_signal_ends_a_run_without_room_for_any_actor(cluster, data, store, tmp_path):
    process = start(tmp_path, command(cluster, data, store, "--gpus-per-worker", 2))
    wait_for((store / RUNS / "0-of-1.lock").exists, process)
    wait_for(lambda: psutil.Process(process.pid).children(), process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Interrupted; run the same command again" in out


def test_a_second_signal_ends_at_once_also_while_ray_hangs(cluster, data, store, hold, tmp_path):
    process = start(tmp_path, command(cluster, data, store, hold=str(hold), log=str(tmp_path / "log")))
    wait_for((tmp_path / "log").exists, process)
    for child in psutil.Process(process.pid).children():
        child.suspend()
    process.send_signal(signal.SIGTERM)
    time.sleep(0.5)
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "albu-diffusemix: interrupted" in err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_after_a_driver_that_was_killed_a_local_run_makes_the_rest(cluster, data, store, whole, tmp_path, number):
    process = start(tmp_path, command(cluster, data, store, delay=0.1))
    wait_for(lambda: bytes_written(store), process)
    process.send_signal(number)
    process.communicate(timeout=PATIENCE)
    assert process.returncode == (-9 if number == signal.SIGKILL else 130)
    finish_here(data, store)
    assert content(store) == whole


def test_a_second_driver_on_the_same_store_is_refused(cluster, data, store, tmp_path, capsys):
    process = start(tmp_path, command(cluster, data, store, "--workers", 1, delay=0.5))
    wait_for(lambda: bytes_written(store), process)
    given = "--engine", "ray", "--workers", 1, "--ray-address", cluster.address
    assert generate(data, store, *given) == 2
    assert "is being written by a live process" in capsys.readouterr().err
    process.kill()
    process.communicate(timeout=PATIENCE)


def test_two_drivers_with_shards_make_together_what_one_makes(cluster, data, store, whole, tmp_path):
    runs = [start(tmp_path, command(cluster, data, store, "--workers", 1, "--shard", f"{i}/2")) for i in range(2)]
    for run in runs:
        _, err = run.communicate(timeout=PATIENCE)
        assert run.returncode == 0, err
    assert content(store) == whole
