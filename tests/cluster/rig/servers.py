"""Starts PostgreSQL, RabbitMQ, Prometheus, Alertmanager and the exporter, and fills the first two.

Invariant: PostgreSQL and RabbitMQ never run as root; their files live in a scratch folder their users can reach.
"""

from __future__ import annotations

import os
import pwd
import signal
import subprocess
import sys
from pathlib import Path

import pika
import psycopg
import yaml

from tests.cluster.rig.build import RigError, last_lines
from tests.cluster.rig.layout import NAMESPACE, Endpoints
from tests.cluster.rig.processes import Spec

POSTGRES_BIN = Path("/usr/lib/postgresql/15/bin")
RABBITMQ_BIN = Path("/usr/lib/rabbitmq/bin")
QUEUES = {"tasks": 12, "dead_letter": 3, "emails": 4}
PLUGINS = "[rabbitmq_management]."

RULES = {
    "groups": [
        {
            "name": "workflow-scalability",
            "rules": [
                {
                    "alert": "HighErrorRate",
                    "expr": 'sum by (service) (rate(http_requests_total{code=~"5.."}[30s]))'
                    " / sum by (service) (rate(http_requests_total[30s])) > 0.05",
                    "for": "5s",
                    "labels": {"severity": "P1", "namespace": NAMESPACE},
                    "annotations": {"summary": "More than 5 % of the requests fail"},
                },
                {
                    "alert": "HighLatency",
                    "expr": "histogram_quantile(0.95, sum by (service, le)"
                    " (rate(http_request_duration_seconds_bucket[30s]))) > 2",
                    "for": "5s",
                    "labels": {"severity": "P1", "namespace": NAMESPACE},
                    "annotations": {"summary": "P95 latency is above 2 s"},
                },
                {
                    "alert": "ExporterDown",
                    "expr": 'up{job="workflow-scalability"} == 0',
                    "for": "10s",
                    "labels": {"severity": "P0", "namespace": NAMESPACE},
                    "annotations": {"summary": "The application's metrics cannot be read"},
                },
            ],
        }
    ]
}


def server_specs(endpoints: Endpoints) -> list[Spec]:
    """Returns the servers in the order in which they start."""
    return [
        postgres(endpoints),
        epmd(endpoints),
        rabbitmq(endpoints),
        exporter(endpoints),
        alertmanager(endpoints),
        prometheus(endpoints),
    ]


def log_file(endpoints: Endpoints, name: str) -> str:
    """Returns a part's log file."""
    return str(Path(endpoints.logs) / f"{name}.log")


def prepare_servers(endpoints: Endpoints) -> None:
    """Makes the servers' folders and configuration, and initialises PostgreSQL's data folder."""
    scratch = Path(endpoints.scratch)
    (scratch / "bin").mkdir(parents=True, exist_ok=True)
    prepare_postgres(endpoints)
    prepare_rabbitmq(endpoints)
    write_wrappers(endpoints)
    state = Path(endpoints.state)
    (state / "alertmanager.yaml").write_text(
        yaml.safe_dump({"route": {"receiver": "none", "group_wait": "1s"}, "receivers": [{"name": "none"}]}),
        "utf-8",
    )
    (state / "rules.yaml").write_text(yaml.safe_dump(RULES, sort_keys=False), "utf-8")
    (state / "prometheus.yaml").write_text(yaml.safe_dump(prometheus_config(endpoints), sort_keys=False), "utf-8")


def own_folder(path: Path, user: str, mode: int = 0o700) -> None:
    """Makes a folder that belongs to `user` when we are root, and to us otherwise."""
    path.mkdir(parents=True, exist_ok=True)
    path.chmod(mode)
    if os.geteuid() == 0:
        account = pwd.getpwnam(user)
        os.chown(path, account.pw_uid, account.pw_gid)


def as_user(user: str) -> list[str]:
    """Returns the command prefix that runs the rest as `user`; empty when we are not root."""
    return ["runuser", "-u", user, "--"] if os.geteuid() == 0 else []


