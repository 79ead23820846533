"""The process that talks to Ray, for the engine: whatever happens to Ray, the engine can go on, or end at once.

In: `["connect", options]`, `["job", fields of an ActorJob, GPUs]`, then `["start_actor", number]`,
`["make", number, sources]`, `["stop"]`, `["stop_actor", number]` and at last `["end"]`. Out: `["connected"]`,
`["ready", number, problem]`, `["events", number, events]`, `["died", number]`, and at last `["error", text]` if
something is wrong.
Where the input breaks off the engine is dead, and so is this process at once; Ray then ends its actors.
"""

import os
import re
import socket
import sys
import threading
import time
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

from albu_diffusemix.generate.events import ENDINGS
from albu_diffusemix.generate.messages import Message, ParentProcess
from albu_diffusemix.generate.ray_worker import RayWorker

__all__ = ["main"]

_LOOK = 0.05  # seconds between looks at what the engine says
_PATIENCE = 5  # seconds for a cluster to answer
_HEAD_SILENCE = 10  # seconds after which a head that does not answer is dead; Ray itself would end this process in 60
_LONGEST_ERROR = 600
_PLACES = 3  # in RayWorker: `events` waits while `make` and `stop` come beside it


def main() -> int:
    """Work until told to end; returns the exit status."""
    commands: SimpleQueue[Message] = SimpleQueue()
    engine = ParentProcess(commands.put)
    _, options = commands.get()
    import ray  # noqa: PLC0415  an extra

    try:
        head = _connect(ray, options)
        engine.send("connected")
        threading.Thread(target=_watch_head, args=(head, engine), daemon=True).start()
        _Driver(ray, engine, commands).run()
    except Exception as error:  # noqa: BLE001  the engine shows it, in one line
        engine.send("error", _one_line(ray, error))
        return 1
    ray.shutdown()
    return 0


class _Driver:
    def __init__(self, ray: Any, engine: ParentProcess, commands: "SimpleQueue[Message]") -> None:
        self._ray = ray
        self._engine = engine
        self._commands = commands
        self._actors: dict[int, Any] = {}
        self._calls: dict[Any, tuple[int, str]] = {}  # what is waited for: whose call it is, and which
        self._start: Any = None

    def run(self) -> None:
        while True:
            command = self._next_command()
            if command is None:
                self._listen()
            elif command == ["end"]:
                return
            else:
                word, *rest = command
                getattr(self, f"_on_{word}")(*rest)

    def _next_command(self) -> Message | None:
        try:
            return self._commands.get(timeout=0 if self._calls else _LOOK)
        except Empty:
            return None

    def _on_job(self, fields: list[Any], gpus: float | None) -> None:
        if gpus is None:
            gpus = 1 if self._ray.cluster_resources().get("GPU") else 0
        remote = self._ray.remote(num_cpus=1, num_gpus=gpus, max_concurrency=_PLACES, scheduling_strategy="SPREAD")
        self._start = partial(remote(RayWorker).remote, fields)

    def _on_start_actor(self, number: int) -> None:
        self._actors[number] = self._start()
        self._call(number, "check")

    def _on_make(self, number: int, sources: list[list[Any]]) -> None:
        if number in self._actors:
            self._actors[number].make.remote(sources)
            self._call(number, "events")

    def _on_stop(self) -> None:
        for actor in self._actors.values():
            actor.stop.remote()

    def _on_stop_actor(self, number: int) -> None:
        actor = self._actors.pop(number, None)
        if actor is not None:
            self._calls = {call: of for call, of in self._calls.items() if of[0] != number}
            self._ray.kill(actor)

    def _call(self, number: int, method: str) -> None:
        self._calls[getattr(self._actors[number], method).remote()] = number, method

    def _listen(self) -> None:
        ready = self._ray.wait(list(self._calls), timeout=_LOOK)[0] if self._calls else []
        for call in ready:
            number, method = self._calls.pop(call)
            try:
                answer = self._ray.get(call)
            except self._ray.exceptions.RayActorError as error:
                if error.actor_init_failed:
                    raise
                self._on_stop_actor(number)
                self._engine.send("died", number)
                continue
            if method == "check":
                self._engine.send("ready", number, answer)
                continue
            if not answer or answer[-1][0] not in ENDINGS:
                self._call(number, "events")
            self._engine.send("events", number, answer)


def _connect(ray: Any, options: dict[str, Any]) -> str:
    """Connect to the cluster, or start one; returns where its head listens."""
    address = options["address"]
    try:
        _check_reachable(address)
        ray.init(
            address=address or "local",
            num_cpus=None if address else options["workers"],
            include_dashboard=None if address else False,
            job_config=None if "://" in address else _job_config(ray),
            runtime_env=options["runtime_env"],
            log_to_driver=False,
            logging_level="error",
        )
    except Exception as error:
        where = f"at {address!r}" if address else "on this machine"
        raise ValueError(f"no Ray cluster {where}: {_one_line(ray, error)}") from error
    return address if "://" in address else str(ray.get_runtime_context().gcs_address)


class _Fixed(list[str]):
    """A list that nothing is added to."""

    def extend(self, _: object) -> None:
        """Leave it as it is."""


def _job_config(ray: Any) -> Any:
    """Keep the working directory out of where actors look for modules: a data set's folder is no place for code."""
    config = ray.job_config.JobConfig()
    config._py_driver_sys_path = _Fixed()  # noqa: SLF001  Ray puts the directory there, and has no switch for it
    return config


def _check_reachable(address: str) -> None:
    """See whether anybody listens at `host:port`: Ray itself would try for minutes."""
    host, _, port = address.rpartition("/")[2].rpartition(":")
    if host and port.isdigit():
        socket.create_connection((host.strip("[]"), int(port)), _PATIENCE).close()


def _watch_head(address: str, engine: ParentProcess) -> None:
    last = time.monotonic()
    while time.monotonic() - last < _HEAD_SILENCE:
        try:
            _check_reachable(address)
            last = time.monotonic()
        except OSError:
            pass
        time.sleep(1)
    engine.send("error", f"the head of the Ray cluster at {address!r} does not answer any more")
    os._exit(1)


def _one_line(ray: Any, error: Exception) -> str:
    """Return an error of Ray's in a line; of a traceback from another node, its last line and the node."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    if not isinstance(error, (ray.exceptions.RayActorError, ray.exceptions.RayTaskError)):
        return " ".join(lines)[:_LONGEST_ERROR]
    node = re.search(r"ip=([0-9a-fA-F.:]+)", str(error))
    causes = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)] or lines
    where = f"node {node[1]}" if node else "a node of the cluster"
    return f"{where}: an actor cannot work there: {causes[-1]}"[:_LONGEST_ERROR]


if __name__ == "__main__":
    sys.exit(main())
