"""A Hub of our own: what `huggingface_hub` asks of the real one over HTTP, from a thread.

Models can be put into it and looked at; it knows two tokens, and remembers what it was asked.
"""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

READER, WRITER = "hf_reader", "hf_writer"
"""May see what is private; may write as well."""
Files = dict[str, bytes]


@dataclass
class Repository:
    """A model's files by commit, and its branches; or a data set's."""

    private: bool = False
    gated: bool = False
    branches: dict[str, str] = field(default_factory=dict)
    commits: dict[str, Files] = field(default_factory=dict)

    def commit(self, files: Mapping[str, bytes], branch: str = "main") -> str:
        """A branch's new files, under a name made of them."""
        content = repr([(name, hashlib.sha1(data).hexdigest()) for name, data in files.items()])
        name = hashlib.sha1((branch + content).encode()).hexdigest()
        self.commits[name] = dict(files)
        self.branches[branch] = name
        return name

    def find(self, revision: str) -> str | None:
        """The commit that a branch, or itself, stands for."""
        name = self.branches.get(revision, revision)
        return name if name in self.commits else None

    def tip(self, branch: str = "main") -> Files:
        """What a branch holds now."""
        return self.commits[self.branches[branch]]


class Hub:
    """The server's models, and what it was asked."""

    def __init__(self) -> None:
        self.models: dict[str, Repository] = {}  # data sets as datasets/OWNER/NAME
        self.large: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.down = False
        self.address = ""

    def add(self, name: str, folder: Path, **settings: Any) -> str:
        """A model with a folder's files; returns its commit."""
        repository = self.models.setdefault(name, Repository(**settings))
        return repository.commit({file.name: file.read_bytes() for file in folder.iterdir()})

    def files_sent(self) -> set[str]:
        """Names of files whose content somebody asked for."""
        asked = (line for line in self.asked if line.startswith("GET ") and "/resolve/" in line)
        return {line.rpartition("/")[2] for line in asked}

    def settings(self, home: Path) -> dict[str, object]:
        """For this process, which has read its environment already: constants of the library."""
        return {
            "ENDPOINT": self.address,
            "HUGGINGFACE_CO_URL_TEMPLATE": self.address
            + "/{repo_id}/resolve/{revision}/{filename}",
            "HF_HUB_CACHE": str(home / "hub"),
            "HF_TOKEN_PATH": str(home / "token"),
            "HF_HUB_DISABLE_XET": True,
            "HF_HUB_OFFLINE": False,
        }

    def environment(self, home: Path, token: str = "") -> dict[str, str]:
        """For a process that shall know no other Hub."""
        return {
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "",
            "HF_TOKEN": token,
        }


@contextmanager
def serving() -> Iterator[Hub]:
    """A Hub for as long as the block."""
    hub = Hub()

    class Handler(_Handler):
        served = hub

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.address = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class Refused(Exception):
    """An answer that is an error: status, and the Hub's own word for it."""

    def __init__(self, status: int, code: str = "", message: str = "", **body: str) -> None:
        super().__init__(f"{status} {code}")
        self.status, self.code, self.message, self.body = status, code, message, body


