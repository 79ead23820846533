import os
import signal
import sys
import threading

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
    start,
    wait_for,
)

from albu_diffusemix.generate.ray_engine import _callers_sigterm, import_ray

COUNT = 24

pytestmark = pytest.mark.filterwarnings(
    "ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::ResourceWarning"
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
def cluster(tmp_path_factory):
    """Ray on this machine, for all tests of this file."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in environment(tmp_path_factory.mktemp("environment")).items():
            patch.setenv(name, value)
        ray = import_ray()
        with _callers_sigterm():  # pools of other tests end their processes by it
            ray.init(address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error")
        yield ray
        ray.shutdown()


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


def make_on_ray(data, store, reporter=None, stop=None, **options):
    return make(data, store, reporter, stop, **{"engine": "ray", "workers": 2, **options})


@pytest.mark.usefixtures("cluster")
def test_ray_makes_what_the_local_engine_makes_byte_for_byte(data, store, whole):
    reporter = Silent()
    summary = make_on_ray(data, store, reporter)
    assert (summary.made, summary.failed) == (COUNT, 0)
    assert sorted(reporter.keys) == sorted(key for key, _ in whole)
    assert content(store) == whole


@pytest.mark.usefixtures("cluster")
def test_an_actor_that_is_killed_is_replaced_and_its_work_is_done_again(data, store, whole, tmp_path):
    (tmp_path / "once").touch()
    reporter = Silent()
    make_on_ray(data, store, reporter, backend={"name": "negative", "die_once": str(tmp_path / "once")})
    assert "an actor died; another takes its place" in reporter.notes
    assert not (tmp_path / "once").exists()
    assert content(store) == whole


@pytest.mark.usefixtures("cluster")
def test_a_source_that_kills_its_actors_is_a_failure(data, store, whole):
    make_on_ray(data, store, backend={"name": "negative", "die_on": "/013"}, workers=1)
    assert failures(store) == {("class1/013.png", "0000"): "its worker died 3 times (actor lost)"}
    assert len(content(store)) == len(whole) - 1


@pytest.mark.usefixtures("cluster")
def test_a_stop_reaches_the_actors_and_the_next_run_goes_on(data, store, whole):
    class Stopping(Silent):
        def outcome(self, outcome):
            super().outcome(outcome)
            stop.set()

    stop = threading.Event()
    summary = make_on_ray(data, store, Stopping(), stop, backend={"name": "negative", "delay": 0.05})
    assert summary.interrupted
    assert 0 < summary.made == len(content(store)) < COUNT
    make_on_ray(data, store)
    assert content(store) == whole


def test_a_polite_signal_reaches_the_actors_though_ray_listens_to_it_too(data, store, tmp_path):
    command = arguments(data, store, "--engine", "ray", "--workers", 2, delay=0.2)
    process = start(tmp_path, command)
    wait_for(lambda: bytes_written(store), process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate()
    assert process.returncode == 130, err
    assert "Interrupted; run the same command again" in out
    assert "finishing what is in hand" in err
    assert 0 < len(content(store)) < COUNT


def test_a_cluster_that_cannot_be_had_leaves_sigterm_to_its_owner(data, store, monkeypatch):
    def init(**_):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        raise RuntimeError("no room")

    monkeypatch.setattr("ray.is_initialized", lambda: False)
    monkeypatch.setattr("ray.init", init)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(ValueError, match="no Ray cluster on this machine: no room"):
        make_on_ray(data, store)
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.usefixtures("cluster")
def test_an_actor_that_cannot_work_ends_the_run_with_its_own_words(data, store, capsys):
    assert generate(data, store, "--engine", "ray", fail_on="class") == 2
    assert "RuntimeError: cannot do class" in capsys.readouterr().err


def test_usage_reporting_is_off(monkeypatch):
    monkeypatch.delenv("RAY_USAGE_STATS_ENABLED", raising=False)
    import_ray()
    assert os.environ["RAY_USAGE_STATS_ENABLED"] == "0"


def test_without_ray_the_command_says_what_to_install_before_anything_is_made(data, store, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    assert generate(data, store, "--engine", "ray") == 2
    assert "the ray engine needs Ray: pip install 'albu-diffusemix[ray]'" in capsys.readouterr().err
    assert not store.exists()


@pytest.mark.parametrize("scheme", ["", "ray://"])
def test_a_cluster_that_is_not_there_is_one_line(data, store, capsys, monkeypatch, scheme):
    monkeypatch.setattr("ray.is_initialized", lambda: False)
    assert generate(data, store, "--engine", "ray", "--ray-address", f"{scheme}127.0.0.1:1") == 2
    assert f"no Ray cluster at '{scheme}127.0.0.1:1': [Errno 111] Connection refused" in capsys.readouterr().err
