"""The way to the process that talks to Ray.

Ray lives in a process of its own, `ray_driver`: a cluster that hangs, a head that dies and signals that Ray takes for
itself end that process and not this one.
"""

import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from queue import Empty, SimpleQueue
from typing import Any

from albu_diffusemix.generate.options import ResolvedOptions
from albu_diffusemix.import_paths import module_command, module_environment

__all__ = ["RayLink", "connected", "require_ray"]

_LOOK = 0.2  # seconds between looks at the stop signal
_SHUTDOWN = 10.0  # seconds for Ray to end by itself

Message = list[Any]


class RayLink:
    """The process that talks to Ray.

    Args:
        options: The job.

    """

    def __init__(self, options: ResolvedOptions) -> None:
        self._messages: SimpleQueue[Message] = SimpleQueue()
        self._chatter = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  until closed
        self._process = subprocess.Popen(  # noqa: S603  our own program
            module_command("albu_diffusemix.generate.ray_driver"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._chatter,
            env={**module_environment(), "RAY_USAGE_STATS_ENABLED": "0"},
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches the engine alone, which passes it on
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        runtime_env = dict(options.runtime_env) if options.runtime_env else None
        self.say("connect", {"address": _address(options), "workers": options.workers, "runtime_env": runtime_env})

    def say(self, *words: Any) -> None:
        """Tell it something; if it is dead, the end of its output will tell."""
        assert self._process.stdin is not None  # noqa: S101  a pipe, see above
        with suppress(OSError):
            self._process.stdin.write(json.dumps(words) + "\n")
            self._process.stdin.flush()

    def hear(self) -> Message | None:
        """Return what it says, or None after a moment of silence.

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
        self.say("end")
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_SHUTDOWN)

    def kill(self) -> None:
        """End it at once; Ray then ends the actors."""
        assert self._process.stdin is not None  # noqa: S101  a pipe, see above
        self._process.kill()
        self._process.wait()
        self._listener.join()
        self._chatter.close()
        with suppress(OSError):
            self._process.stdin.close()

    def _listen(self) -> None:
        assert self._process.stdout is not None  # noqa: S101  a pipe, see above
        with self._process.stdout as told:
            for line in told:
                if line.endswith("\n"):
                    self._messages.put(json.loads(line))
        self._messages.put(["error", f"Ray ended with status {self._process.wait()}: {self._last_words()}"])

    def _last_words(self) -> str:
        self._chatter.seek(0)
        lines = [line.strip() for line in self._chatter.read().splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"


def require_ray() -> None:
    """Raise ValueError where Ray is not installed."""
    if find_spec("ray") is None:
        raise ValueError("the ray engine needs Ray: pip install 'albu-diffusemix[ray]'")


@contextmanager
def connected(options: ResolvedOptions, stop: threading.Event) -> Iterator[RayLink]:
    """Connect to the cluster, or start one on this machine, for a block.

    Args:
        options: The job.
        stop: When set, no longer waited for.

    Raises:
        ValueError: Ray is not installed, or there is no such cluster.

    """
    require_ray()
    link = RayLink(options)
    try:
        while not stop.is_set() and link.hear() is None:
            pass
        yield link
        if not stop.is_set():
            link.close()
    finally:
        link.kill()


def _address(options: ResolvedOptions) -> str:
    """Name the cluster: the one that was asked for, else the one that this process is connected to, if any."""
    if options.ray_address:
        return options.ray_address
    ray = sys.modules.get("ray")
    return str(ray.get_runtime_context().gcs_address) if ray is not None and ray.is_initialized() else ""
