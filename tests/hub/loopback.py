"""A small Hub on the loopback: enough of the Hub's protocol for the unmodified `huggingface_hub` client, in memory.

Repositories are created, written by commits, tagged, read at any revision and found by their tags; private ones ask for a token; a
repository that one may not see answers 401 without a token and 404 with one, like the Hub. Safetensors go through Git LFS, all else is
"regular" content of the commit; Xet stays out of it. Tests, and the scripts they run through `POST /_faults`, can let requests fail.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import socket
import struct
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

NAME = r"(?P<id>[\w.-]+/[\w.-]+)"
REPOSITORY = rf"/api/(?P<type>model|dataset)s/{NAME}"
LFS_SUFFIX = ".safetensors"


@dataclass
class Repository:
    """`commits` maps a commit to its files, `heads` a branch or tag to a commit."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    heads: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

    @property
    def files(self) -> dict[str, bytes]:
        """The files on the main branch."""
        return self.commits[self.heads["main"]]

    def at(self, revision: str) -> str | None:
        """The commit that `revision` means."""
        return self.heads.get(revision, revision if revision in self.commits else None)

    def commit(self, branch: str, files: dict[str, bytes]) -> str:
        """A new commit of `files` on `branch`."""
        listing = "".join(f"{path}{hashlib.sha1(data).hexdigest()}" for path, data in sorted(files.items()))
        sha = hashlib.sha1(f"{listing}{len(self.commits)}".encode()).hexdigest()
        self.commits[sha] = files
        self.heads[branch] = sha
        return sha

    @property
    def card(self) -> dict[str, Any]:
        """The metadata in its card."""
        return metadata(self.files.get("README.md", b"").decode())

    @property
    def tags(self) -> list[str]:
        """What a search finds it by: the tags of its card, and the model it is based on."""
        data = self.card
        base = [f"base_model:{data['base_model']}"] if "base_model" in data else []
        return [*data.get("tags", []), *base, f"license:{data.get('license')}"]


@dataclass
class Fault:
    """What happens to a request instead of the true answer: a status; or "drop" (no answer), "half" (of the answer) or "reset" (the
    connection, before the request was read). It happens as many `times`."""

    what: int | str
    times: int = 1_000_000


def metadata(card: str) -> dict[str, Any]:
    """The metadata at the head of a card."""
    head = re.match(r"---\n(.*?)\n---\n", card, re.DOTALL)
    return yaml.safe_load(head[1]) if head else {}


def key(id: str, type: str | None) -> str:
    """The name of a repository among all: models and datasets may be called alike."""
    return f"datasets/{id}" if type == "dataset" else id


