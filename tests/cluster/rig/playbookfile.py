"""Writes playbooks that extend the default one with how to reach this cluster's servers.

Invariant: no password is inside; each is named by the file or the Secret that holds it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from tests.cluster.rig.layout import Endpoints, write_private

TEST_ENVIRONMENT = {"word": "TEST", "match": "^(planc-test|viewer|nologs|nobody|expired)$", "colour": "blue"}


def write_playbook(endpoints: Endpoints) -> None:
    """Writes playbook.yaml, which reaches the servers directly, and playbook-via.yaml, through the API server."""
    header = "# Written by the test cluster; it goes when the cluster goes.\n"
    target = Path(endpoints.playbook)
    for path, systems in ((target, direct(endpoints)), (target.with_name("playbook-via.yaml"), forwarded())):
        body = {"extends": "plan-c", "environments": [TEST_ENVIRONMENT], "systems": systems}
        write_private(path, header + yaml.safe_dump(body, sort_keys=False))


def direct(endpoints: Endpoints) -> dict[str, Any]:
    """Returns the systems by address, with passwords in files."""
    superuser, broker = endpoints.postgres_superuser, endpoints.rabbitmq_user
    return {
        "postgres": {
            "dsn": f"host=127.0.0.1 port={endpoints.ports['postgres']}",
            "user": superuser.user,
            "database": endpoints.postgres_database,
            "password": {"file": superuser.password_file},
        },
        "rabbitmq": {
            "url": f"amqp://127.0.0.1:{endpoints.ports['amqp']}",
            "user": broker.user,
            "password": {"file": broker.password_file},
            "management": {"url": endpoints.management},
        },
        "prometheus": {"url": endpoints.prometheus},
        "alertmanager": {"url": endpoints.alertmanager},
    }


def forwarded() -> dict[str, Any]:
    """Returns the systems by pod, with passwords in Kubernetes Secrets."""

    def password(secret: str) -> dict[str, Any]:
        return {"secret": {"name": secret, "key": "password"}}

    return {
        "postgres": {
            "via": "pod/postgres-0:5432",
            "user": "postgres",
            "database": "workflow",
            "password": password("postgres-superuser"),
        },
        "rabbitmq": {
            "via": "pod/rabbitmq-0:5672",
            "user": "workflow",
            "password": password("rabbitmq-credentials"),
            "management": {"via": "pod/rabbitmq-0:15672"},
        },
        "prometheus": {"via": "pod/prometheus-0:9090"},
    }
