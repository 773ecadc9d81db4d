"""The parts of Kubernetes JSON that planc reads.

Invariant: only the fields of our rows are decoded, everything else is skipped unread; every field has a default and
every list may be null, because Go sends null for an empty one.
"""

from __future__ import annotations

from datetime import datetime
from typing import Generic, TypeVar

import msgspec

T = TypeVar("T")


class Wire(msgspec.Struct, rename="camel", gc=False):
    """Base of everything decoded: camelCase on the wire, unknown fields ignored."""


class Owner(Wire):
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Meta(Wire):
    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    labels: dict[str, str] | None = None
    owner_references: list[Owner] | None = None


class AnnotatedMeta(Meta):
    """Metadata with annotations: for the kinds of which there are few."""

    annotations: dict[str, str] | None = None


class ListMeta(Wire):
    resource_version: str = ""
    continue_: str = msgspec.field(default="", name="continue")
    remaining_item_count: int | None = None


class Page(Wire, Generic[T]):
    """One page of a list. kind ends in `List`: anything else is no list, even if it decodes."""

    kind: str = ""
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[T] | None = None


class RawPage(Wire):
    """A page whose items are decoded one by one, because one of them is not readable."""

    kind: str = ""
    metadata: ListMeta = msgspec.field(default_factory=ListMeta)
    items: list[msgspec.Raw] | None = None


class WatchEvent(Wire):
    """The envelope of a watch line; BOOKMARK and ERROR carry objects of other shapes."""

    type: str = ""
    object: msgspec.Raw = msgspec.field(default_factory=msgspec.Raw)


class Status(Wire):
    """metav1.Status: what went wrong, in the server's words."""

    code: int = 0
    reason: str = ""
    message: str = ""


class Mark(Wire):
    """A BOOKMARK's object: nothing but how far the watch has come."""

    metadata: Meta = msgspec.field(default_factory=Meta)


class Amounts(Wire):
    cpu: str = ""
    memory: str = ""


class Resources(Wire):
    requests: Amounts | None = None
    limits: Amounts | None = None


class Container(Wire):
    name: str = ""
    image: str = ""
    restart_policy: str | None = None
    resources: Resources | None = None


class PodSpec(Wire):
    node_name: str = ""
    containers: list[Container] | None = None
    init_containers: list[Container] | None = None
    resources: Resources | None = None


class Waiting(Wire):
    reason: str = ""


class Running(Wire):
    started_at: datetime | None = None


class Terminated(Wire):
    exit_code: int = 0
    signal: int = 0
    reason: str = ""
    finished_at: datetime | None = None


class ContainerState(Wire):
    waiting: Waiting | None = None
    running: Running | None = None
    terminated: Terminated | None = None


class ContainerStatus(Wire):
    name: str = ""
    ready: bool = False
    started: bool | None = None
    restart_count: int = 0
    state: ContainerState | None = None
    last_state: ContainerState | None = None


class Condition(Wire):
    type: str = ""
    status: str = ""
    reason: str = ""
    message: str = ""
    last_update_time: datetime | None = None
    last_transition_time: datetime | None = None


class PodCondition(Wire):
    """A pod's condition without its message and times: there are six on each pod."""

    type: str = ""
    status: str = ""
    reason: str = ""


class PodStatus(Wire):
    phase: str = ""
    reason: str = ""
    conditions: list[PodCondition] | None = None
    container_statuses: list[ContainerStatus] | None = None
    init_container_statuses: list[ContainerStatus] | None = None


class Pod(Wire):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)
    status: PodStatus = msgspec.field(default_factory=PodStatus)


class Selector(Wire):
    match_labels: dict[str, str] | None = None


class Template(Wire):
    metadata: AnnotatedMeta = msgspec.field(default_factory=AnnotatedMeta)
    spec: PodSpec = msgspec.field(default_factory=PodSpec)


class RollingUpdate(Wire):
    partition: int | None = None


class UpdateStrategy(Wire):
    type: str = ""
    rolling_update: RollingUpdate | None = None


class WorkloadSpec(Wire):
    """Spec of a Deployment, StatefulSet, DaemonSet or ReplicaSet: the fields they have are read."""

    replicas: int | None = None
    paused: bool = False
    selector: Selector | None = None
    template: Template = msgspec.field(default_factory=Template)
    update_strategy: UpdateStrategy | None = None


class WorkloadStatus(Wire):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    ready_replicas: int = 0
    available_replicas: int = 0
    current_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    desired_number_scheduled: int = 0
    updated_number_scheduled: int = 0
    number_ready: int = 0
    number_available: int = 0
    conditions: list[Condition] | None = None


class Workload(Wire):
    metadata: AnnotatedMeta = msgspec.field(default_factory=AnnotatedMeta)
    spec: WorkloadSpec = msgspec.field(default_factory=WorkloadSpec)
    status: WorkloadStatus = msgspec.field(default_factory=WorkloadStatus)