def blob_id(data: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def object_id(path: str, data: bytes) -> str:
    """The Hub's name of a file's content, which is that of LFS or Git."""
    return hashlib.sha256(data).hexdigest() if path.endswith(LFS_SUFFIX) else blob_id(data)


class Hub:
    """The server: `url` for HF_ENDPOINT, `repositories`, `requests` it answered with the files that each commit brought (`commits`), and
    what it does to requests by (method, path pattern): `faults`, and `delays`, the seconds it waits."""

    def __init__(self, token: str = "hf_test") -> None:
        self.token = token
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.commits: list[list[str]] = []
        self.uploads: dict[str, bytes] = {}
        self.faults: dict[tuple[str, str], Fault] = {}
        self.delays: dict[tuple[str, str], float] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": self}))
        self._thread = Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        """Stop: from now on connections are refused."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def fault(self, method: str, path: str) -> int | str | None:
        """What is to happen to a request instead of the true answer."""
        for (wanted, pattern), fault in self.faults.items():
            if wanted == method and re.search(pattern, path) and fault.times > 0:
                fault.times -= 1
                return fault.what
        return None


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # or each answer waits 40 ms for the client to acknowledge its head

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.hub.requests.append(f"{self.command} {path}")
        self.fault = self.hub.fault(self.command, path)
        if self.fault == "reset":
            # A linger of no seconds: closing sends a reset instead of a farewell.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return self._hang_up()
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if self.fault == "drop":
            return self._hang_up()
        for (method, pattern), seconds in self.hub.delays.items():
            if method == self.command and re.search(pattern, path):
                time.sleep(seconds)
        if isinstance(self.fault, int):
            return self._json({"error": "fault"}, self.fault)
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, action in ROUTES:
            if method == wanted and (match := re.fullmatch(pattern, path)):
                groups = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
                return action(self, **groups)
        self._json({"error": "no such endpoint"}, 404)

    def _hang_up(self) -> None:
        self.close_connection = True
        if self.fault != "reset":
            self.connection.shutdown(socket.SHUT_RDWR)
        self.connection.close()
        self.wfile = self.rfile = open("/dev/null", "r+b")  # noqa: SIM115  (the server flushes and closes them)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data[: len(data) // 2] if self.fault == "half" else data)
        if self.fault == "half":
            self.wfile.flush()
            self._hang_up()

    def _error(self, status: int, code: str) -> None:
        self._json({"error": code}, status, **{"X-Error-Code": code, "X-Error-Message": code})

    @property
    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    @property
    def _query(self) -> dict[str, list[str]]:
        return parse_qs(urlsplit(self.path).query)

    def _repository(self, id: str, type: str | None, revision: str = "main") -> tuple[Repository, str] | None:
        """The repository and commit that this client may see, or None after an error was answered."""
        repository = self.hub.repositories.get(key(id, type))
        if repository is None or (repository.private and not self._authorised):
            return self._error(404 if self._authorised else 401, "RepoNotFound")
        commit = repository.at(revision)
        return self._error(404, "RevisionNotFound") if commit is None else (repository, commit)

    def set_faults(self) -> None:
        """For scripts that run in another process: rows of method, path pattern, fault and times. The answer is the number of commits."""
        self.hub.faults = {(method, pattern): Fault(what, times) for method, pattern, what, times in json.loads(self.body)}
        self._json({id: len(repository.commits) for id, repository in self.hub.repositories.items()})

    def create(self) -> None:
        request = json.loads(self.body)
        if not self._authorised:
            return self._json({"error": "Invalid username or password."}, 401)
        id = key(f"{request['organization']}/{request['name']}", request.get("type"))
        known = id in self.hub.repositories
        self.hub.repositories.setdefault(id, Repository(request.get("visibility") == "private"))
        self._json({"url": f"{self.hub.url}/{id}", "name": id}, 409 if known else 200)

    def validate(self) -> None:
        """The Hub's verdict on a card: a licence it knows, and a base model and evaluation results of its form."""
        data = metadata(json.loads(self.body)["content"])
        faults = [f'"{name}" is required' for name in ("license",) if not isinstance(data.get(name), str)]
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", data.get("base_model", "x")):
            faults.append('"base_model" must be the id of a model')
        for entry in data.get("model-index", []):
            faults += [f'"{name}" is required' for name in ("task", "dataset", "metrics") for r in entry["results"] if not r.get(name)]
        self._json({"errors": [{"message": fault} for fault in faults], "warnings": []}, 400 if faults else 200)

    def search(self, type: str) -> None:
        wanted = set(self._query.get("filter", []))
        rows = []
        for id, repository in self.hub.repositories.items():
            tags = repository.tags
            if (type == "dataset") == id.startswith("datasets/") and wanted <= set(tags) and (self._authorised or not repository.private):
                rows.append({"id": id.removeprefix("datasets/"), "tags": tags, "likes": 2, "downloads": 10, "private": repository.private})
        self._json(rows[: int(self._query.get("limit", ["1000"])[0])])

    def info(self, type: str, id: str, revision: str = "main") -> None:
        if (found := self._repository(id, type, revision)) is not None:
            repository, commit = found
            files: list[dict[str, Any]] = [{"rfilename": path} for path in sorted(repository.commits[commit])]
            if "blobs" in self._query:
                files = [{**file, "size": len(repository.commits[commit][file["rfilename"]])} for file in files]
            answer = {"id": id, "sha": commit, "private": repository.private, "siblings": files, "tags": repository.tags}
            self._json({**answer, "model-index": repository.card.get("model-index")})

    def tree(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type, revision)) is not None:
            files = found[0].commits[found[1]]
            self._json([{"type": "file", "path": path, "size": len(data), "oid": blob_id(data)} for path, data in sorted(files.items())])

    def preupload(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type, revision)) is not None:
            old = found[0].commits[found[1]]
            modes = []
            for file in json.loads(self.body)["files"]:
                path = file["path"]
                mode = "lfs" if path.endswith(LFS_SUFFIX) else "regular"
                entry = {"path": path, "uploadMode": mode, "shouldIgnore": False}
                modes.append({**entry, "oid": object_id(path, old[path])} if path in old else entry)
            self._json({"files": modes})

    def batch(self, id: str, type: str | None = None) -> None:
        """Where to upload what is not there yet."""
        objects = []
        for wanted in json.loads(self.body)["objects"]:
            there = wanted["oid"] in self.hub.uploads
            objects.append(wanted if there else {**wanted, "actions": {"upload": {"href": f"{self.hub.url}/_lfs/{wanted['oid']}"}}})
        self._json({"transfer": "basic", "objects": objects})

    def upload(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self._json({"error": "not what was announced"}, 400)
        self.hub.uploads[oid] = self.body
        self._json({})

    def commit(self, type: str, id: str, revision: str) -> None:
        if not self._authorised:
            return self._error(403, "Forbidden")
        if (found := self._repository(id, type, revision)) is not None:
            repository, parent = found
            files, changed = dict(repository.commits[parent]), []
            for line in self.body.splitlines():
                kind, value = json.loads(line)["key"], json.loads(line)["value"]
                if kind == "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                elif kind == "lfsFile":
                    files[value["path"]] = self.hub.uploads[value["oid"]]
                elif kind == "deletedFile":
                    files.pop(value["path"], None)
                changed += [value["path"]] if kind != "header" else []
            self.hub.commits.append(sorted(changed))
            sha = repository.commit(revision, files)
            self._json({"commitUrl": f"{self.hub.url}/{id}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None})

    def branch(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type)) is not None:
            known = revision in found[0].heads
            found[0].heads.setdefault(revision, found[1])
            self._json({}, 409 if known else 200)

    def tag(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type, revision)) is not None:
            found[0].heads[json.loads(self.body)["tag"]] = found[1]
            self._json({})

    def resolve(self, id: str, revision: str, path: str, type: str | None = None) -> None:
        if (found := self._repository(id, type, revision)) is None:
            return None
        data = found[0].commits[found[1]].get(path)
        if data is None:
            return self._error(404, "EntryNotFound")
        headers = {"ETag": f'"{blob_id(data)}"', "X-Repo-Commit": found[1], "Accept-Ranges": "bytes"}
        if path.endswith(LFS_SUFFIX):
            headers |= {"X-Linked-Etag": f'"{object_id(path, data)}"', "X-Linked-Size": str(len(data))}
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(span[1]), int(span[2] or len(data) - 1)
            return self._send(data[first : last + 1], 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
        return self._send(data, 200, headers)


ROUTES = (
    ("POST", "/_faults", _Handler.set_faults),
    ("PUT", "/_lfs/(?P<oid>[0-9a-f]{64})", _Handler.upload),
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", rf"{REPOSITORY}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"(?:/(?P<type>dataset)s)?/{NAME}\.git/info/lfs/objects/batch", _Handler.batch),
    ("POST", rf"{REPOSITORY}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", rf"{REPOSITORY}/branch/(?P<revision>[^/]+)", _Handler.branch),
    ("POST", rf"{REPOSITORY}/tag/(?P<revision>[^/]+)", _Handler.tag),
    ("GET", r"/api/(?P<type>model|dataset)s", _Handler.search),
    ("GET", rf"{REPOSITORY}(?:/revision/(?P<revision>[^/]+))?", _Handler.info),
    ("GET", rf"{REPOSITORY}/tree/(?P<revision>[^/]+)", _Handler.tree),
    ("GET", rf"(?:/(?P<type>dataset)s)?/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
)
