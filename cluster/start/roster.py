"""Who works for a run at the moment, kept where people and Prometheus look.

RUN/prometheus_targets.json lists every process that serves metrics, RUN/events.jsonl tells who came
and went and why, RUN/status.json has the counts.
"""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

from cluster.workers.pool import Notice
from videothinker.config.settings import TlsConfig
from videothinker.files import write_json
from videothinker.process import metrics
from videothinker.process.address import LOOPBACK
from videothinker.run.directory import RunDirectory


class Roster:
    """Told of every process that starts or ends; may be told from any thread."""

    def __init__(
        self, run: RunDirectory, metrics_host: str = LOOPBACK, metrics_tls: TlsConfig | None = None
    ) -> None:
        self._run = run
        self._name = run.path.resolve().name
        self._lock = threading.Lock()
        self.metrics_host, self.metrics_tls = metrics_host, metrics_tls
        self._targets: dict[str, dict[str, Any]] = {}
        self._add("driver-0", metrics.serve("driver", metrics_host, tls=metrics_tls))
        # a resumed run goes on counting
        self._restarts = Counter(run.status().get("restarts") or {})
        self._write()

    def joined(self, name: str, place: tuple[str, int]) -> None:
        """A process serves its metrics at this address and port."""
        with self._lock:
            self._add(name, place)
            self._write()

    def close(self) -> None:
        """The run is over: nobody is to be missed."""
        with self._lock:
            self._targets.clear()
            self._write()

    def seated(self, seating: dict[str, Any]) -> None:
        """Who sits on which device, for `videothinker status`."""
        self._run.status(layout=seating)

    def notice(self, notice: Notice) -> None:
        """Something happened to a process."""
        entry: dict[str, Any] = {
            "event": notice.event,
            "role": notice.role,
            "process": notice.worker,
        }
        entry |= {"reason": notice.reason} if notice.reason else {}
        entry |= {"seconds": round(notice.seconds, 3)} if notice.seconds is not None else {}
        self._run.event(entry)
        with self._lock:
            if notice.event in ("lost", "left", "released"):
                self._targets.pop(notice.worker, None)
                self._write()
            if notice.event == "lost":
                self._restarts[notice.role] += 1
                metrics.RESTARTS.labels(notice.role).inc()
            roles = [name.rpartition("-")[0] for name in self._targets]
            metrics.ROLLOUT_WORKERS.set(roles.count("rollout"))
            self._run.status(rollout_workers=roles.count("rollout"), restarts=dict(self._restarts))

    def _add(self, name: str, place: tuple[str, int]) -> None:
        """In the format of file_sd; the folder tells a run from others of its configuration."""
        role, _, index = name.rpartition("-")
        labels = {"run": self._name, "role": role, "index": index}
        if self.metrics_tls is not None:
            labels["__scheme__"] = "https"
        self._targets[name] = {
            "targets": [":".join(map(str, place))],
            "labels": labels,
        }

    def _write(self) -> None:
        file = self._run.path / "prometheus_targets.json"
        with self._run.spared(file.name):
            write_json(file, list(self._targets.values()))