class Taint(Wire):
    key: str = ""
    value: str = ""
    effect: str = ""


class NodeSpec(Wire):
    unschedulable: bool = False
    taints: list[Taint] | None = None


class NodeInfo(Wire):
    kubelet_version: str = ""


class NodeStatus(Wire):
    conditions: list[Condition] | None = None
    allocatable: dict[str, str] | None = None
    node_info: NodeInfo = msgspec.field(default_factory=NodeInfo)


class Node(Wire):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: NodeSpec = msgspec.field(default_factory=NodeSpec)
    status: NodeStatus = msgspec.field(default_factory=NodeStatus)


class Named(Wire):
    name: str = ""


class Reference(Wire):
    kind: str = ""
    name: str = ""
    namespace: str = ""
    uid: str = ""


class MetricTarget(Wire):
    type: str = ""
    value: str | None = None
    average_value: str | None = None
    average_utilization: int | None = None


class MetricSource(Wire):
    """Spec of one metric of an HPA; `name` for resources, `metric` for the others."""

    name: str = ""
    container: str = ""
    metric: Named | None = None
    described_object: Reference | None = None
    target: MetricTarget = msgspec.field(default_factory=MetricTarget)


class MetricSpec(Wire):
    type: str = ""
    resource: MetricSource | None = None
    container_resource: MetricSource | None = None
    pods: MetricSource | None = None
    object: MetricSource | None = None
    external: MetricSource | None = None


class MetricReading(Wire):
    name: str = ""
    current: MetricTarget = msgspec.field(default_factory=MetricTarget)


class MetricStatus(Wire):
    type: str = ""
    resource: MetricReading | None = None
    container_resource: MetricReading | None = None
    pods: MetricReading | None = None
    object: MetricReading | None = None
    external: MetricReading | None = None


class HpaSpec(Wire):
    scale_target_ref: Reference = msgspec.field(default_factory=Reference)
    min_replicas: int | None = None
    max_replicas: int = 0
    metrics: list[MetricSpec] | None = None


class HpaStatus(Wire):
    current_replicas: int = 0
    desired_replicas: int = 0
    last_scale_time: datetime | None = None
    current_metrics: list[MetricStatus] | None = None
    conditions: list[Condition] | None = None


class Hpa(Wire):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: HpaSpec = msgspec.field(default_factory=HpaSpec)
    status: HpaStatus = msgspec.field(default_factory=HpaStatus)


class EventSource(Wire):
    component: str = ""
    host: str = ""


class EventSeries(Wire):
    count: int = 0
    last_observed_time: datetime | None = None


class Event(Wire):
    """core/v1 Event; events written through events.k8s.io show here too, with `series` and `event_time`."""

    metadata: Meta = msgspec.field(default_factory=Meta)
    involved_object: Reference = msgspec.field(default_factory=Reference)
    type: str = ""
    reason: str = ""
    message: str = ""
    count: int = 0
    first_timestamp: datetime | None = None
    last_timestamp: datetime | None = None
    event_time: datetime | None = None
    series: EventSeries | None = None
    source: EventSource = msgspec.field(default_factory=EventSource)
    reporting_component: str = ""


class BudgetSpec(Wire):
    min_available: int | str | None = None
    max_unavailable: int | str | None = None
    selector: Selector | None = None


class BudgetStatus(Wire):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0


class Budget(Wire):
    metadata: Meta = msgspec.field(default_factory=Meta)
    spec: BudgetSpec = msgspec.field(default_factory=BudgetSpec)
    status: BudgetStatus = msgspec.field(default_factory=BudgetStatus)


class ContainerUsage(Wire):
    name: str = ""
    usage: Amounts = msgspec.field(default_factory=Amounts)


class PodMetrics(Wire):
    metadata: Meta = msgspec.field(default_factory=Meta)
    timestamp: datetime | None = None
    containers: list[ContainerUsage] | None = None


class NodeMetrics(Wire):
    metadata: Meta = msgspec.field(default_factory=Meta)
    timestamp: datetime | None = None
    usage: Amounts = msgspec.field(default_factory=Amounts)


class Version(Wire):
    """Answer of /version."""

    git_version: str = ""


EVENT = msgspec.json.Decoder(WatchEvent)
STATUS = msgspec.json.Decoder(Status)
MARK = msgspec.json.Decoder(Mark)
RAW_PAGE = msgspec.json.Decoder(RawPage)
VERSION = msgspec.json.Decoder(Version)
POD_METRICS = msgspec.json.Decoder(Page[PodMetrics])
NODE_METRICS = msgspec.json.Decoder(Page[NodeMetrics])


def epoch(moment: datetime | None) -> float:
    """Seconds since the Unix epoch; 0 when there is no moment."""
    return 0.0 if moment is None else moment.timestamp()
