"""Ctrl-C and SIGTERM: the first asks a job to finish what is in hand, the second ends the process, whatever hangs."""

import contextlib
import itertools
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["stop_on_signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)


@contextlib.contextmanager
def stop_on_signals(
    stop: threading.Event, announce: Callable[[], object], end_process: Callable[[], object]
) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C or SIGTERM (Slurm's, too) within the block; a second one raises KeyboardInterrupt.

    The main thread may hang in a call, and then hears of no signal. So another thread listens as well; it sets `stop`,
    and at the second signal it calls `end_process`, which is to give the main thread a moment and end the process.

    Args:
        stop: What to set.
        announce: Called at the first one, in that thread.
        end_process: Called at the second one, in that thread.

    """
    heard = itertools.count()

    def handle(*_: Any) -> None:
        if next(heard):
            raise KeyboardInterrupt

    told, teller = socket.socketpair()
    teller.settimeout(0)
    threading.Thread(target=_listen, args=(told, stop, announce, end_process), daemon=True).start()
    before = {number: signal.signal(number, handle) for number in _NUMBERS}
    waker = signal.set_wakeup_fd(teller.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker)
        for number, handler in before.items():
            signal.signal(number, handler)
        teller.close()


def _listen(
    told: socket.socket, stop: threading.Event, announce: Callable[[], object], end_process: Callable[[], object]
) -> None:
    """Read the numbers of signals, which come even while the main thread hangs, until nobody can write any."""
    heard = 0
    with told:
        while number := told.recv(1):
            heard += number[0] in _NUMBERS
            if heard == 1 and not stop.is_set():
                stop.set()
                announce()
            elif heard > 1:
                end_process()
