"""A study that ``sfqa rate serve`` serves in a process of its own, and raw requests to it."""

from __future__ import annotations

import http.client
import json
import os
import re
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "workflow" / "scripts")}


class ServedStudy:
    """The server's process, its port, and the lines that it printed at the start."""

    def __init__(self, folder: Path, *options: str, files: int | None = None) -> None:
        def limit_files() -> None:
            if files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sfqa", "rate", "serve", str(folder), "--port", "0", *options],
            env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, preexec_fn=limit_files,
        )  # fmt: skip
        assert self.process.stderr is not None
        self.first_lines = ""
        while not (match := re.search(r"serving at https?://\S+:(\d+)", self.first_lines)):
            line = self.process.stderr.readline()
            assert line, self.first_lines
            self.first_lines += line
        self.port = int(match[1])

    def __enter__(self) -> ServedStudy:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)

    def request(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> http.client.HTTPResponse:
        """Send one request on a connection of its own; ``x_y`` is the header ``x-y``."""
        connection = self.connect()
        text = None if body is None else json.dumps(body)
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None:
            fields["content-type"] = "application/json"
        connection.request(method, path, text, fields)
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        connection.close()
        return response

    def read_log(self) -> str:
        return (self.folder / "study.log").read_text()
