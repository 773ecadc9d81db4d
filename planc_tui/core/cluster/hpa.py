"""HorizontalPodAutoscalers (autoscaling/v2) as flat rows.

Invariant: the targets are printed as `kubectl get hpa` prints them (formatHPAMetrics of Kubernetes 1.37), but all of
them, and a metric that the controller has not read is <unknown>, never zero.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import msgspec

from planc_tui.core.cluster import wire
from planc_tui.core.cluster.listing import share
from planc_tui.core.cluster.wire import epoch

UNKNOWN = "<unknown>"
_SHOWN_BY_KUBECTL = 2


class HpaRow(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One autoscaler. minimum: None when unset. metrics: `cpu: 70%/60%`, one text per metric.
    able, active: its conditions AbleToScale and ScalingActive, None while the controller has not said.
    problem: the words of the condition that keeps it from scaling."""

    uid: str
    namespace: str
    name: str
    target_kind: str
    target_name: str
    metrics: tuple[str, ...]
    minimum: int | None
    maximum: int
    current: int
    desired: int
    able: bool | None = None
    active: bool | None = None
    limited: str = ""
    problem: str = ""
    scaled_at: float = 0.0
    created: float = 0.0
    generation: int = 0

    @property
    def at_max(self) -> bool:
        """It runs as many replicas as it may, and wants no fewer."""
        return self.maximum > 0 and self.current >= self.maximum and self.desired >= self.maximum

    @property
    def wants_more(self) -> bool:
        """The maximum keeps it from adding replicas that its metrics ask for."""
        return self.limited == "TooManyReplicas"

    @property
    def unable(self) -> bool:
        """It cannot scale, or cannot read the metrics it scales by."""
        return self.able is False or (self.active is False and self.limited != "ScalingDisabled")


def targets_text(metrics: Sequence[str]) -> str:
    """kubectl's TARGETS column, which shows two metrics and counts the rest.

    >>> targets_text(["cpu: 1%/60%", "3/5", "4/5"])
    'cpu: 1%/60%, 3/5 + 1 more...'
    """
    if not metrics:
        return "<none>"
    shown = ", ".join(metrics[:_SHOWN_BY_KUBECTL])
    more = len(metrics) - _SHOWN_BY_KUBECTL
    return f"{shown} + {more} more..." if more > 0 else shown


def _amount(text: str | None) -> str:
    return "<nil>" if text is None else text


def _averaged(reading: wire.MetricReading | None, target: wire.MetricTarget) -> str:
    """External and Object metrics: by average where the target is one."""
    if target.average_value is not None:
        known = reading is not None and reading.current.average_value is not None
        current = reading.current.average_value if reading is not None and known else UNKNOWN
        return f"{current}/{target.average_value} (avg)"
    current = UNKNOWN if reading is None else _amount(reading.current.value)
    return f"{current}/{_amount(target.value)}"


def _resource(source: wire.MetricSource, reading: wire.MetricReading | None) -> str:
    target = source.target
    if target.average_value is not None:
        current = UNKNOWN if reading is None else _amount(reading.current.average_value)
        return f"{source.name}: {current}/{target.average_value}"
    used = None if reading is None else reading.current.average_utilization
    wanted = "<auto>" if target.average_utilization is None else f"{target.average_utilization}%"
    return f"{source.name}: {UNKNOWN if used is None else f'{used}%'}/{wanted}"


def metric_text(spec: wire.MetricSpec, status: wire.MetricStatus | None) -> str:
    """Current and target of one metric. status: the controller's reading at the same place of its list, if any."""
    if spec.type == "Resource" and spec.resource is not None:
        return _resource(spec.resource, status.resource if status else None)
    if spec.type == "ContainerResource" and spec.container_resource is not None:
        return _resource(spec.container_resource, status.container_resource if status else None)
    if spec.type == "Pods" and spec.pods is not None:
        reading = status.pods if status else None
        current = UNKNOWN if reading is None else _amount(reading.current.average_value)
        return f"{current}/{_amount(spec.pods.target.average_value)}"
    if spec.type == "Object" and spec.object is not None:
        return _averaged(status.object if status else None, spec.object.target)
    if spec.type == "External" and spec.external is not None:
        return _averaged(status.external if status else None, spec.external.target)
    return "<unknown type>"


def _state(conditions: dict[str, wire.Condition], kind: str) -> bool | None:
    found = conditions.get(kind)
    return None if found is None or found.status not in {"True", "False"} else found.status == "True"


def _limit_reason(conditions: dict[str, wire.Condition]) -> str:
    active, limited = conditions.get("ScalingActive"), conditions.get("ScalingLimited")
    if active is not None and active.reason == "ScalingDisabled":
        return "ScalingDisabled"
    return limited.reason if limited is not None and limited.status == "True" else ""


def _problem(conditions: dict[str, wire.Condition]) -> str:
    for kind in ("AbleToScale", "ScalingActive"):
        found = conditions.get(kind)
        if found is not None and found.status == "False":
            return f"{found.reason}: {found.message}" if found.message else found.reason
    return ""


def hpa_row(hpa: wire.Hpa) -> HpaRow:
    """The flat row of an autoscaler."""
    meta, spec, status = hpa.metadata, hpa.spec, hpa.status
    readings = status.current_metrics or []
    conditions = {condition.type: condition for condition in status.conditions or ()}
    texts = [metric_text(m, readings[i] if i < len(readings) else None) for i, m in enumerate(spec.metrics or ())]
    return HpaRow(
        uid=meta.uid,
        namespace=sys.intern(meta.namespace),
        name=meta.name,
        target_kind=spec.scale_target_ref.kind,
        target_name=spec.scale_target_ref.name,
        metrics=share(tuple(texts)),
        minimum=spec.min_replicas,
        maximum=spec.max_replicas,
        current=status.current_replicas,
        desired=status.desired_replicas,
        able=_state(conditions, "AbleToScale"),
        active=_state(conditions, "ScalingActive"),
        limited=_limit_reason(conditions),
        problem=_problem(conditions),
        scaled_at=epoch(status.last_scale_time),
        created=epoch(meta.creation_timestamp),
        generation=meta.generation,
    )
