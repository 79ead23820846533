"""The Ray engine with a Ray on this machine, and what an actor checks before it works."""

import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace

import cv2
import psutil
import pytest
from job_files import (
    Silent,
    arguments,
    bytes_written,
    content,
    environment,
    failures,
    generate,
    make,
    make_data,
    options_of,
    spec,
    start,
    wait_for,
)
from ray_clusters import PATIENCE, cluster_of, finish_here, lines_beside_the_bar

from albu_diffusemix.generate import make_plan, ray_engine, ray_worker
from albu_diffusemix.generate.job import open_job
from albu_diffusemix.generate.ray_worker import RayWorker
from albu_diffusemix.store.run_lock import hold_run, lock_file

COUNT = 24

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning", "ignore::UserWarning"
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_data(tmp_path_factory.mktemp("ray") / "data", COUNT)


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
def callers_ray(folder):
    """A Ray that this process started itself."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {**environment(folder), "RAY_USAGE_STATS_ENABLED": "0"}.items():
            patch.setenv(name, value)
        import ray  # noqa: PLC0415  slow

        before = signal.getsignal(signal.SIGTERM)
        ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        signal.signal(signal.SIGTERM, before)  # Ray takes it, and pools of other tests end their processes by it
        yield ray
        ray.shutdown()


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def make_on_ray(data, store, reporter=None, stop=None, **options):
    return make(data, store, reporter, stop, **{"engine": "ray", "workers": 2, **options})


@pytest.mark.usefixtures("callers_ray")
def test_on_the_callers_own_ray_is_made_what_the_local_engine_makes_byte_for_byte(data, store, whole):
    reporter = Silent()
    summary = make_on_ray(data, store, reporter)
    assert (summary.made, summary.failed) == (COUNT, 0)
    assert sorted(reporter.keys) == sorted(key for key, _ in whole)
    assert content(store) == whole


@pytest.mark.usefixtures("callers_ray")
def test_actors_give_each_class_its_prompts_its_name_and_its_number(data, store):
    by_class = {"class1": ("mosaic", "aurora"), "class2": ("{label} at sunset",)}
    options = {"prompts_by_class": by_class, "class_names": {"class2": "tea rose"}, "prompts": ("a {label}",)}
    make(data, store.with_name("local.dm"), balance=19, **options)
    make_on_ray(data, store, balance=19, **options)
    assert content(store) == content(store.with_name("local.dm"))
    assert len(content(store)) == 33


@pytest.mark.slow
@pytest.mark.usefixtures("callers_ray")
def test_a_source_that_kills_its_actors_is_a_failure(data, store, whole):
    make_on_ray(data, store, backend={"name": "negative", "die_on": "/013"}, workers=1)
    assert failures(store) == {("class1/013.png", "0000"): "its worker died 3 times (actor lost)"}
    assert len(content(store)) == len(whole) - 1


@pytest.mark.slow
@pytest.mark.usefixtures("callers_ray")
def test_a_stop_reaches_the_actors_and_the_next_run_goes_on(data, store, whole):
    class Stopping(Silent):
        def outcome(self, outcome):
            super().outcome(outcome)
            stop.set()

    stop = threading.Event()
    summary = make_on_ray(data, store, Stopping(), stop, backend=spec(delay=0.2), workers=1)
    assert summary.interrupted
    assert 0 < summary.made == len(content(store)) < COUNT
    make_on_ray(data, store)
    assert content(store) == whole


@pytest.mark.usefixtures("callers_ray")
def test_an_actor_that_cannot_work_ends_the_run_with_its_own_words(data, store, capsys):
    assert generate(data, store, "--engine", "ray", fail_on="class") == 2
    assert "RuntimeError: cannot do class" in capsys.readouterr().err


def test_ray_leaves_sigterm_to_its_owner(data, store):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match=r"no Ray cluster at '127\.0\.0\.1:1'"):
        make_on_ray(data, store, ray_address="127.0.0.1:1")
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.slow
def test_a_polite_signal_finishes_the_batches_that_the_actors_have_in_progress(data, store, tmp_path):
    process = start(tmp_path, arguments(data, store, "--engine", "ray", delay=0.2))
    wait_for(lambda: bytes_written(store), process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130, err
    assert "Interrupted; run the same command again" in out
    assert "finishing the batches in progress" in err
    assert 0 < len(content(store)) < COUNT


def test_no_process_of_ray_finds_a_module_in_the_working_directory(store, tmp_path):
    folder = make_data(tmp_path / "data", COUNT)
    names = {*sys.stdlib_module_names, *(path.name for path in Path(cv2.__file__).parents[1].glob("[a-z]*"))}
    for name in filter(str.isidentifier, names):
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'found')!r}, 'a').write('{name} ')\n")
    program = Path(sys.executable).with_name("albu-diffusemix")
    command = [program, "generate", ".", "-o", store, "--backend", "procedural", "--size", "32", "--engine", "ray"]
    done = subprocess.run(command, cwd=folder, env=environment(tmp_path), capture_output=True, text=True, check=False)
    assert not (tmp_path / "found").exists(), (tmp_path / "found").read_text()
    assert done.returncode == 0, done.stderr
    assert len(content(store)) == COUNT


def test_what_ray_has_to_say_stays_out_of_the_bar(callers_ray, data, store, tmp_path):
    address = callers_ray.get_runtime_context().gcs_address
    process = start(tmp_path, arguments(data, store, "--engine", "ray", "--ray-address", address))
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0
    assert lines_beside_the_bar(err) == []


def test_usage_reporting_is_off(callers_ray, data, store, tmp_path):
    address = callers_ray.get_runtime_context().gcs_address
    process = start(tmp_path, arguments(data, store, "--engine", "ray", "--ray-address", address, delay=0.3))
    wait_for(lambda: bytes_written(store), process)
    seen = {child.environ()["RAY_USAGE_STATS_ENABLED"] for child in psutil.Process(process.pid).children()}
    process.kill()
    process.communicate(timeout=PATIENCE)
    assert seen == {"0"}


def test_without_ray_the_command_says_what_to_install_before_anything_is_made(data, store, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert generate(data, store, "--engine", "ray") == 2
    assert "the ray engine needs Ray: pip install ray" in capsys.readouterr().err
    assert not store.exists()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_one_line_and_leaves_no_store(data, store, capsys, scheme):
    assert generate(data, store, "--engine", "ray", "--ray-address", f"{scheme}127.0.0.1:1") == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.endswith(f"no Ray cluster at '{scheme}127.0.0.1:1': [Errno 111] Connection refused")
    assert not store.exists()


def job_of(data, store, **options):
    """What an actor of a run into a new store is told."""
    return ray_engine._actor_job(make_plan(options_of(data, store, engine="ray", workers=2, **options)))


@pytest.fixture
def job(data, store):
    with hold_run(store, (0, 1), "", 0):
        yield job_of(data, store)


def problem(job):
    return RayWorker(list(job._replace(folder=""))).check()


def test_an_actor_that_sees_the_same_as_the_driver_can_work(job):
    assert problem(job) == ""


def test_an_actor_that_does_not_see_the_data_names_node_and_path(job):
    missing = "/nowhere/data"
    assert "node " in problem(job._replace(paths=[missing]))
    assert f"there is no {missing!r} there: all nodes must share" in problem(job._replace(paths=[missing]))


def test_actors_look_for_some_sources_since_a_folder_can_be_there_without_its_disk(job):
    assert len([path for path in job.paths if path.endswith(".png")]) == 3
    assert all(Path(path).is_absolute() for path in job.paths)


def test_an_actor_that_does_not_see_the_lock_of_its_run_has_another_folder_as_the_store(job, store):
    lock = lock_file(store, (0, 1))
    lock.unlink()
    assert f"there is no {str(lock)!r} there: all nodes must share data and store" in problem(job)


@pytest.mark.parametrize("name", ["OpenCV", "albu-diffusemix", "backend fingerprint"])
def test_an_actor_with_another_version_names_both(job, name):
    theirs = {**job.facts, name: "0.0"}
    assert f"it has {name} {job.facts[name]}, and the driver has 0.0" in problem(job._replace(facts=theirs))


def test_an_actor_that_lacks_a_users_module_says_so(job):
    lacking = job._replace(options={**job.options, "modules": ["no_such_module"]})
    assert "module 'no_such_module' cannot be imported" in problem(lacking)


def test_relative_paths_in_a_backends_spec_start_where_the_command_was_given(job, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    assert RayWorker(list(job._replace(folder=str(tmp_path)))).check() == ""
    assert Path.cwd() == tmp_path


def test_an_actor_that_nobody_asks_for_events_ends_itself(data, store, tmp_path, monkeypatch):
    hold = tmp_path / "hold"
    hold.touch()
    ended = threading.Event()
    monkeypatch.setattr("os._exit", lambda _: ended.set())
    monkeypatch.setattr(ray_worker, "_SILENCE", 0)
    worker = RayWorker(list(job_of(data, store, backend=spec(hold=str(hold)))))
    worker.make([[str(data / "class0/000.png"), "class0/000.png"]])
    assert ended.wait(PATIENCE)
    hold.unlink()
    while ["sealed"] not in worker.events():
        pass


@pytest.mark.parametrize(
    ("asked", "uses_gpu", "expected"),
    [(None, None, 0), (None, False, 0), (None, True, None), (0.25, True, 0.25), (0, True, 0)],
)
def test_gpus_come_from_the_backend_or_from_the_option(data, store, asked, uses_gpu, expected):
    backend = SimpleNamespace() if uses_gpu is None else SimpleNamespace(uses_gpu=uses_gpu)
    job = open_job(options_of(data, store, gpus_per_worker=asked))
    job.backend = backend
    assert ray_engine._gpus(job) == expected


@pytest.mark.parametrize(
    ("flag", "value", "expected"),
    [
        ("--gpus-per-worker", "-1", "must be a number from 0 to 1, or a whole number"),
        ("--gpus-per-worker", "1.5", "must be a number from 0 to 1, or a whole number"),
        ("--gpus-per-worker", "nan", "must be a number from 0 to 1, or a whole number"),
        ("--runtime-env", "[1]", "must be a JSON object"),
        ("--runtime-env", "{", "is not valid JSON"),
    ],
)
def test_a_flag_for_ray_that_cannot_be_is_refused(data, store, capsys, flag, value, expected):
    with pytest.raises(SystemExit) as stopped:
        generate(data, store, "--engine", "ray", flag, value)
    assert stopped.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_cluster_that_wants_to_know_who_asks_is_one_line(callers_ray, data, store, tmp_path, monkeypatch):
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "none"))
    address = callers_ray.get_runtime_context().gcs_address
    process = start(tmp_path, arguments(data, store, "--engine", "ray", "--ray-address", address))
    _, err = process.communicate(timeout=PATIENCE)
    assert process.returncode == 2
    said = lines_beside_the_bar(err)
    assert len(said) == 1, err
    assert said[0].startswith(f"albu-diffusemix: error: no Ray cluster at {address!r}: ")
    assert "token" in said[0]


def test_a_runtime_env_that_ray_does_not_know_is_one_line(data, store, capsys):
    assert generate(data, store, "--engine", "ray", "--runtime-env", '{"working_dir": "/nowhere"}') == 2
    said = [line for line in capsys.readouterr().err.splitlines() if "albu-diffusemix: " in line]
    assert len(said) == 1
    assert "/nowhere" in said[0]


@pytest.mark.slow
def test_a_head_that_dies_is_one_line_and_a_local_run_makes_the_rest(data, store, whole, folder, tmp_path):
    with pytest.MonkeyPatch.context() as patch, cluster_of(patch, folder, 1) as cluster:
        process = start(
            tmp_path, arguments(data, store, "--engine", "ray", "--ray-address", cluster.address, delay=1.5)
        )
        wait_for(lambda: bytes_written(store), process)
        cluster.remove_node(cluster.head_node, allow_graceful=False)
        _, err = process.communicate(timeout=PATIENCE)
        finish_here(data, store)
    assert process.returncode == 2
    said = lines_beside_the_bar(err)
    assert len(said) == 1, err
    assert "does not answer any more" in said[0]
    assert content(store) == whole
