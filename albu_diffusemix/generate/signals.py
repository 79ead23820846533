"""Ctrl-C and SIGTERM: the first asks a job to finish its batches, the second ends the process, whatever hangs."""

import contextlib
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

__all__ = ["stop_on_signals"]

_NUMBERS = (signal.SIGINT, signal.SIGTERM)
_SIGNALS, _PAUSE = 10, 0.05


@contextlib.contextmanager
def stop_on_signals(
    stop: threading.Event, announce: Callable[[], object], end_process: Callable[[], object]
) -> Iterator[None]:
    """Set `stop` at the first Ctrl-C or SIGTERM (Slurm's, too) within the block; a second one raises KeyboardInterrupt.

    The main thread may hang in a call, and then notices no signal. So another thread counts them; it sets `stop`, and
    at the second signal it calls `end_process`, which is to give the main thread a moment and end the process.

    Args:
        stop: What to set.
        announce: Called at the first one, in that thread.
        end_process: Called at the second one, in that thread.

    """
    receiver, sender = socket.socketpair()
    sender.settimeout(0)
    listener = _Listener(receiver, stop, announce, end_process)
    threading.Thread(target=listener.listen, daemon=True).start()
    before = {number: signal.signal(number, listener.interrupt) for number in _NUMBERS}
    waker = signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
    try:
        yield
    finally:
        signal.set_wakeup_fd(waker)
        for number, handler in before.items() if listener.count < 2 else ():  # noqa: PLR2004  then the process ends
            signal.signal(number, handler)
        sender.close()


class _Listener:
    """Counts signals, also while the main thread hangs.

    Args:
        receiver: Where the numbers of signals are read.
        stop: See `stop_on_signals`, as for the other ones.
        announce: The same.
        end_process: The same.

    """

    def __init__(
        self,
        receiver: socket.socket,
        stop: threading.Event,
        announce: Callable[[], object],
        end_process: Callable[[], object],
    ) -> None:
        self.count = 0
        self._receiver = receiver
        self._stop = stop
        self._announce = announce
        self._end_process = end_process
        self._interrupted = False

    def interrupt(self, *_: Any) -> None:
        """Raise KeyboardInterrupt once, in the main thread, when there were two signals."""
        if self.count > 1 and not self._interrupted:
            self._interrupted = True
            raise KeyboardInterrupt

    def listen(self) -> None:
        """Read the numbers until nobody can write any."""
        with self._receiver:
            while number := self._receiver.recv(1):
                if number[0] in _NUMBERS:
                    self.count += 1
                    self._take()

    def _take(self) -> None:
        if self.count == 1:
            self._stop.set()
            self._announce()
        if self.count == 2:  # noqa: PLR2004  the second one
            self._wake_main_thread()
            self._end_process()

    def _wake_main_thread(self) -> None:
        """Signal again: it may have taken both for one, or this one just before it went to sleep."""
        main = threading.main_thread().ident or 0
        for _ in range(_SIGNALS):
            if self._interrupted:
                return
            signal.pthread_kill(main, signal.SIGINT)
            time.sleep(_PAUSE)
