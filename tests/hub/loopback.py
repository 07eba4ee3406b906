"""A small Hub on the loopback: enough of the Hub's protocol for the unmodified `huggingface_hub` client, in memory.

Repositories are created, written by commits and read at any revision; private ones ask for a token; a repository that one may not see
answers 401 without a token and 404 with one, like the Hub. Every file is uploaded as "regular" content, so LFS and Xet stay out of it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import unquote, urlsplit

NAME = r"(?P<id>[\w.-]+/[\w.-]+)"
MODELS = rf"/api/(?P<type>model|dataset)s/{NAME}"


def run_script(url: str, cache: Path, script: str) -> Any:
    """Run `script` in a new process whose client talks to `url` and caches in `cache`; the JSON in the last line that it prints."""
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(cache), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
    environment.pop("HF_TOKEN", None)
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script], env=environment, cwd=root, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@dataclass
class Repository:
    """`commits` maps a commit to its files, `heads` a branch or tag to a commit."""

    private: bool
    commits: dict[str, dict[str, bytes]] = field(default_factory=lambda: {"0" * 40: {}})
    heads: dict[str, str] = field(default_factory=lambda: {"main": "0" * 40})

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


def key(id: str, type: str | None) -> str:
    """The name of a repository among all: models and datasets may be called alike."""
    return f"datasets/{id}" if type == "dataset" else id


def blob_id(data: bytes) -> str:
    """Git's name of a file's content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


class Hub:
    """The server: `url` for HF_ENDPOINT, `repositories`, `requests` it answered, and what it does to
    requests by (method, path pattern): `faults`, the status it answers with, and `delays`, the seconds it waits."""

    def __init__(self, token: str = "hf_test") -> None:
        self.token = token
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        self.faults: dict[tuple[str, str], int] = {}
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


class _Handler(BaseHTTPRequestHandler):
    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on stderr."""

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        path = urlsplit(self.path).path
        self.body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.hub.requests.append(f"{self.command} {path}")
        for (method, pattern), seconds in self.hub.delays.items():
            if method == self.command and re.search(pattern, path):
                time.sleep(seconds)
        for (method, pattern), status in self.hub.faults.items():
            if method == self.command and re.search(pattern, path):
                return self._json({"error": "fault"}, status)
        method = "GET" if self.command == "HEAD" else self.command
        for wanted, pattern, action in ROUTES:
            if method == wanted and (match := re.fullmatch(pattern, path)):
                groups = {key: unquote(value) for key, value in match.groupdict().items() if value is not None}
                return action(self, **groups)
        self._json({"error": "no such endpoint"}, 404)

    def _json(self, value: Any, status: int = 200, **headers: str) -> None:
        self._send(json.dumps(value).encode(), status, {"Content-Type": "application/json", **headers})

    def _send(self, data: bytes, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for key, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _error(self, status: int, code: str) -> None:
        self._json({"error": code}, status, **{"X-Error-Code": code, "X-Error-Message": code})

    @property
    def _authorised(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def _repository(self, id: str, type: str | None, revision: str = "main") -> tuple[Repository, str] | None:
        """The repository and commit that this client may see, or None after an error was answered."""
        repository = self.hub.repositories.get(key(id, type))
        if repository is None or (repository.private and not self._authorised):
            return self._error(404 if self._authorised else 401, "RepoNotFound")
        commit = repository.at(revision)
        return self._error(404, "RevisionNotFound") if commit is None else (repository, commit)

    def create(self) -> None:
        request = json.loads(self.body)
        if not self._authorised:
            return self._json({"error": "Invalid username or password."}, 401)
        id = key(f"{request['organization']}/{request['name']}", request.get("type"))
        known = id in self.hub.repositories
        self.hub.repositories.setdefault(id, Repository(request.get("visibility") == "private"))
        return self._json({"url": f"{self.hub.url}/{id}", "name": id}, 409 if known else 200)

    def validate(self) -> None:
        head = re.match(r"---\n(?:.*?\n)?license: .*?\n---\n", json.loads(self.body)["content"], re.DOTALL)
        self._json({"errors": [] if head else [{"message": "no licence"}], "warnings": []}, 200 if head else 400)

    def info(self, type: str, id: str, revision: str = "main") -> None:
        if (found := self._repository(id, type, revision)) is not None:
            repository, commit = found
            files = [{"rfilename": path} for path in sorted(repository.commits[commit])]
            self._json({"id": id, "sha": commit, "private": repository.private, "siblings": files, "tags": []})

    def tree(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type, revision)) is not None:
            files = found[0].commits[found[1]]
            self._json([{"type": "file", "path": path, "size": len(data), "oid": blob_id(data)} for path, data in sorted(files.items())])

    def preupload(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type, revision)) is not None:
            old = found[0].commits[found[1]]
            modes = []
            for file in json.loads(self.body)["files"]:
                entry = {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                modes.append({**entry, "oid": blob_id(old[file["path"]])} if file["path"] in old else entry)
            self._json({"files": modes})

    def commit(self, type: str, id: str, revision: str) -> None:
        if not self._authorised:
            return self._error(403, "Forbidden")
        if (found := self._repository(id, type, revision)) is not None:
            repository, parent = found
            files = dict(repository.commits[parent])
            for line in self.body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
                elif entry["key"] == "deletedFile":
                    files.pop(entry["value"]["path"], None)
            sha = repository.commit(revision, files)
            self._json({"commitUrl": f"{self.hub.url}/{id}/commit/{sha}", "commitOid": sha, "pullRequestUrl": None})

    def branch(self, type: str, id: str, revision: str) -> None:
        if (found := self._repository(id, type)) is not None:
            known = revision in found[0].heads
            found[0].heads.setdefault(revision, found[1])
            self._json({}, 409 if known else 200)

    def resolve(self, id: str, revision: str, path: str, type: str | None = None) -> None:
        if (found := self._repository(id, type, revision)) is None:
            return None
        data = found[0].commits[found[1]].get(path)
        if data is None:
            return self._error(404, "EntryNotFound")
        headers = {"ETag": f'"{blob_id(data)}"', "X-Repo-Commit": found[1], "Accept-Ranges": "bytes"}
        if span := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(span[1]), int(span[2] or len(data) - 1)
            return self._send(data[first : last + 1], 206, {**headers, "Content-Range": f"bytes {first}-{last}/{len(data)}"})
        return self._send(data, 200, headers)


ROUTES = (
    ("POST", "/api/repos/create", _Handler.create),
    ("POST", "/api/validate-yaml", _Handler.validate),
    ("POST", rf"{MODELS}/preupload/(?P<revision>[^/]+)", _Handler.preupload),
    ("POST", rf"{MODELS}/commit/(?P<revision>[^/]+)", _Handler.commit),
    ("POST", rf"{MODELS}/branch/(?P<revision>[^/]+)", _Handler.branch),
    ("GET", rf"{MODELS}(?:/revision/(?P<revision>[^/]+))?", _Handler.info),
    ("GET", rf"{MODELS}/tree/(?P<revision>[^/]+)", _Handler.tree),
    ("GET", rf"(?:/(?P<type>dataset)s)?/{NAME}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", _Handler.resolve),
)