def prepare_postgres(endpoints: Endpoints) -> None:
    """Runs initdb: passwords (scram) over TCP, trust on the socket, which only the server's user can reach."""
    home = Path(endpoints.scratch) / "postgres"
    own_folder(home, "postgres")
    own_folder(Path(endpoints.postgres_socket_dir), "postgres")
    secret = home / "initial-password"
    secret.write_text(endpoints.postgres_superuser.password + "\n", "utf-8")
    if os.geteuid() == 0:
        os.chown(secret, pwd.getpwnam("postgres").pw_uid, -1)
    secret.chmod(0o600)
    command = [
        *as_user("postgres"),
        str(POSTGRES_BIN / "initdb"),
        f"--pgdata={home}/data",
        f"--username={endpoints.postgres_superuser.user}",
        "--auth-host=scram-sha-256",
        "--auth-local=trust",
        f"--pwfile={secret}",
        "--encoding=UTF8",
        "--no-locale",
        "--no-sync",
    ]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    secret.unlink()
    if done.returncode:
        raise RigError(f"initdb failed: {last_lines(done.stderr)}")


def postgres(endpoints: Endpoints) -> Spec:
    """PostgreSQL 15. SIGINT is its fast shutdown, which does not wait for sessions to leave."""
    command = [
        str(POSTGRES_BIN / "postgres"),
        "-D",
        f"{endpoints.scratch}/postgres/data",
        "-p",
        str(endpoints.ports["postgres"]),
        "-k",
        endpoints.postgres_socket_dir,
        "-c",
        "listen_addresses=127.0.0.1",
        "-c",
        "fsync=off",
        "-c",
        "max_connections=100",
    ]
    return Spec("postgres", command, log_file(endpoints, "postgres"), user="postgres", stop_signal=int(signal.SIGINT))


def rabbitmq_environment(endpoints: Endpoints) -> dict[str, str]:
    """Returns the environment that the server and rabbitmqctl share."""
    home = f"{endpoints.scratch}/rabbitmq"
    return {
        "HOME": home,
        "RABBITMQ_NODENAME": endpoints.rabbitmq_node,
        "RABBITMQ_MNESIA_BASE": f"{home}/mnesia",
        "RABBITMQ_LOG_BASE": f"{home}/log",
        "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins",
        "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq",
        "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
        "RABBITMQ_DIST_PORT": str(endpoints.ports["rabbitmq_distribution"]),
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2 +sbwt none",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "ERL_EPMD_PORT": str(endpoints.ports["epmd"]),
    }


def prepare_rabbitmq(endpoints: Endpoints) -> None:
    """Writes RabbitMQ's configuration; the user is made by the server at its first start."""
    home = Path(endpoints.scratch) / "rabbitmq"
    own_folder(home, "rabbitmq")
    (home / "plugins").write_text(PLUGINS + "\n", "utf-8")
    lines = [
        f"listeners.tcp.1 = 127.0.0.1:{endpoints.ports['amqp']}",
        "management.tcp.ip = 127.0.0.1",
        f"management.tcp.port = {endpoints.ports['management']}",
        "loopback_users = none",
        f"default_user = {endpoints.rabbitmq_user.user}",
        f"default_pass = {endpoints.rabbitmq_user.password}",
        "default_user_tags.administrator = true",
        "collect_statistics_interval = 1000",
        "disk_free_limit.absolute = 50MB",
        "log.console.level = warning",
    ]
    (home / "rabbitmq.conf").write_text("\n".join(lines) + "\n", "utf-8")


def epmd(endpoints: Endpoints) -> Spec:
    """Erlang's port mapper, started by us: the one RabbitMQ would start stays behind when RabbitMQ ends."""
    command = ["epmd", "-address", "127.0.0.1", "-port", str(endpoints.ports["epmd"])]
    return Spec("epmd", command, log_file(endpoints, "epmd"), user="rabbitmq")


def rabbitmq(endpoints: Endpoints) -> Spec:
    """RabbitMQ with its management plugin."""
    return Spec(
        "rabbitmq",
        [str(RABBITMQ_BIN / "rabbitmq-server")],
        log_file(endpoints, "rabbitmq"),
        rabbitmq_environment(endpoints),
        user="rabbitmq",
    )


def write_wrappers(endpoints: Endpoints) -> None:
    """Writes rabbitmqctl and rabbitmq-diagnostics for exec: right node, right cookie, right user."""
    # After runuser, which sets HOME anew and with it the cookie's place.
    values = " ".join(f"{key}='{value}'" for key, value in rabbitmq_environment(endpoints).items())
    prefix = " ".join([*as_user("rabbitmq"), "env", values])
    for tool in ("rabbitmqctl", "rabbitmq-diagnostics"):
        path = Path(endpoints.scratch) / "bin" / tool
        path.write_text(f'#!/bin/sh\ncd /\nexec {prefix} {RABBITMQ_BIN}/{tool} "$@"\n', "utf-8")
        path.chmod(0o755)