class _Handler(BaseHTTPRequestHandler):
    served: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""

    def do_GET(self) -> None:
        self._answer(self._get)

    def do_HEAD(self) -> None:
        self._answer(self._get)

    def do_POST(self) -> None:
        self._answer(self._post)

    def do_PUT(self) -> None:
        self._answer(self._put)

    def _answer(self, action: Any) -> None:
        address = urlsplit(self.path)
        self.served.asked.append(f"{self.command} {address.path}")
        length = int(self.headers.get("Content-Length") or 0)
        self.body = self.rfile.read(length)
        self.query = parse_qs(address.query)
        try:
            if self.served.down:
                raise Refused(503)
            action([unquote(part) for part in address.path.strip("/").split("/")])
        except Refused as refused:
            headers = {"X-Error-Code": refused.code, "X-Error-Message": refused.message}
            body = json.dumps(refused.body).encode()
            self._send(refused.status, body, {k: v for k, v in headers.items() if v})

    def _send(self, status: int, body: bytes, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, content: Any) -> None:
        self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    @property
    def token(self) -> str:
        return (self.headers.get("Authorization") or "").removeprefix("Bearer ")

    def _model(self, name: str) -> Repository:
        """As the real one: of what a caller may not see it says that there is no such thing."""
        if self.token not in ("", READER, WRITER):
            raise Refused(401, message="Invalid credentials in Authorization header")
        found = self.served.models.get(name)
        if found is None or (found.private and not self.token):
            if self.token:
                raise Refused(404, "RepoNotFound")
            raise Refused(401, message="Invalid username or password.")
        return found

    def _commit(self, repository: Repository, revision: str) -> str:
        commit = repository.find(revision)
        if commit is None:
            raise Refused(404, "RevisionNotFound")
        return commit

    def _get(self, parts: list[str]) -> None:
        match parts:
            case ["api", "models", owner, name]:
                self._info(f"{owner}/{name}", "main")
            case ["api", "models", owner, name, "revision", revision]:
                self._info(f"{owner}/{name}", revision)
            case ["api", "models", owner, name, "tree", revision, *_]:
                self._tree(f"{owner}/{name}", revision)
            case ["api", "datasets", owner, name, "tree", revision, *_]:
                self._tree(f"datasets/{owner}/{name}", revision)
            case ["api", "datasets", owner, name, "revision", revision]:
                self._info(f"datasets/{owner}/{name}", revision)
            case ["datasets", owner, name, "resolve", revision, *path]:
                self._file(f"datasets/{owner}/{name}", revision, "/".join(path))
            case [owner, name, "resolve", revision, *path]:
                self._file(f"{owner}/{name}", revision, "/".join(path))
            case ["portal", *_]:
                self._send(200, b"<html>Welcome to the hotel</html>")
            case _:
                raise Refused(404)

    def _tree(self, name: str, revision: str) -> None:
        repository = self._model(name)
        files = repository.commits[self._commit(repository, revision)]
        self._json([{"type": "file", "path": file} | _sizes(files[file]) for file in files])

    def _file(self, name: str, revision: str, file: str) -> None:
        repository = self._model(name)
        commit = self._commit(repository, revision)
        if repository.gated and not self.token:  # who asks what there is, is told
            raise Refused(401, "GatedRepo")
        if file not in repository.commits[commit]:
            raise Refused(404, "EntryNotFound")
        data = repository.commits[commit][file]
        headers = {"ETag": f'"{_blob(data)}"', "X-Repo-Commit": commit}
        self._send(200, data, headers)

    def _info(self, name: str, revision: str) -> None:
        repository = self._model(name)
        commit = self._commit(repository, revision) if repository.commits else None
        files = repository.commits[commit] if commit else {}
        siblings = [{"rfilename": file} | _sizes(data) for file, data in files.items()]
        known = {"id": name, "sha": commit, "private": repository.private}
        self._json(known | {"siblings": siblings, "tags": [], "downloads": 0, "likes": 0})

    def _post(self, parts: list[str]) -> None:
        if parts != ["api", "validate-yaml"] and self.token != WRITER:
            raise Refused(403 if self.token else 401, message="no right to write")
        match parts:
            case ["api", "validate-yaml"]:
                self._json({"errors": [], "warnings": []})
            case ["api", "repos", "create"]:
                self._create(json.loads(self.body))
            case ["api", "models", owner, name, "branch", branch]:
                branches = self._model(f"{owner}/{name}").branches
                if branch in branches:
                    raise Refused(409)
                branches[branch] = branches["main"]
                self._json({})
            case ["api", "models", owner, name, "preupload", revision]:
                self._commit(self._model(f"{owner}/{name}"), revision)
                asked = json.loads(self.body)["files"]
                modes = {True: "lfs", False: "regular"}
                large = {file["path"]: file["path"].endswith(".safetensors") for file in asked}
                files = [
                    {"path": path, "uploadMode": modes[much], "shouldIgnore": False}
                    for path, much in large.items()
                ]
                self._json({"files": files})
            case [_, name, "info", "lfs", "objects", "batch"] if name.endswith(".git"):
                objects = json.loads(self.body)["objects"]
                for one in objects:
                    href = f"{self.served.address}/large/{one['oid']}"
                    one["actions"] = {"upload": {"href": href}}
                self._json({"transfer": "basic", "objects": objects})
            case ["api", "models", owner, name, "commit", branch]:
                self._write(f"{owner}/{name}", branch)
            case _:
                raise Refused(404)

    def _create(self, asked: dict[str, Any]) -> None:
        name = f"{asked['organization']}/{asked['name']}"
        if name in self.served.models:
            raise Refused(409, error="already made", url=f"{self.served.address}/{name}")
        made = Repository(private=asked.get("visibility") == "private")
        made.commit({".gitattributes": b""})
        self.served.models[name] = made
        self._json({"url": f"{self.served.address}/{name}"})

    def _write(self, name: str, branch: str) -> None:
        repository = self._model(name)
        files = dict(repository.commits[self._commit(repository, branch)])
        for line in self.body.splitlines():
            step = json.loads(line)
            value = step["value"]
            if step["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif step["key"] == "lfsFile":
                files[value["path"]] = self.served.large[value["oid"]]
            elif step["key"] == "deletedFile":
                del files[value["path"]]
        commit = repository.commit(files, branch)
        url = f"{self.served.address}/{name}/commit/{commit}"
        self._json({"success": True, "commitOid": commit, "commitUrl": url})

    def _put(self, parts: list[str]) -> None:
        name = parts[-1]
        if hashlib.sha256(self.body).hexdigest() != name:
            raise Refused(400)
        self.served.large[name] = self.body
        self._send(200, b"")


def _blob(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _sizes(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "oid": _blob(data), "blobId": _blob(data)}
