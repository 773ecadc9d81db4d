"""Where a test cluster keeps its files, which ports it uses and how to reach each of its servers.

Invariant: everything a test needs to know about a running cluster is in endpoints.json; nothing is guessed.
"""

from __future__ import annotations

import json
import os
import random
import socket
from dataclasses import asdict, dataclass
from pathlib import Path

from tests.cluster.rig.build import RigError

CHECKOUT = Path(__file__).resolve().parents[3]
DEFAULT_STATE = CHECKOUT / ".cluster"
NAMESPACE = "workflow-scalability"
ADMIN_CONTEXT = "planc-test"

# Below the ephemeral range, so that no outgoing connection takes a port between its choice and its use.
PORT_RANGE = (20000, 32000)
LISTENERS = (
    "etcd",
    "etcd_peer",
    "apiserver",
    "controller_manager",
    "scheduler",
    "kubelet",
    "metrics_server",
    "postgres",
    "amqp",
    "management",
    "rabbitmq_distribution",
    "epmd",
    "prometheus",
    "alertmanager",
    "exporter",
)
# Sockets that hold the chosen blocks until this process ends; by then the servers listen themselves.
_reservations: list[socket.socket] = []


@dataclass(frozen=True, slots=True)
class Login:
    """A user of a server, with the file that holds the same password alone on one line."""

    user: str
    password: str
    password_file: str


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How to reach each part of a running cluster; written as endpoints.json."""

    state: str
    namespace: str
    kubeconfig: str
    contexts: dict[str, str]
    ports: dict[str, int]
    bin: str
    scratch: str
    logs: str
    playbook: str
    postgres_socket_dir: str
    postgres_database: str
    postgres_user: Login
    postgres_superuser: Login
    rabbitmq_user: Login
    rabbitmq_node: str
    external_control_plane: bool

    @property
    def apiserver(self) -> str:
        """The API server's URL; of a control plane that is not ours, the URL of a `kubectl proxy` to it."""
        scheme = "http" if self.external_control_plane else "https"
        return f"{scheme}://127.0.0.1:{self.ports['apiserver']}"

    @property
    def prometheus(self) -> str:
        """Prometheus' URL."""
        return f"http://127.0.0.1:{self.ports['prometheus']}"

    @property
    def alertmanager(self) -> str:
        """Alertmanager's URL."""
        return f"http://127.0.0.1:{self.ports['alertmanager']}"

    @property
    def exporter(self) -> str:
        """The exporter's URL; PUT /set changes what it serves."""
        return f"http://127.0.0.1:{self.ports['exporter']}"

    @property
    def management(self) -> str:
        """The RabbitMQ management API's URL."""
        return f"http://127.0.0.1:{self.ports['management']}"

    def postgres_dsn(self, login: Login | None = None) -> str:
        """Returns a DSN over TCP, with the password, for `login` (default: the application's user)."""
        who = login or self.postgres_user
        return (
            f"host=127.0.0.1 port={self.ports['postgres']} dbname={self.postgres_database} "
            f"user={who.user} password={who.password} connect_timeout=3"
        )

    def amqp_url(self) -> str:
        """Returns the AMQP URL with user and password."""
        who = self.rabbitmq_user
        return f"amqp://{who.user}:{who.password}@127.0.0.1:{self.ports['amqp']}/%2F"

    def save(self) -> None:
        """Writes endpoints.json, with the URLs spelled out for readers that are not Python."""
        urls = {
            "apiserver": self.apiserver,
            "prometheus": self.prometheus,
            "alertmanager": self.alertmanager,
            "exporter": self.exporter,
            "management": self.management,
            "amqp": self.amqp_url(),
            "postgres": self.postgres_dsn(),
        }
        write_private(endpoints_file(Path(self.state)), json.dumps({**asdict(self), "urls": urls}, indent=2) + "\n")


def endpoints_file(state: Path) -> Path:
    """Returns the path of endpoints.json."""
    return state / "endpoints.json"


def load_endpoints(state: Path) -> Endpoints:
    """Reads endpoints.json. Raises RigError when no cluster was started in this state folder."""
    try:
        raw = json.loads(endpoints_file(state).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RigError(f"No cluster in {state}. Start one: python -m tests.cluster.rig up") from None
    del raw["urls"]
    for name in ("postgres_user", "postgres_superuser", "rabbitmq_user"):
        raw[name] = Login(**raw[name])
    return Endpoints(**raw)


def write_private(path: Path, text: str) -> None:
    """Writes a file that only its owner can read, whole or not at all."""
    fresh = path.with_name(f".{path.name}.new")
    with open(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as handle:
        handle.write(text)
    fresh.rename(path)


def choose_ports(base: int | None) -> dict[str, int]:
    """Returns a port per listener: from `base` upwards, or from a block in which all are free.

    Raises RigError when a port of the given block is taken, or no block is free.
    """
    size = len(LISTENERS)
    if base is not None:
        taken = [port for port in range(base, base + size) if not port_is_free(port)]
        if taken:
            raise RigError(f"Port {taken[0]} is in use. Choose another --port-base.")
        return dict(zip(LISTENERS, range(base, base + size), strict=True))
    for start in random.sample(range(*PORT_RANGE, 20), 100):
        block = range(start, start + size)
        if all(port_is_free(port) for port in block) and reserve(block.stop):
            return dict(zip(LISTENERS, block, strict=True))
    raise RigError("Found no free block of ports on 127.0.0.1. Pass --port-base.")


def reserve(port: int) -> bool:
    """Takes a block for this process by listening behind its end, so that of two that start, one gets it."""
    held = socket.socket()
    try:
        held.bind(("127.0.0.1", port))
        held.listen()
    except OSError:
        held.close()
        return False
    _reservations.append(held)
    return True


def port_is_free(port: int) -> bool:
    """Tells whether the port can be bound on 127.0.0.1."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