def prometheus_config(endpoints: Endpoints) -> dict[str, object]:
    """Returns Prometheus' configuration: the exporter every second, alerts to Alertmanager."""
    target = {"targets": [f"127.0.0.1:{endpoints.ports['exporter']}"], "labels": {"namespace": NAMESPACE}}
    manager = {"static_configs": [{"targets": [f"127.0.0.1:{endpoints.ports['alertmanager']}"]}]}
    return {
        "global": {"scrape_interval": "1s", "scrape_timeout": "900ms", "evaluation_interval": "2s"},
        "rule_files": [f"{endpoints.state}/rules.yaml"],
        "alerting": {"alertmanagers": [manager]},
        "scrape_configs": [{"job_name": "workflow-scalability", "static_configs": [target]}],
    }


def prometheus(endpoints: Endpoints) -> Spec:
    """Prometheus 2.42."""
    command = [
        "/usr/bin/prometheus",
        f"--config.file={endpoints.state}/prometheus.yaml",
        f"--storage.tsdb.path={endpoints.state}/prometheus",
        f"--web.listen-address=127.0.0.1:{endpoints.ports['prometheus']}",
        "--web.enable-lifecycle",
        "--log.level=warn",
    ]
    return Spec("prometheus", command, log_file(endpoints, "prometheus"))


def alertmanager(endpoints: Endpoints) -> Spec:
    """Alertmanager 0.25 without gossip."""
    command = [
        "/usr/bin/prometheus-alertmanager",
        f"--config.file={endpoints.state}/alertmanager.yaml",
        f"--storage.path={endpoints.state}/alertmanager",
        f"--web.listen-address=127.0.0.1:{endpoints.ports['alertmanager']}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]
    return Spec("alertmanager", command, log_file(endpoints, "alertmanager"))


def exporter(endpoints: Endpoints) -> Spec:
    """The application's metrics, whose values a test can set."""
    command = [sys.executable, "-m", "tests.cluster.rig.exporter", str(endpoints.ports["exporter"])]
    return Spec("exporter", command, log_file(endpoints, "exporter"))


def fill_postgres(endpoints: Endpoints) -> None:
    """Creates the application's user, database, tables and rows. Running it twice changes nothing."""
    superuser = endpoints.postgres_superuser
    user = endpoints.postgres_user
    database = endpoints.postgres_database
    with psycopg.connect(endpoints.postgres_dsn(superuser), dbname="postgres", autocommit=True) as connection:
        if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", (database,)).fetchone():
            return
        quoted = psycopg.sql.quote(user.password)
        connection.execute(f"CREATE ROLE {user.user} LOGIN PASSWORD {quoted}".encode())
        connection.execute(f"CREATE DATABASE {database} OWNER {user.user}".encode())
    schema = (Path(__file__).parent / "manifests" / "schema.sql").read_bytes()
    with psycopg.connect(endpoints.postgres_dsn()) as connection:
        connection.execute(schema)


def fill_rabbitmq(endpoints: Endpoints) -> None:
    """Declares the queues and brings each to its usual few messages."""
    for queue, count in QUEUES.items():
        set_depth(endpoints, queue, count)


def set_depth(endpoints: Endpoints, queue: str, count: int) -> None:
    """Declares a durable queue and replaces its ready messages by `count` persistent ones."""
    connection = pika.BlockingConnection(pika.URLParameters(endpoints.amqp_url()))
    try:
        channel = connection.channel()
        channel.queue_declare(queue, durable=True)
        channel.queue_purge(queue)
        for number in range(count):
            channel.basic_publish("", queue, message_body(queue, number), message_properties(queue, number))
    finally:
        connection.close()


def message_body(queue: str, number: int) -> bytes:
    """Returns a message's body."""
    return f'{{"id": {number}, "queue": "{queue}", "workflow": "wf-{number % 97:03d}"}}'.encode()


def message_properties(queue: str, number: int) -> pika.BasicProperties:
    """Returns a message's properties: persistent, with headers as a dead-lettering broker would add them."""
    headers = {"x-first-death-queue": "tasks", "x-attempt": number % 5} if queue == "dead_letter" else {}
    return pika.BasicProperties(
        content_type="application/json", delivery_mode=2, message_id=f"{queue}-{number}", headers=headers
    )
