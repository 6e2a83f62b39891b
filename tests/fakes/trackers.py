"""Servers of W&B and MLflow on loopback: as much of them as a mirror talks to, and the ways in
which they fail. What they were sent stays, also while they are down.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit


class Server:
    """`answer(method, path, query, body)` gives (status, JSON). `mode` is ok, hangs or error."""

    def __init__(self) -> None:
        self.mode, self.port = "ok", 0
        self.n_asked = 0
        self._http: ThreadingHTTPServer | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def up(self) -> None:
        """Listen, on the port of the last time."""
        self._http = _Http(("127.0.0.1", self.port), _handler(self))
        self.port = self._http.server_port
        threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True).start()

    def down(self) -> None:
        """Refuse connections."""
        assert self._http is not None
        self._http.shutdown()
        self._http.server_close()
        self._http = None

    def answer(self, method: str, path: str, query: dict[str, str], body: bytes):
        raise NotImplementedError

    @contextlib.contextmanager
    def running(self) -> Iterator[Server]:
        self.up()
        try:
            yield self
        finally:
            self.mode = "ok"
            if self._http is not None:
                self.down()


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, request, client_address) -> None:
        """A client that is killed hangs up."""


def _handler(server: Server):
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_) -> None:
            pass

        def _any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            server.n_asked += 1
            while server.mode == "hangs":
                time.sleep(0.05)
            parts = urlsplit(self.path)
            query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            status, said = 500, {"error": "out of order"}
            if server.mode == "ok":
                status, said = server.answer(self.command, parts.path, query, body)
            data = json.dumps(said).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_PATCH = _any

    return Handler


class Mlflow(Server):
    """Experiments, runs, points of metrics. A point that is sent twice is there twice."""

    def __init__(self) -> None:
        super().__init__()
        self.experiments: dict[str, str] = {}
        self.runs: dict[str, dict] = {}
        self.points: dict[str, list[dict]] = {}
        self.artifacts: dict[str, bytes] = {}

    def answer(self, method, path, query, body):
        if "/mlflow-artifacts/" in path:
            self.artifacts[path.rpartition("/artifacts/")[2]] = body
            return 200, {}
        asked = {**query, **(json.loads(body) if body else {})}
        name = path.partition("/mlflow/")[2].replace("/", "_").replace("-", "_")
        return getattr(self, name, self._unknown)(asked)

    def _unknown(self, _):
        return 404, {"error_code": "ENDPOINT_NOT_FOUND", "message": "no such thing"}

    def experiments_get_by_name(self, asked):
        name = asked["experiment_name"]
        if name not in self.experiments:
            return 404, {"error_code": "RESOURCE_DOES_NOT_EXIST", "message": name}
        return 200, {"experiment": {"experiment_id": self.experiments[name], "name": name}}

    def experiments_create(self, asked):
        self.experiments[asked["name"]] = str(len(self.experiments) + 1)
        return 200, {"experiment_id": self.experiments[asked["name"]]}

    def runs_create(self, asked):
        run_id = f"{len(self.runs):032x}"
        info = {
            **{"run_id": run_id, "run_uuid": run_id, "run_name": asked["run_name"]},
            **{"experiment_id": asked["experiment_id"], "status": "RUNNING", "start_time": 0},
            "artifact_uri": f"mlflow-artifacts:/{run_id}/artifacts",
            "lifecycle_stage": "active",
        }
        tags = {tag["key"]: tag["value"] for tag in asked["tags"]}
        self.runs[run_id] = {"info": info, "tags": tags, "params": {}}
        self.points[run_id] = []
        return 200, {"run": self._run(run_id)}

    def _run(self, run_id):
        run = self.runs[run_id]
        listed = {
            part: [{"key": key, "value": value} for key, value in run[part].items()]
            for part in ("tags", "params")
        }
        last = {point["key"]: point for point in self.points[run_id]}
        return {"info": run["info"], "data": {**listed, "metrics": [*last.values()]}}

    def runs_search(self, asked):
        wanted = asked["filter"].partition(" = ")[2].strip("'")
        found = [i for i, run in self.runs.items() if run["tags"].get("ftlab.run") == wanted]
        return 200, {"runs": [self._run(run_id) for run_id in found]}

    def runs_get(self, asked):
        return 200, {"run": self._run(asked["run_id"])}

    def runs_update(self, asked):
        info = self.runs[asked["run_id"]]["info"]
        info.update({n: asked[n] for n in ("status", "end_time") if n in asked})
        return 200, {"run_info": info}

    def runs_log_batch(self, asked):
        self.points[asked["run_id"]] += asked.get("metrics", [])
        for param in asked.get("params", []):
            self.runs[asked["run_id"]]["params"][param["key"]] = param["value"]
        return 200, {}

    def runs_set_tag(self, asked):
        self.runs[asked["run_id"]]["tags"][asked["key"]] = asked["value"]
        return 200, {}

    def metrics_get_history(self, asked):
        found = [p for p in self.points[asked["run_id"]] if p["key"] == asked["metric_key"]]
        return 200, {"metrics": found}


class Wandb(Server):
    """Runs with the lines of their histories, by what its own library sends."""

    def __init__(self) -> None:
        super().__init__()
        self.histories: dict[str, list[str]] = {}
        self.buckets: dict[str, dict] = {}
        self.summaries: dict[str, dict] = {}
        self.exit_codes: dict[str, int] = {}

    def answer(self, method, path, query, body):
        if path == "/graphql":
            asked = json.loads(body)
            name = asked.get("operationName") or ""
            return 200, {"data": getattr(self, name, lambda _: {})(asked.get("variables") or {})}
        if path.endswith("/file_stream"):
            return 200, self._stream(path.split("/")[-2], json.loads(body))
        return 200, {}

    def _stream(self, run_id, sent):
        lines = self.histories.setdefault(run_id, [])
        for name, chunk in (sent.get("files") or {}).items():
            if name == "wandb-history.jsonl":  # a chunk stands at its offset
                lines[chunk["offset"] :] = chunk["content"]
            elif name == "wandb-summary.json":
                self.summaries[run_id] = json.loads(chunk["content"][-1])
        if sent.get("complete"):
            self.exit_codes[run_id] = sent.get("exitcode")
        return {"exitcode": None, "limits": {}}

    def _project(self):
        entity = {"id": "e", "name": "me"}
        return {"id": "p", "name": "ftlab", "entity": entity}

    def RunResumeStatus(self, asked):
        run_id = asked["name"]
        if run_id not in self.buckets:
            return {"model": {**self._project(), "bucket": None}}
        lines = self.histories.get(run_id, [])
        bucket = {
            **{"id": run_id, "name": run_id, "displayName": run_id, "logLineCount": 0},
            **{"historyLineCount": len(lines), "eventsLineCount": 0, "eventsTail": "[]"},
            **{"historyTail": json.dumps(lines[-1:]), "tags": [], "notes": None},
            **{"summaryMetrics": json.dumps(self.summaries.get(run_id, {})), "config": "{}"},
            "wandbConfig": json.dumps({"t": 1}),
        }
        return {"model": {**self._project(), "bucket": bucket}}

    def UpsertBucket(self, asked):
        run_id = asked["name"]
        known = {name: value for name, value in asked.items() if value is not None}
        inserted = run_id not in self.buckets
        self.buckets[run_id] = {**self.buckets.get(run_id, {}), **known}
        bucket = {
            **{"id": run_id, "name": run_id, "displayName": asked.get("displayName")},
            **{"description": None, "config": "{}", "sweepName": None},
            **{"project": self._project()},
            "historyLineCount": len(self.histories.get(run_id, [])),
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}

    def Viewer(self, _):
        viewer = {"id": "u", "entity": "me", "username": "me", "email": "", "flags": "{}"}
        return {"viewer": {**viewer, "teams": {"edges": []}}}

    def CreateRunFiles(self, asked):
        files = [
            {"name": name, "uploadUrl": f"{self.address}/put/{name}"} for name in asked["files"]
        ]
        found = {"runID": asked["run"], "uploadHeaders": [], "files": files}
        return {"createRunFiles": found}
