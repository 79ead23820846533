import ctypes
import os
import signal
import threading
import time

import pytest

from albu_diffusemix.generate import stop_on_signals

NUMBERS = (signal.SIGINT, signal.SIGTERM)


@pytest.fixture(autouse=True)
def handlers():
    """Give the signals back as they were, which is not done after a second one."""
    before = {number: signal.getsignal(number) for number in NUMBERS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", NUMBERS)
def test_the_first_signal_sets_stop_and_is_announced(number):
    stop, announced, ended = threading.Event(), threading.Event(), []
    with stop_on_signals(stop, announced.set, lambda: ended.append(True)):
        os.kill(os.getpid(), number)
        assert stop.wait(60)
        assert announced.wait(60)
    assert ended == []


@pytest.mark.parametrize("first", NUMBERS)
@pytest.mark.parametrize("second", NUMBERS)
def test_the_second_signal_interrupts_the_main_thread(first, second):
    stop, ended = threading.Event(), threading.Event()

    def work():
        with stop_on_signals(stop, lambda: None, ended.set):
            os.kill(os.getpid(), first)
            assert stop.wait(60)
            os.kill(os.getpid(), second)
            time.sleep(60)
            pytest.fail("nothing has interrupted it")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert ended.wait(60)


def test_two_signals_that_the_main_thread_takes_for_one_interrupt_it_too():
    def send():
        os.kill(os.getpid(), signal.SIGINT)
        stop.wait(60)
        os.kill(os.getpid(), signal.SIGINT)

    stop, ended = threading.Event(), threading.Event()

    def work():
        with stop_on_signals(stop, lambda: None, ended.set):
            threading.Thread(target=send).start()
            hang_until(ended)
            time.sleep(60)
            pytest.fail("nothing has interrupted it")

    with pytest.raises(KeyboardInterrupt):
        work()


def hang_until(ended):
    """Wait in calls that no signal interrupts: for a mutex that this thread holds already, a second each."""
    mutex, library = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    library.pthread_mutex_lock(mutex)
    until = (ctypes.c_long * 2)(int(time.time()) + 3, 0)
    library.pthread_mutex_timedlock(mutex, until)
    assert ended.is_set()


def test_other_signals_are_not_counted():
    stop = threading.Event()
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    with stop_on_signals(stop, lambda: None, lambda: None):
        os.kill(os.getpid(), signal.SIGUSR1)
        os.kill(os.getpid(), signal.SIGUSR1)
    signal.signal(signal.SIGUSR1, before)
    assert not stop.is_set()


def test_after_the_block_signals_are_as_before():
    before = [signal.getsignal(number) for number in NUMBERS]
    with stop_on_signals(threading.Event(), lambda: None, lambda: None):
        assert [signal.getsignal(number) for number in NUMBERS] != before
    assert [signal.getsignal(number) for number in NUMBERS] == before
