"""A Hugging Face Hub on loopback, for data sets: it answers what huggingface_hub asks, and keeps all in memory.

There is no Xet: with `HF_HUB_DISABLE_XET=1` the client sends large files by LFS, and where `plain` is set it is told to
put every file into the commit itself. For one client at a time, which may use several threads.
"""

import base64
import contextlib
import hashlib
import json
import re
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

from huggingface_hub import constants

TOKEN = "hf_of_the_owner"  # noqa: S105  of this server alone


@contextlib.contextmanager
def loopback_hub(tmp_path, monkeypatch):
    """A Hub that the library of this process talks to, with its owner's token and an empty cache; by LFS."""
    with HubServer() as server:
        monkeypatch.setattr(constants, "ENDPOINT", server.url)
        address = server.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
        monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield server


class Repository:
    """Commits, each a mapping of paths to bytes; the last one is main."""

    def __init__(self, *, private):
        self.private = private
        self.commits = {}
        self.commit({".gitattributes": b"*.tar filter=lfs\n"})

    @property
    def head(self):
        return list(self.commits)[-1]

    @property
    def files(self):
        return self.commits[self.head]

    def commit(self, added):
        files = {**(self.files if self.commits else {}), **added}
        name = _git_hash(repr((len(self.commits), sorted(files.items()))).encode())
        self.commits[name] = files
        return name


