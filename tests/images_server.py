"""A server on loopback that speaks `POST /v1/images/edits`, with faults on demand."""

import base64
import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np


@dataclass
class Call:
    """What the server was asked for."""

    fields: dict[str, str]
    image: np.ndarray
    headers: dict[str, str]


@dataclass
class Reply:
    """What it answers: an image, or something else in its place."""

    image: np.ndarray | None = None
    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False
    drops: float = 0.0  # seconds between bytes


def noisy(call: Call) -> np.ndarray:
    """Edit as a model would: by image, prompt and seed alone."""
    seed = int(call.fields["seed"]) + sum(call.fields["prompt"].encode())
    noise = np.random.default_rng(seed).integers(0, 120, call.image.shape)
    return (call.image * 0.5 + noise).astype(np.uint8)


class ImagesServer(ThreadingHTTPServer):
    """Answers by `edit`, or by what `fault` returns for a call if that is not None; keeps what it was asked."""

    daemon_threads = True

    def __init__(self, edit: Callable[[Call], np.ndarray], fault: Callable[[int, Call], Reply | None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.edit, self.fault = edit, fault
        self.calls: list[Call] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def answer(self, call: Call) -> Reply:
        with self.lock:
            self.calls.append(call)
            number = len(self.calls)
        return self.fault(number, call) or Reply(self.edit(call))


class _Handler(BaseHTTPRequestHandler):
    server: ImagesServer

    def do_GET(self) -> None:
        known = {"/version": {"version": "0.23.0"}, "/v1/models": {"data": [{"id": "tiny", "root": "tiny/klein"}]}}
        found = self.path in known
        self._send(Reply(status=200 if found else 404, body=json.dumps(known.get(self.path, {})).encode()))

    def do_POST(self) -> None:
        self.server.paths.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
        parts = {
            part.get_param("name", header="content-disposition"): part.get_payload(decode=True)
            for part in message_from_bytes(head + body, policy=policy.HTTP).iter_parts()
        }
        image = cv2.imdecode(np.frombuffer(parts.pop("image"), np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
        fields = {name: text.decode() for name, text in parts.items()}
        if self.path != "/v1/images/edits":
            self._send(Reply(status=404, body=b'{"detail": "Not Found"}'))
            return
        self._send(self.server.answer(Call(fields, image, dict(self.headers))))

    def _send(self, reply: Reply) -> None:
        body = reply.body or json.dumps({"data": [{"b64_json": _encoded(reply.image)}]}).encode()
        self.send_response(reply.status)
        for name, value in {"Content-Length": str(len(body)), **reply.headers}.items():
            self.send_header(name, value)
        with contextlib.suppress(ConnectionError):  # whoever gave up waiting has hung up
            self.end_headers()
            if reply.drops:
                self._drop(body, reply.drops)
                return
            self.wfile.write(body[: len(body) // 2] if reply.cut else body)

    def _drop(self, body: bytes, seconds: float) -> None:
        for byte in body:
            self.wfile.write(bytes([byte]))
            time.sleep(seconds)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def _encoded(image: np.ndarray) -> str:
    png = cv2.imencode(".png", np.ascontiguousarray(image[..., ::-1]))[1]
    return base64.b64encode(png.tobytes()).decode()


@contextmanager
def serving(
    edit: Callable[[Call], np.ndarray] = noisy, fault: Callable[[int, Call], Reply | None] = lambda *_: None
) -> Iterator[ImagesServer]:
    """Run a server until the block ends."""
    with ImagesServer(edit, fault) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
