"""How `planc escalator` reaches the Alertmanager of a silence and the Prometheus of an incident.

Invariant: the way is the playbook's (an address, a port-forward or the API server's proxy) on the context of the
incident; it is opened for one question and closed after it, so that the escalator needs no cluster until then.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from pathlib import Path
from typing import cast

from msgspec import Struct, field

from planc_tui.backends.kubernetes.kubeconfig import load
from planc_tui.backends.systems import Builder
from planc_tui.core.clock import Clock
from planc_tui.core.ports import ClusterPort
from planc_tui.core.slo import MetricsPort
from planc_tui.core.stats import RequestStats
from planc_tui.playbook.model import HttpSystem, Playbook


class Ways(Struct, frozen=True):
    """The ways of a playbook. kubeconfig, context: of the command line; the incident's own context goes before."""

    playbook: Playbook
    clock: Clock
    kubeconfig: str | None = None
    context: str = ""
    environ: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))

    def end_silence(self, silence: str, context: str) -> None:
        """End one silence that was made in `context`. Raises PortError."""
        with (
            self._builder(self.playbook.systems.alertmanager, context) as builder,
            closing(builder.alerts(self.playbook)) as port,
        ):
            port.expire(silence)

    @contextmanager
    def metrics(self, context: str) -> Iterator[MetricsPort]:
        """The Prometheus that sees `context`. Raises PortError."""
        with (
            self._builder(self.playbook.systems.prometheus, context) as builder,
            closing(builder.metrics(self.playbook)) as port,
        ):
            yield port

    @contextmanager
    def _builder(self, system: HttpSystem | None, context: str) -> Iterator[Builder]:
        stats = RequestStats()
        cluster = self._cluster(context, stats) if system is not None and needs_cluster(system) else None
        # Without a cluster nothing of the builder asks for one.
        through = cast("ClusterPort", cluster)
        try:
            yield Builder(through, self.playbook.namespace, stats, self.clock, self.environ)
        finally:
            if cluster is not None:
                cluster.close()

    def _cluster(self, context: str, stats: RequestStats) -> ClusterPort:
        # Read anew each time: the file may have got a new login since.
        config = load(self.environ, Path.home(), kubeconfig=self.kubeconfig)
        return config.open(context or self.context or None, self.playbook.namespace, stats, self.clock)


def needs_cluster(system: HttpSystem) -> bool:
    """Whether the way to a system, or a secret for it, leads through the API server."""
    return bool(system.via) or any(s is not None and s.secret is not None for s in (system.password, system.token))
