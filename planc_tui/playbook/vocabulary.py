"""The words a playbook may use for things that other parts of planc define: actions, panes, targets, fields.

Invariant: a playbook that passes the check names nothing that planc does not know. A test holds this list and the
registries of actions and panes together.
"""

from __future__ import annotations

ACTIONS: dict[str, tuple[str, ...]] = {
    "rollout-restart": (),
    "rollout-undo": ("revision",),
    "rollout-pause": (),
    "rollout-resume": (),
    "scale": ("replicas",),
    "hpa-bounds": ("min", "max"),
    "set-env": ("env", "container"),
    "set-resources": ("container", "cpu-request", "cpu-limit", "memory-request", "memory-limit"),
    "set-image": ("image", "container"),
    "pod-delete": ("grace",),
    "pod-evict": ("grace",),
    "pods-greediest": ("count",),
    "cordon": (),
    "uncordon": (),
    "drain": ("force", "emptydir"),
    "queue-peek": ("count",),
    "queue-purge": (),
    "queue-restore": ("file", "skip"),
    "queue-move": ("to",),
    "cancel-query": (),
    "terminate": (),
    "terminate-older": ("minutes",),
    "free-locks": (),
    "vacuum-analyze": (),
    "maintenance-on": (),
    "maintenance-off": (),
    "backup": ("secrets",),
    "silence": ("minutes", "matchers"),
    "silence-end": ("silence",),
}
"""Ids of the actions, each with the parameters that a step may give; restore-env, which only undoes, is left out."""

PANES: dict[str, tuple[str, ...]] = {
    "pods": ("filter", "sort"),
    "top_cpu": ("top", "filter"),
    "top_memory": ("top", "filter"),
    "hpa": (),
    "queues": ("filter",),
    "errors": ("top", "filter", "window"),
    "events": ("top", "filter"),
    "database": ("filter",),
    "slo": (),
    "rollouts": ("filter",),
    "nodes": ("filter",),
    "alerts": ("filter",),
    "logs": ("top", "filter", "window"),
}
"""Names of the panes, each with the settings that a step may give."""

TARGETS = ("app", "worker", "database", "dead_letter", "ingress", "namespace", "selected")
"""What a step's target may be, beside `Kind/name`."""

KINDS = (
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Pod",
    "Node",
    "HorizontalPodAutoscaler",
    "Ingress",
    "Namespace",
    "Queue",
    "Database",
)
"""Kinds that `Kind/name` may have."""

MESSAGE_FIELDS: dict[str, str] = {
    "incident": "number of the incident",
    "title": "what is seen, in one line",
    "severity": "severity, such as P0",
    "severity_name": "its name in the language of the message",
    "environment": "word of the environment, such as PROD",
    "context": "context of the kubeconfig",
    "namespace": "namespace",
    "symptoms": "what is wrong now, from the findings",
    "impact": "who is hurt and how much",
    "actions": "what is being done",
    "expected_end": "when it should be over, or that nobody knows yet",
    "started": "time the impact began",
    "declared": "time of the declaration",
    "time": "time of the message",
    "elapsed": "time since the declaration",
    "status": "state of the incident in words",
    "progress": "what was done since the last message",
    "blockers": "what is in the way",
    "next_steps": "what comes next",
    "next_message": "time of the next message",
    "every": "time between messages",
    "commander": "who leads",
    "level": "level of the escalation",
    "duration": "total duration",
    "root_cause": "root cause, as far as it is known",
    "fix": "what ended it",
    "final_impact": "impact in figures",
    "review_date": "date of the post-mortem",
}
"""Fields of the message templates."""

RULE_FIELDS = ("value", "threshold", "object")
"""Fields of a rule's text."""
