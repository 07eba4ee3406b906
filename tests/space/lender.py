"""A lender of GPUs that has none: it speaks the protocol of ZeroGPU's scheduler to the unmodified package `spaces`, which then forks the
processes that work is lent to. They compute on the CPU.

`python -m tests.space.lender MODULE ARGUMENT...` runs a module as a Space on ZeroGPU would, at the lender that its environment names.
"""

from __future__ import annotations

import json
import runpy
import sys
import threading
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType
from typing import Any


class Lender:
    """A lender at `url`. `calls` are what it was asked, as (path, parameters)."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []
        self.granted = True
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Lend no more."""
        self._server.shutdown()
        self._server.server_close()

    def environment(self, folder: Path) -> dict[str, str]:
        """Variables of a process that borrows here; what it looks up of its machine is in `folder`."""
        (folder / "cgroup").write_text("0::/borrower\n")
        at = {"SPACES_ZERO_DEVICE_API_URL": self.url, "ZEROGPU_PROC_SELF_CGROUP_PATH": str(folder / "cgroup")}
        return {"SPACES_ZERO_GPU": "true", **at}

    def asked(self, path: str) -> list[dict[str, str]]:
        """The parameters of all calls of that path."""
        return [parameters for known, parameters in self.calls if known == path]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        lender = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("content-length") or 0))
                address = urllib.parse.urlsplit(self.path)
                lender.calls.append((address.path, dict(urllib.parse.parse_qsl(address.query))))
                answer: dict[str, Any] = {}
                if address.path == "/schedule":
                    answer = {"idle": True, "nvidiaIndex": 0, "nvidiaUUID": "GPU-0", "allowToken": "token"}
                    answer = answer if lender.granted else {"left": 0, "wait": 60}
                data = json.dumps(answer).encode()
                self.send_response(200 if lender.granted else 429)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

        return Handler


def without_cuda() -> None:
    """What `spaces` does to PyTorch, where there is no CUDA to be patched: nothing, as it does where PyTorch is missing."""
    stand_in: Any = ModuleType("spaces.zero.torch")
    for name in ("enter_mode", "patch", "unpatch", "init", "move"):
        setattr(stand_in, name, lambda *_, **__: None)
    stand_in.pack = stand_in.size = lambda *_, **__: 0
    stand_in.is_in_bad_fork = lambda: False
    sys.modules["spaces.zero.torch"] = stand_in


if __name__ == "__main__":
    without_cuda()
    sys.argv = sys.argv[1:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
