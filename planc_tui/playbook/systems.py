"""How a playbook says what runs beside Kubernetes and how to reach it.

Invariant: no secret is inside, only where to find it.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

Via = Annotated[str, Meta(extra={"form": "via"})]


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Base of every part of a playbook."""


class SecretKey(Part, frozen=True, kw_only=True):
    """One key of a Kubernetes Secret."""

    name: str
    """The Secret."""
    key: str
    """The key inside it."""
    namespace: str = ""
    """Where it is; the playbook's namespace when left out."""


class SecretFrom(Part, frozen=True, kw_only=True):
    """Where a secret is found. Exactly one key is given; the secret itself is never written in a playbook."""

    env: str = ""
    """Name of an environment variable."""
    file: str = ""
    """Path of a file whose first line is the secret."""
    secret: SecretKey | None = None
    """Key of a Kubernetes Secret, read through the API server."""
    command: tuple[str, ...] = ()
    """Program and arguments that print it; no shell."""
    pgpass: bool = False
    """PostgreSQL only: the libpq password file (~/.pgpass or $PGPASSFILE)."""


class PostgresSystem(Part, frozen=True, kw_only=True):
    """How to reach PostgreSQL: `dsn`, or `via` a pod of the cluster."""

    dsn: str = ""
    """libpq connection string or URL, without a password."""
    via: Via = ""
    """`pod/NAME:PORT`: forwarded through the API server."""
    user: str = ""
    """Role that planc logs in as; pg_monitor is enough to watch."""
    database: str = ""
    """Database to connect to."""
    password: SecretFrom | None = None
    """Where the password is found."""


class HttpSystem(Part, frozen=True, kw_only=True):
    """How to reach a system over HTTP: `url`, or `via` the cluster."""

    url: str = ""
    """Base URL, without a password."""
    via: Via = ""
    """`service/NAME:PORT` through the API server's proxy, or `pod/NAME:PORT` forwarded."""
    scheme: Literal["http", "https"] = "http"
    """Scheme behind `via`."""
    user: str = ""
    """User of basic authentication."""
    password: SecretFrom | None = None
    """Password of basic authentication."""
    token: SecretFrom | None = None
    """Bearer token."""
    headers: dict[str, str] = {}
    """Further request headers, such as a tenant; nothing secret."""
    ca_file: str = ""
    """Certificates that the server is checked against; the system's when left out."""


class RabbitmqSystem(Part, frozen=True, kw_only=True):
    """How to reach RabbitMQ: `url`, or `via` a pod of the cluster."""

    url: str = ""
    """`amqp://host:5672` or `amqps://`, without a password."""
    via: Via = ""
    """`pod/NAME:PORT`: forwarded through the API server."""
    vhost: str = "/"
    """Virtual host."""
    user: str = ""
    """User that planc logs in as."""
    password: SecretFrom | None = None
    """Where the password is found."""
    management: HttpSystem | None = None
    """The management API: all queues, and their rates. User and password of the broker when it names none."""


class Link(Part, frozen=True, kw_only=True):
    """A page to look at beside planc."""

    name: str
    """What it is called."""
    url: str = ""
    """Where it is."""
    via: Via = ""
    """`service/NAME:PORT` that is forwarded to look at it."""


class Systems(Part, frozen=True, kw_only=True):
    """How to reach what runs beside Kubernetes. What is left out shows as not configured, at no cost."""

    postgres: PostgresSystem | None = None
    """PostgreSQL."""
    rabbitmq: RabbitmqSystem | None = None
    """RabbitMQ."""
    prometheus: HttpSystem | None = None
    """Prometheus, or anything that speaks its query API."""
    alertmanager: HttpSystem | None = None
    """Alertmanager."""
    links: tuple[Link, ...] = ()
    """Dashboards, traces and documents to look at."""
