"""Lines of JSON between a process and one that it started; both ends.

Each line is a message: a list of a word and its arguments. Where the child's output ends, the child is dead. Where its
input ends, the parent is dead, and so is the child at once.
"""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import IO, Any, TypeAlias

from albu_diffusemix.import_paths import module_command, module_environment

__all__ = ["ChildProcess", "Message", "ParentProcess"]

Message: TypeAlias = list[Any]

_FAREWELL = 10.0  # seconds for the last messages of a process that was killed


class ChildProcess:
    """A process that runs the function `main` of one of our modules.

    Args:
        module: Its full name.
        receive: Called in a thread with each message of the child, and with None at the end.
        environment: Variables beside those of this process.
        errors: Where its standard error goes; None for that of this process.

    """

    def __init__(
        self,
        module: str,
        receive: Callable[[Message | None], object],
        environment: Mapping[str, str],
        errors: IO[Any] | None = None,
    ) -> None:
        self._on_message = receive
        self._process = subprocess.Popen(  # noqa: S603  our own module
            module_command(module),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            env={**module_environment(), **environment},
            text=True,
            encoding="utf-8",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which passes it on
        )
        assert self._process.stdin is not None  # noqa: S101  a pipe, as the next one
        assert self._process.stdout is not None  # noqa: S101
        self._input, self._output = self._process.stdin, self._process.stdout
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def send(self, *message: Any) -> None:
        """Send a message; if the child is dead, the end of its output will tell."""
        with suppress(OSError):
            self._input.write(json.dumps(message) + "\n")
            self._input.flush()

    def wait(self, seconds: float | None = None) -> int:
        """Wait for its end, and return its exit status.

        Raises:
            subprocess.TimeoutExpired: It has not ended in time.

        """
        status = self._process.wait(seconds)
        with suppress(OSError):  # something was still to be written
            self._input.close()
        return status

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()
        self.wait()
        self._listener.join(_FAREWELL)

    def _listen(self) -> None:
        with self._output as lines:
            for line in lines:
                if line.endswith("\n"):  # what was cut off says nothing
                    self._on_message(json.loads(line))
        self._on_message(None)


class ParentProcess:
    """The process that started this one: it is at the other end of standard input and output.

    Args:
        receive: Called in a thread with each message of the parent.

    """

    def __init__(self, receive: Callable[[Message], object]) -> None:
        self._lock = threading.Lock()
        self._output = os.dup(sys.stdout.fileno())
        os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # what others print must not get between the messages
        threading.Thread(target=self._listen, args=(receive,), daemon=True).start()

    def send(self, *message: Any) -> None:
        """Send a message; if nobody listens any more, end this process."""
        data = (json.dumps(message) + "\n").encode()
        try:
            with self._lock:
                while data:
                    data = data[os.write(self._output, data) :]
        except OSError:
            os._exit(1)

    def _listen(self, receive: Callable[[Message], object]) -> None:
        # Not sys.stdin: this thread would hold its lock when the interpreter ends, which is a fatal error there.
        with os.fdopen(os.dup(sys.stdin.fileno()), encoding="utf-8") as lines:
            for line in lines:
                receive(json.loads(line))
        os._exit(1)
