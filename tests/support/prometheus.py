"""A real Prometheus that scrapes replicas of an installation, with the rules as they are shipped, and answers queries."""

from __future__ import annotations

import json
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import yaml

from support.monitoring import RULES, program
from tailrace.embedded.ports import LOOPBACK, free_ports
from tailrace.embedded.processes import ServiceProcess

SCRAPE_S = 1


@contextmanager
def exporter(file: Path) -> Iterator[int]:
    """Serves a file of metrics at ``/metrics``, as a node exporter does those in its folder; the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = file.read_bytes()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """Nothing: the test's output is not its log."""

    with ThreadingHTTPServer((LOOPBACK, 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


class Prometheus:
    """``with`` starts and ends it. Replicas are named with ``scrape``; it looks at the list every second."""

    def __init__(self, folder: Path) -> None:
        self._program = program("prometheus")
        self._folder = folder
        (self._port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None
        self.started_at = time.time()

    def __enter__(self) -> Self:
        self.scrape([])
        (self._folder / "prometheus.yml").write_text(
            yaml.safe_dump(
                {
                    "global": {"scrape_interval": f"{SCRAPE_S}s", "evaluation_interval": f"{SCRAPE_S}s"},
                    "rule_files": [str(RULES)],
                    "scrape_configs": [
                        {
                            "job_name": "tailrace",
                            "file_sd_configs": [
                                {"files": [str(self._folder / "targets.json")], "refresh_interval": "1s"}
                            ],
                        }
                    ],
                }
            )
        )
        with (self._folder / "prometheus.log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address={LOOPBACK}:{self._port}",
                    "--query.lookback-delta=10s",
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + 30
        while not self._ready():
            assert time.monotonic() < deadline, (self._folder / "prometheus.log").read_text()[-2000:]
            time.sleep(0.1)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def scrape(self, replicas: Iterable[ServiceProcess], *others: int) -> None:
        """Scrape these, and these ports, from now on."""
        ports = [*(replica.port for replica in replicas), *others]
        targets = [{"targets": [f"{LOOPBACK}:{port}" for port in ports]}]
        new = self._folder / "targets.json.new"
        new.write_text(json.dumps(targets))
        new.rename(self._folder / "targets.json")

    def now(self, expr: str) -> list[dict[str, Any]]:
        """Series of an instant query."""
        return list(self._ask("query", query=expr)["result"])

    def since_start(self, expr: str) -> list[dict[str, Any]]:
        """Series of a query over all that was seen, a sample a second."""
        given = {"query": expr, "start": str(self.started_at), "end": str(time.time()), "step": "1"}
        return list(self._ask("query_range", **given)["result"])

    def label_values(self, selector: str, label: str) -> list[str]:
        """As a dashboard's variable asks for them."""
        given = {"match[]": selector, "start": str(self.started_at), "end": str(time.time())}
        return list(self._ask(f"label/{label}/values", **given))

    def rules(self) -> list[dict[str, Any]]:
        """All rules and how they are."""
        return [rule for group in self._ask("rules")["groups"] for rule in group["rules"]]

    def _ask(self, path: str, **given: str) -> Any:
        url = f"http://{LOOPBACK}:{self._port}/api/v1/{path}?{urllib.parse.urlencode(given)}"
        try:
            with urllib.request.urlopen(url, timeout=20) as answer:
                return json.load(answer)["data"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{given}: {error.read().decode()[:500]}") from None

    def _ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://{LOOPBACK}:{self._port}/-/ready", timeout=2) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False
