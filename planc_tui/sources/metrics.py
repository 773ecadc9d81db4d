"""Usage of pods and nodes from metrics.k8s.io.

Invariant: metrics-server being away is told apart from the API server being away: the first is the fault of these
topics alone.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Generic, Protocol, TypeVar

import msgspec

from planc_tui.core.answer_limit import AnswerLimit
from planc_tui.core.cluster import wire
from planc_tui.core.cluster.topics import NODE_USAGE, POD_USAGE
from planc_tui.core.cluster.usage import Usage, UsageTable, node_usage, pod_usage, usage_table
from planc_tui.core.ports import BadAnswer, ClusterPort, Gone, NoAnswer, NotFound, ServiceAway, Unreachable
from planc_tui.core.steps import Steps
from planc_tui.core.store import Topic

log = logging.getLogger(__name__)

DEADLINE = 6.0
INTERVAL = 20.0
SELDOM_INTERVAL = 60.0
_VERSIONS = ("v1beta1", "v1")
_HINT = "kubectl get apiservice v1beta1.metrics.k8s.io"


class _Measured(Protocol):
    @property
    def metadata(self) -> wire.Meta: ...


M = TypeVar("M", bound=_Measured)


class MetricsSource(Generic[M]):
    """One list of the metrics API. Implements sources.base.Source. heard, seldom: as of `node_metrics`."""

    def __init__(
        self,
        port: ClusterPort,
        topic: Topic[UsageTable],
        resource: str,
        decoder: msgspec.json.Decoder[wire.Page[M]],
        make: Callable[[M, Usage | None], Usage],
        heard: Callable[[], None],
        seldom: Callable[[], bool] = lambda: False,
    ) -> None:
        self._heard = heard
        self._seldom = seldom
        self._port = port
        self._topic = topic
        self._resource = resource
        self._decoder = decoder
        self._make = make
        self._versions: tuple[str, ...] = _VERSIONS
        self._limit = AnswerLimit(DEADLINE)
        self._before: Mapping[tuple[str, str], Usage] = {}

    @property
    def topic(self) -> Topic[UsageTable]:
        return self._topic

    @property
    def interval(self) -> float:
        return SELDOM_INTERVAL if self._seldom() else INTERVAL

    def read(self) -> Steps[UsageTable]:
        """Everything measured now. Raises PortError."""
        try:
            body = yield from self._request()
        except (Unreachable, Gone) as error:
            self._limit.settle(error)
            if isinstance(error, ServiceAway):
                self._heard()
            kind = NoAnswer if isinstance(error, NoAnswer) else Unreachable
            raise kind(f"metrics-server does not answer: {error.message}", hint=_HINT) from None
        try:
            page = self._decoder.decode(body)
        except msgspec.DecodeError:
            raise BadAnswer("the answer of metrics-server is not a list of metrics", hint=_HINT) from None
        if not page.kind.endswith("List"):
            raise BadAnswer("the answer of metrics-server is not a list of metrics", hint=_HINT)
        self._heard()
        table: dict[tuple[str, str], Usage] = {}
        for item in page.items or ():
            key = (item.metadata.namespace, item.metadata.name)
            try:
                table[key] = self._make(item, self._before.get(key))
            except ValueError as error:
                log.warning("usage of one of the pods or nodes is not readable: %s", error)
        self._before = table
        return usage_table(table)

    def _request(self) -> Steps[bytes]:
        """The newest version of the API that the server has; remembers it."""
        for version in self._versions:
            path = f"/apis/metrics.k8s.io/{version}{self._resource}"
            yield
            try:
                body = self._port.request("GET", path, timeout=self._limit.seconds, source=self._topic.name)
            except NotFound:
                continue
            self._limit.settle()
            self._versions = (version,)
            return body
        self._versions = _VERSIONS
        raise NotFound("this cluster has no metrics API (metrics.k8s.io)", hint="install metrics-server")

    def close(self) -> None:
        """Nothing is kept open."""


def _unheard() -> None:
    """Nobody goes by what metrics-server answers."""


def pod_metrics(
    port: ClusterPort, namespace: str, heard: Callable[[], None] = _unheard
) -> MetricsSource[wire.PodMetrics]:
    """Usage of the pods of a namespace, or of all of them when it is empty. heard: told of each readable answer."""
    resource = f"/namespaces/{namespace}/pods" if namespace else "/pods"
    return MetricsSource(port, POD_USAGE, resource, wire.POD_METRICS, pod_usage, heard)


def node_metrics(
    port: ClusterPort, heard: Callable[[], None] = _unheard, seldom: Callable[[], bool] = lambda: False
) -> MetricsSource[wire.NodeMetrics]:
    """Usage of the nodes. heard: told of each readable answer. seldom: whether something else keeps an eye on
    metrics-server, so that a look a minute is enough."""
    return MetricsSource(port, NODE_USAGE, "/nodes", wire.NODE_METRICS, node_usage, heard, seldom)
