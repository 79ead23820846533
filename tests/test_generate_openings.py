"""What a run opens, how often and what for: its backend once a process, its store once for each reason."""

from collections import Counter, defaultdict

import pytest
from job_files import arguments, content, make, make_data, spec, start
from ray_clusters import PATIENCE

COUNT = 12
THERE = 1
PLAN, BEGIN, WRITE, END = (
    "open_job for make_plan",
    "recover for run",
    "writer for _opened",
    "recover for _complete",
)
WORKER, ANOTHER_CHUNK = "open_job for <lambda>", "look_again for _looked_at_again"


@pytest.fixture
def data(tmp_path):
    return make_data(tmp_path / "data", COUNT + THERE)


@pytest.fixture
def store(tmp_path):
    return tmp_path / "flowers.dm"


@pytest.fixture
def openings(data, store, tmp_path, monkeypatch):
    """Run the command, and return what the main process opened, and what each of the others did."""
    monkeypatch.setenv("OPENINGS", str(tmp_path / "openings"))

    def run(*more, status=0, **backend):
        command = arguments(data, store, "--import", "opening_counts", *more, **{"batch_size": 1, **backend})
        process = start(tmp_path, command)
        _, err = process.communicate(timeout=PATIENCE)
        assert process.returncode == status, err
        found = defaultdict(Counter)
        for line in (tmp_path / "openings").read_text().splitlines():
            pid, what, reason = line.split("\t")
            found[int(pid)][what, reason] += 1
        return found.pop(process.pid), list(found.values())

    return run


def once(reason, *more):
    """A process whose backend is built for the first reason, and whose store is opened once for each of them."""
    reasons = (reason, *more)
    backend = {("backend asked for", reason): 1, ("backend built", reason): 1}
    return Counter(backend) + stores(dict.fromkeys(reasons, 1))


def stores(reasons):
    return Counter({(what, reason): n for reason, n in reasons.items() for what in ("store opened", "store.json read")})


def test_one_process_into_a_new_store(store, openings):
    main, others = openings()
    backend = {("backend asked for", PLAN): 1, ("backend built", PLAN): 1}
    assert main == Counter(backend) + stores({WRITE: 1, END: 1})
    assert others == []
    assert len(content(store)) == COUNT + THERE


def test_one_process_into_a_store_that_is_there(data, store, openings):
    make(data, store, limit=THERE)
    main, others = openings()
    assert main == once(PLAN, BEGIN, WRITE, END)
    assert others == []


def test_a_run_with_nothing_to_do(data, store, openings):
    make(data, store, backend=spec(batch_size=1))
    assert openings() == (once(PLAN, BEGIN, END), [])


def test_a_dry_run(data, store, openings):
    make(data, store, limit=THERE)
    assert openings("--dry-run") == (once(PLAN), [])


def test_two_worker_processes(data, store, openings):
    make(data, store, limit=THERE)
    main, others = openings("--workers", 2)
    assert main == once(PLAN, BEGIN, END)
    assert others == [once(WORKER, WRITE)] * 2


def test_workers_that_die(data, store, openings):
    make(data, store, limit=THERE)
    main, _ = openings("--workers", 2, status=1, die_on="/004")
    deaths = stores({"recover for take_back": 3, "look_again for fail_abandoned": 1, WRITE: 1})
    assert main == once(PLAN, BEGIN, END) + deaths


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_actors_of_ray(data, store, openings):
    pytest.importorskip("ray")
    make(data, store, limit=THERE)
    main, actors = openings("--engine", "ray", "--workers", 2)
    assert main == once(PLAN, BEGIN, END)
    chunks = 0
    for actor in actors:
        written, again = (actor["store opened", reason] for reason in (WRITE, ANOTHER_CHUNK))
        chunks += written + again
        assert written == 1 or again == 0
        assert actor == once("open_job for _job") + stores({WRITE: written, ANOTHER_CHUNK: again})
    assert 1 <= len(actors) <= 2
    assert chunks == 3