class HubServer(ThreadingHTTPServer):
    """The server, in a thread of its own within a `with` block.

    Attributes:
        repositories: By name.
        objects: What was sent by LFS, by sha256.
        requests: How often each method was asked for each kind of path.
        sent: How often each object was sent by LFS.
        asked: How often each file was asked for.
        plain: Whether files go into commits, not by LFS.
        stop_at: `(method, kind of path, number)` or `(method, name of a file)`: that request is not answered before
            `go_on` is set.
        stopped: Set when it came.

    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.objects, self.requests = {}, {}, Counter()
        self.sent, self.asked = Counter(), Counter()
        self.plain, self.stop_at = False, None
        self.stopped, self.go_on = threading.Event(), threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.go_on.set()
        self.shutdown()
        self.server_close()

    def handle_error(self, *_):
        """A client that was killed is no error of the server."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # head and body of an answer are two writes

    def log_message(self, *_):
        pass

    def do_GET(self):
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            self.body = b"".join(self._chunks())
        path = unquote(urlsplit(self.path).path)
        kind = next((name for name, form in ROUTES.items() if re.fullmatch(form, path)), "unknown")
        self.server.requests[self.command, kind] += 1
        self._wait(kind)
        found = re.fullmatch(ROUTES.get(kind, ".*"), path)
        getattr(self, f"_{kind}")(**found.groupdict())

    do_HEAD = do_POST = do_PUT = do_GET  # noqa: N815  the names that http.server calls

    def _chunks(self):
        while size := int(self.rfile.readline(), 16):
            yield self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()

    def _wait(self, kind):
        number, name = self.server.requests[self.command, kind], self.path.rpartition("/")[2]
        if self.server.stop_at in ((self.command, kind, number), (self.command, name)):
            self.server.stopped.set()
            self.server.go_on.wait(30)

    def _unknown(self):
        self._fail(404, "EntryNotFound")

    def _create(self):
        asked = json.loads(self.body)
        if self._token() is None:
            return self._fail(401, "")
        name = f"{asked['organization']}/{asked['name']}"
        if not name.startswith("owner/"):
            return self._fail(403, "")
        there = name in self.server.repositories
        if not there:
            self.server.repositories[name] = Repository(private=asked["visibility"] == "private")
        return self._json({"url": f"{self.server.url}/datasets/{name}"}, 409 if there else 200)

    def _yaml(self):
        self._json({"errors": [], "warnings": []})

    def _info(self, name, revision=None):
        repository, commit = self._find(name, revision)
        if repository:
            files = repository.commits[commit].items()
            asked = "blobs=" in urlsplit(self.path).query
            listed = [{"rfilename": path, **(_facts(path, data) if asked else {})} for path, data in files]
            self._json({"id": name, "sha": commit, "private": repository.private, "siblings": listed})

    def _preupload(self, name, revision):
        repository, _ = self._find(name, revision)
        if repository:
            files = json.loads(self.body)["files"]
            self._json({"files": [self._mode(repository, file["path"]) for file in files]})

    def _mode(self, repository, path):
        large = path.endswith((".tar", ".idx")) and not self.server.plain
        data = repository.files.get(path)
        oid = None if data is None else _sha256(data) if large else _git_hash(data)
        return {"path": path, "uploadMode": "lfs" if large else "regular", "shouldIgnore": False, "oid": oid}

    def _batch(self, name):
        if not self._find(name, None)[0]:
            return
        objects = json.loads(self.body)["objects"]
        for entry in objects:
            if entry["oid"] not in self.server.objects:
                entry["actions"] = {"upload": {"href": f"{self.server.url}/lfs/{entry['oid']}"}}
        self._json({"transfer": "basic", "objects": objects})

    def _lfs(self, oid):
        if _sha256(self.body) != oid:
            return self._fail(400, "")
        self.server.sent[oid] += 1
        self.server.objects[oid] = self.body
        return self._json({})

    def _commit(self, name, revision):
        repository, _ = self._find(name, revision)
        if repository:
            added = dict(filter(None, (self._added(json.loads(line)) for line in self.body.splitlines())))
            commit = repository.commit(added)
            self._json({"commitUrl": f"{self.server.url}/datasets/{name}/commit/{commit}", "commitOid": commit})

    def _added(self, line):
        value = line["value"]
        if line["key"] == "file":
            return value["path"], base64.b64decode(value["content"])
        return (value["path"], self.server.objects[value["oid"]]) if line["key"] == "lfsFile" else None

    def _tree(self, name, revision):
        repository, commit = self._find(name, revision)
        if repository:
            files = repository.commits[commit].items()
            self._json([{"type": "file", "path": path, **_facts(path, data)} for path, data in files])

    def _resolve(self, name, revision, path):
        repository, commit = self._find(name, revision)
        if not repository:
            return
        data = repository.commits[commit].get(path)
        if data is None:
            self._fail(404, "EntryNotFound")
            return
        self.server.asked[path] += self.command == "GET"
        start = int(re.sub(r"bytes=(\d+)-", r"\1", self.headers.get("Range", "0")))
        etag = _sha256(data) if path.endswith((".tar", ".idx")) else _git_hash(data)
        ranged = {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"} if start else {}
        self._send(data[start:], 206 if start else 200, {"ETag": f'"{etag}"', "X-Repo-Commit": commit, **ranged})

    def _find(self, name, revision):
        """Return a repository and a commit, or answer that one is not there."""
        repository = self.server.repositories.get(name)
        hidden = self._token() is None and (self.command in ("POST", "PUT") or (repository and repository.private))
        if repository is None or hidden:
            self._fail(401 if hidden else 404, "RepoNotFound")
            return None, ""
        commit = repository.head if revision in (None, "main") else revision
        if commit not in repository.commits:
            self._fail(404, "RevisionNotFound")
            return None, ""
        return repository, commit

    def _token(self):
        return TOKEN if self.headers.get("Authorization") == f"Bearer {TOKEN}" else None

    def _fail(self, status, code):
        self._send(b"{}", status, {"X-Error-Code": code} if code else {})

    def _json(self, value, status=200):
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json"})

    def _send(self, data, status, headers):
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)


_NAME = r"(?P<name>[^/]+/[^/]+)"
ROUTES = {
    "create": "/api/repos/create",
    "yaml": "/api/validate-yaml",
    "info": rf"/api/datasets/{_NAME}(/revision/(?P<revision>.+))?",
    "preupload": rf"/api/datasets/{_NAME}/preupload/(?P<revision>.+)",
    "batch": rf"/datasets/{_NAME}\.git/info/lfs/objects/batch",
    "lfs": r"/lfs/(?P<oid>[0-9a-f]{64})",
    "commit": rf"/api/datasets/{_NAME}/commit/(?P<revision>.+)",
    "tree": rf"/api/datasets/{_NAME}/tree/(?P<revision>[^/]+)",
    "resolve": rf"/datasets/{_NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)",
}


def _facts(path, data):
    digest = _sha256(data)
    lfs = {"lfs": {"oid": digest, "sha256": digest, "size": len(data), "pointerSize": 130}}
    return {"size": len(data), "oid": _git_hash(data), **(lfs if path.endswith((".tar", ".idx")) else {})}


def _sha256(data):
    return hashlib.sha256(data).hexdigest()


def _git_hash(data):
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()
