"""The way to the process that talks to Ray.

Ray lives in a process of its own, `ray_driver`: a cluster that hangs, a head that dies and signals that Ray takes for
itself end that process and not this one.
"""

import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from queue import Empty, SimpleQueue

from albu_diffusemix.generate.messages import ChildProcess, Message
from albu_diffusemix.generate.options import ResolvedOptions

__all__ = ["RayLink", "connected", "require_ray"]

_LOOK = 0.2  # seconds between looks at the stop signal
_SHUTDOWN = 10.0  # seconds for Ray to end by itself


class RayLink(ChildProcess):
    """The process that talks to Ray.

    Args:
        options: The job's.

    """

    def __init__(self, options: ResolvedOptions) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._log = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  until closed
        environment = {"RAY_USAGE_STATS_ENABLED": "0"}
        super().__init__("albu_diffusemix.generate.ray_driver", self._take, environment, self._log)
        runtime_env = dict(options.runtime_env) if options.runtime_env else None
        self.send("connect", {"address": _address(options), "workers": options.workers, "runtime_env": runtime_env})

    def receive(self) -> Message | None:
        """Return its next message, or None after a moment of silence.

        Raises:
            ValueError: Ray failed; the message is Ray's.

        """
        try:
            message = self._messages.get(timeout=_LOOK)
        except Empty:
            return None
        if message[0] == "error":
            raise ValueError(message[1])
        return message

    def close(self) -> None:
        """Let Ray end by itself, but not for long."""
        self.send("end")
        with suppress(subprocess.TimeoutExpired):
            self.wait(_SHUTDOWN)

    def kill(self) -> None:
        """End it at once; Ray then ends the actors."""
        super().kill()
        self._log.close()

    def _take(self, message: Message | None) -> None:
        if message is None:
            message = ["error", f"Ray ended with status {self._process.wait()}: {self._last_line()}"]
        self._messages.put(message)

    def _last_line(self) -> str:
        self._log.seek(0)
        lines = [line.strip() for line in self._log.read().splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def require_ray() -> None:
    """Raise ValueError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ValueError("the ray engine needs Ray: pip install ray")


@contextmanager
def connected(options: ResolvedOptions, stop: threading.Event) -> Iterator[RayLink]:
    """Connect to the cluster, or start one on this machine, for a block.

    Args:
        options: The job's.
        stop: When set, no longer waited for.

    Raises:
        ValueError: Ray is not installed, or there is no such cluster.

    """
    require_ray()
    link = RayLink(options)
    try:
        while not stop.is_set() and link.receive() is None:
            pass
        yield link
        if not stop.is_set():
            link.close()
    finally:
        link.kill()


def _address(options: ResolvedOptions) -> str:
    """Return the cluster's address: as asked for, else of the one that this process is connected to, if any."""
    if options.ray_address:
        return options.ray_address
    ray = sys.modules.get("ray")
    return str(ray.get_runtime_context().gcs_address) if ray is not None and ray.is_initialized() else ""
