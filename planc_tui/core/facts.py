"""The facts that symptom rules may name: every number or yes/no that planc derives from its readings.

Invariant: a name here has one unit and one meaning. A fact whose reading is missing or old is unknown,
which is neither good nor bad; it is never replaced by zero.
"""

from __future__ import annotations

from msgspec import Struct


class Fact(Struct, frozen=True):
    """One fact. unit: "" for a count, "yes/no" for a flag. topic: family of readings that it comes from."""

    name: str
    unit: str
    topic: str
    meaning: str

    @property
    def flag(self) -> bool:
        """Whether the fact is yes or no rather than a number."""
        return self.unit == "yes/no"


_FACTS = (
    Fact("pods_unhealthy", "", "pods", "pods of the namespace that are not healthy, finished Jobs left out"),
    Fact("pods_crash_looping", "", "pods", "pods with a container in CrashLoopBackOff"),
    Fact("pods_oom_killed", "", "pods", "pods with a container killed for memory within 10 minutes"),
    Fact("pods_pending", "", "pods", "pods that wait for a node or an image"),
    Fact("restarts_10m", "", "pods", "container restarts in the last 10 minutes"),
    Fact("app_ready", "", "rollouts", "ready replicas of the application"),
    Fact("app_unavailable_percent", "%", "rollouts", "share of the application's replicas not ready"),
    Fact("app_down", "yes/no", "rollouts", "the application wants replicas and none is ready"),
    Fact("app_changed_30m", "yes/no", "rollouts", "the application was rolled out within 30 minutes"),
    Fact("worker_ready", "", "rollouts", "ready replicas of the workers"),
    Fact("rollouts_stuck", "", "rollouts", "rollouts past their progress deadline"),
    Fact("hpa_at_max", "", "hpas", "autoscalers at their maximum that want more"),
    Fact("hpa_unable", "", "hpas", "autoscalers that cannot scale or read their metric"),
    Fact("nodes_not_ready", "", "nodes", "nodes that are not ready"),
    Fact("nodes_pressure", "", "nodes", "nodes with memory, disk or PID pressure"),
    Fact("cpu_percent", "%", "usage", "mean CPU of the application's pods, of their limit or request"),
    Fact("cpu_percent_max", "%", "usage", "CPU of the busiest pod, of its limit"),
    Fact("memory_percent_max", "%", "usage", "memory of the fullest pod, of its limit"),
    Fact("memory_slope", "MiB/min", "usage", "memory growth of the fastest growing pod"),
    Fact("memory_minutes_left", "min", "usage", "time until the first growing pod meets its limit"),
    Fact("warnings_10m", "", "events", "warning events of the last 10 minutes, repeats counted"),
    Fact("queue_depth", "", "queues", "messages in the deepest queue, the dead-letter queue left out"),
    Fact("dead_letter_depth", "", "queues", "messages in the dead-letter queue"),
    Fact("queues_without_consumers", "", "queues", "queues that hold messages and have no consumer"),
    Fact("queue_minutes_to_drain", "min", "queues", "time to drain of the slowest queue that drains"),
    Fact("broker_blocked", "yes/no", "queues", "the broker has raised a memory or disk alarm"),
    Fact("database_refused", "yes/no", "database", "the database cannot be reached or refuses the login"),
    Fact("database_connections_percent", "%", "database", "connections used, of max_connections"),
    Fact("database_longest_query", "s", "database", "longest running query of a client"),
    Fact("database_longest_transaction", "s", "database", "longest open transaction of a client"),
    Fact("database_blocked", "", "database", "sessions that wait for another session's lock"),
    Fact("latency_p95", "s", "slo", "95th percentile of the response time"),
    Fact("error_percent", "%", "slo", "share of answers that are errors"),
    Fact("availability_percent", "%", "slo", "share of requests that were served"),
    Fact("burn_short", "", "slo", "highest burn rate of an SLO in its short window; 1 spends the budget"),
    Fact("burn_long", "", "slo", "highest burn rate of an SLO in its long window"),
    Fact("budget_left_percent", "%", "slo", "error budget left of the SLO that has least"),
    Fact("log_errors_per_minute", "1/min", "logs", "ERROR and FATAL lines of the followed pods"),
    Fact("alerts_firing", "", "alerts", "alerts firing in Alertmanager, silenced ones left out"),
    Fact("cluster_unreachable", "yes/no", "link", "the API server does not answer"),
)

FACTS: dict[str, Fact] = {fact.name: fact for fact in _FACTS}
"""Facts by name."""
