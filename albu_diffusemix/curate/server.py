"""The page for stores of any size: a server for this computer alone, which reads what is shown when it is shown."""

import json
import secrets
import sys
import threading
from collections.abc import Callable
from functools import lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

import cv2

from albu_diffusemix.curate.page import live_page
from albu_diffusemix.curate.pictures import Picture, Sources, counterpart_picture, source_picture
from albu_diffusemix.curate.table import Query, ReviewTable
from albu_diffusemix.store.choices import REJECT
from albu_diffusemix.store.files import StoreError
from albu_diffusemix.text import in_one_line, parse_json

__all__ = ["ReviewServer"]

_LOOPBACK = "127.0.0.1"
_HOSTS = (_LOOPBACK, "localhost")
_SIDE = 512  # pixels
_KEPT = 256  # pictures
_MOST_BYTES = 32 << 20  # of what a page sends
_MOST_ROWS = 500
_IDLE = 60  # seconds
_JSON = "application/json"


class _Answer(NamedTuple):
    body: bytes
    media_type: str
    status: int = HTTPStatus.OK
    keep: str = "no-store"


def _json(value: Any, status: int = HTTPStatus.OK) -> _Answer:
    return _Answer(json.dumps(value, allow_nan=False).encode(), _JSON, status)


_NOTHING = _json({"error": "there is nothing here"}, HTTPStatus.NOT_FOUND)


class ReviewServer(ThreadingHTTPServer):
    """Serves one page, its rows and its pictures on the loopback interface, to those who know its address.

    Nothing is looked up by a path: a picture is asked for by the number of a counterpart.

    Args:
        table: What to show.
        sources: Where the sources are.
        port: The port; 0 takes one that is free.

    Raises:
        OSError: The port is in use.

    """

    daemon_threads = True

    def __init__(self, table: ReviewTable, sources: Sources, port: int = 0) -> None:
        super().__init__((_LOOPBACK, port), _Handler)
        self.table, self.sources = table, sources
        self.token = secrets.token_urlsafe(24)
        self.once = threading.Lock()  # classes and scores are read by one thread, the others wait
        self.picture = lru_cache(_KEPT)(self._picture)

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{_LOOPBACK}:{self.server_address[1]}/{self.token}/"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Leave a browser that went away alone."""
        if not isinstance(sys.exc_info()[1], ConnectionError | TimeoutError):
            super().handle_error(request, client_address)

    def _picture(self, kind: str, number: int) -> Picture:
        record, store = self.table.record(number), self.table.store_of(number)
        if kind == "source":
            return source_picture(store, record, self.sources, _SIDE)
        return counterpart_picture(store, record, _SIDE)


class _Handler(BaseHTTPRequestHandler):
    server: ReviewServer
    protocol_version = "HTTP/1.1"
    timeout = _IDLE

    def do_GET(self) -> None:
        """Answer with the page, rows of it, or a picture."""
        self._answered(self._get)

    def do_POST(self) -> None:
        """Write verdicts."""
        self._answered(self._post)

    def version_string(self) -> str:
        """Tell nobody which Python this is."""
        return "albu-diffusemix"

    def log_message(self, format: str, *arguments: Any) -> None:  # noqa: A002  the library's name
        """Write no line for each request: the address is a secret."""

    def _answered(self, answer: Callable[[str], _Answer]) -> None:
        """Answer a request that knows the address; say any other only that there is nothing."""
        host = self.headers.get("Host", "")
        _, token, *rest = [*urlsplit(self.path).path.split("/", 2), ""]
        known = secrets.compare_digest(token.encode(), self.server.token.encode())
        try:
            given = answer(rest[0]) if known and (host.rpartition(":")[0] or host) in _HOSTS else _NOTHING
        except (StoreError, OSError, ValueError, MemoryError, cv2.error) as error:
            given = _json({"error": in_one_line(error)}, HTTPStatus.BAD_REQUEST)
        self.close_connection |= given.status != HTTPStatus.OK  # what was sent with it may not have been read
        self._send(given)

    def _get(self, path: str) -> _Answer:
        table = self.server.table
        asked = {name: values[-1] for name, values in parse_qs(urlsplit(self.path).query).items()}
        kind, _, number = path.partition("/")
        if path == "":
            return _Answer(live_page(table).encode(), "text/html; charset=utf-8")
        if path == "rows":
            return _json(self._rows(Query.parse(asked.get("query", "")), asked))
        if path == "facets":
            with self.server.once:
                return _json(table.facets())
        if kind in ("picture", "source") and number.isdecimal():
            return _Answer(*self.server.picture(kind, int(number)), keep="private, max-age=600")
        return _NOTHING

    def _rows(self, query: Query, asked: dict[str, str]) -> dict[str, Any]:
        count = min(int(asked.get("count", "1")), _MOST_ROWS)
        page = self.server.table.page(query, max(0, int(asked.get("start", "0"))), count)
        for row in (row for rows in page["rows"] for row in rows):
            row["picture"] = f"picture/{row['id']}"
            row["source"] = f"source/{row['id']}" if self.server.sources else None
        return page

    def _post(self, path: str) -> _Answer:
        body, table = self._body(), self.server.table
        rule = str(body.get("rule", ""))
        if path != "verdicts":
            return _NOTHING
        if "query" not in body:
            table.choose([(int(number), str(verdict)) for number, verdict in body.get("changes", [])], rule)
            return _json({})
        numbers = table.find(Query.parse(json.dumps(body["query"]))).tolist()
        before = [(number, table.verdict(number)) for number in numbers if table.verdict(number) != REJECT]
        table.choose([(number, REJECT) for number, _ in before], rule)
        return _json({"before": before})

    def _body(self) -> dict[str, Any]:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            raise ValueError(f"a request may have up to {_MOST_BYTES:,} bytes and must say how many")
        if self.headers.get_content_type() != _JSON:
            raise ValueError(f"a request must be {_JSON}")
        body = parse_json(self.rfile.read(int(length)))
        if not isinstance(body, dict):
            raise ValueError("a request must be a JSON object")  # noqa: TRY004  bad input
        return body

    def _send(self, answer: _Answer) -> None:
        self.send_response(answer.status)
        headers = {
            "Content-Type": answer.media_type,
            "Content-Length": len(answer.body),
            "Cache-Control": answer.keep,
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cross-Origin-Resource-Policy": "same-origin",
            "X-Frame-Options": "DENY",
        }
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(answer.body)
