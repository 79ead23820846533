"""What a backend loads, it loads once in a process, and takes to no other."""

import pickle
import threading
import time
from pathlib import Path

import pytest

from albu_diffusemix.backends.loaded_once import LoadedOnce


class Loading:
    """Counts how often it loads."""

    def __init__(self, *, fail_first=False):
        self.times = 0
        self.fail_first = fail_first

    def __call__(self):
        self.times += 1
        time.sleep(0.01)
        if self.fail_first and self.times == 1:
            raise ValueError("not yet")
        return object()


def test_nothing_is_loaded_before_the_first_call():
    load = Loading()
    LoadedOnce(load)
    assert load.times == 0


def test_threads_that_call_at_once_load_once():
    load, met = Loading(), []
    loaded = LoadedOnce(load)
    threads = [threading.Thread(target=lambda: met.append(loaded())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert load.times == 1
    assert len(met) == 4
    assert len(set(map(id, met))) == 1


def test_another_process_loads_for_itself(monkeypatch):
    load = Loading()
    loaded = LoadedOnce(load)
    ours = loaded()
    monkeypatch.setattr("albu_diffusemix.backends.loaded_once.os.getpid", lambda: -1)
    assert loaded() is not ours
    assert loaded() is loaded()
    assert load.times == 2


def test_a_pickle_holds_how_to_load_and_not_what_was_loaded():
    loaded = LoadedOnce(Path.cwd)
    before = len(pickle.dumps(loaded))
    loaded()
    pickled = pickle.dumps(loaded)
    assert len(pickled) == before
    assert pickle.loads(pickled)() == Path.cwd()  # noqa: S301  our own bytes


def test_a_failed_load_is_tried_again():
    loaded = LoadedOnce(Loading(fail_first=True))
    with pytest.raises(ValueError, match="not yet"):
        loaded()
    assert loaded() is loaded()
