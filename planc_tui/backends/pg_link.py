"""One connection to PostgreSQL (psycopg, synchronous) that cannot hang, and the faults behind its errors.

Invariant: a connection is in autocommit, opened when it is needed, and every way it can fail is a PortError without a
secret; a link is used by one thread at a time.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from planc_tui.backends.reach import Route, broken
from planc_tui.backends.secrets import Credential
from planc_tui.backends.watchdog import Cutter
from planc_tui.core.answer_limit import AnswerLimit
from planc_tui.core.clock import Clock
from planc_tui.core.ports import Denied, LoginExpired, NoAnswer, NoConnection, PortError, Rejected, Unreachable
from planc_tui.core.secret import Secret, scrub
from planc_tui.core.stats import RequestStats
from planc_tui.core.text import clean
from planc_tui.playbook.model import PostgresSystem

if TYPE_CHECKING:
    from psycopg import Connection, Error

SOURCE = "database"
APPLICATION = "planc"
CONNECT_TIMEOUT = 3.0
READ_TIMEOUT = 6.0
# Without these, a call hangs for ever in a network that swallows packets.
KEEPALIVE = {
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 3,
    "keepalives_count": 2,
    "tcp_user_timeout": 10_000,
}


class PgLink:
    """A connection with planc's settings. settings: server parameters by name, as text. application: how it is called
    in pg_stat_activity."""

    def __init__(
        self,
        system: PostgresSystem,
        route: Route | None,
        credential: Credential,
        settings: Mapping[str, str],
        stats: RequestStats,
        clock: Clock,
        application: str = APPLICATION,
    ) -> None:
        self._application = application
        self._system = system
        self._route = route
        self._credential = credential
        self._settings = settings
        self._stats = stats
        self._clock = clock
        self._connection: Connection[Any] | None = None
        self._cutter: Cutter | None = None
        self._limit = AnswerLimit(CONNECT_TIMEOUT)
        self._bare = False  # a pooler refused startup options: set them after connecting

    @property
    def connected(self) -> bool:
        """Whether there is a connection, as far as is known."""
        return self._connection is not None and not self._connection.closed

    def check(self) -> bool:
        """Drop the connection when the server closed it since the last call. Returns whether there is one; asks the
        server nothing."""
        if self._connection is None:
            return False
        import psycopg

        try:
            for _ in range(2):  # its last words, and that nothing follows
                self._connection.pgconn.consume_input()
        except psycopg.Error as error:
            self.fault(error)  # it takes down what is broken
        return self.connected

    def open(self) -> tuple[Connection[Any], Cutter]:
        """The connection, with what ends a call on it. Raises psycopg.Error, PortError."""
        if self._connection is not None and self._cutter is not None and not self._connection.closed:
            return self._connection, self._cutter
        self._drop()
        connection = self._connect()
        self._connection, self._cutter = connection, Cutter(connection.fileno())
        connection.adapters.register_loader("text", _lenient_text())
        if self._bare:
            with self._cutter.limit(READ_TIMEOUT):
                connection.execute(
                    ";".join(f"SET {name} = '{value}'" for name, value in self._settings.items()).encode()
                )
        return connection, self._cutter

    def sent(self) -> None:
        """Count one request."""
        self._stats.request(SOURCE, self._clock.monotonic())

    def answered(self) -> None:
        """Count what the server sent since the last answer."""
        self._limit.settle()
        if self._cutter is not None:
            self._stats.received(SOURCE, self._cutter.received())

    def close(self) -> None:
        """Drop the connection and the way to it."""
        self._limit.settle()
        self._drop()
        if self._route is not None:
            self._route.close()

    def fault(self, error: Error) -> PortError:
        """What to say about an error on this link; takes down what is broken."""
        connected = self.connected
        late = self._cutter is not None and self._cutter.fired
        secret: Secret | None = None
        if not connected:
            self._drop()
            secret = self._credential.get()
        if late:
            fault: PortError = NoAnswer(f"PostgreSQL gave no answer within {READ_TIMEOUT:.0f} s")
        else:
            fault = port_error(error.sqlstate, scrub(str(error), secret), self._limit.seconds)
        self._limit.settle(fault)
        if isinstance(fault, NoConnection):
            self._stats.withdraw(SOURCE)
        if isinstance(fault, LoginExpired):
            self._credential.refused()
        if connected or self._route is None:
            return fault
        mended = broken(self._route, fault)
        return fault if isinstance(fault, LoginExpired | Denied) else mended

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        cutter, self._cutter = self._cutter, None
        if connection is not None:
            connection.close()
        if cutter is not None:
            cutter.close()

    def _connect(self) -> Connection[Any]:
        import psycopg

        secret = self._credential.get()
        parameters = self._parameters(secret)
        self.sent()
        try:
            return psycopg.connect(autocommit=True, prepare_threshold=None, **parameters)
        except psycopg.OperationalError as error:
            if self._bare or "startup parameter" not in str(error):
                raise
            self._bare = True  # PgBouncer
            return psycopg.connect(autocommit=True, prepare_threshold=None, **self._parameters(secret))

    def _parameters(self, secret: Secret | None) -> dict[str, Any]:
        """libpq's parameters; what the DSN says about the network wins over planc's defaults."""
        from psycopg.conninfo import conninfo_to_dict

        given: dict[str, Any] = {**conninfo_to_dict(self._system.dsn)} if self._system.dsn else {}
        if self._route is not None:
            address = self._route.address()
            given |= {"host": address.name, "hostaddr": address.host, "port": address.port}
        if self._system.user:
            given["user"] = self._system.user
        if self._system.database:
            given["dbname"] = self._system.database
        if secret is not None:
            given["password"] = secret.reveal()
        options = given.pop("options", "") or ""
        if not self._bare:
            options = " ".join([options, *(f"-c {name}={value}" for name, value in self._settings.items())]).strip()
        if options:
            given["options"] = options
        fixed = {
            "connect_timeout": int(self._limit.seconds),
            "application_name": self._application,
            "client_encoding": "UTF8",
        }
        return {**KEEPALIVE, **given, **fixed}


def _lenient_text() -> type[Any]:
    """A loader that shows broken UTF-8 instead of failing: queries are cut in the middle of characters."""
    from psycopg.adapt import Loader

    class LenientText(Loader):
        def load(self, data: Any) -> str:
            return bytes(data).decode("utf-8", "replace")

    return LenientText


# What libpq says when a login fails has no SQLSTATE and is in the server's language.
_BAD_LOGIN = re.compile(
    r"password authentication failed|authentication failed|no password supplied|no pg_hba.conf entry"
    r"|authentification .*(échouée|échoué)|role .* does not exist|le rôle .* n'existe pas"
    r"|not permitted to log in"
)
# These come from planc's own libpq, which speaks English.
_NO_CONNECTION = re.compile(r"Connection refused|No route to host|Network is unreachable|failed to resolve host")
_FATAL: tuple[tuple[str, str], ...] = (
    (r"too many (clients|connections)|remaining connection slots|trop de (clients|connexions)", "53300"),
    (r"starting up|recovery mode|shutting down|not yet accepting|en cours de démarrage|en cours d'arrêt", "57P03"),
    (r"permission denied for database|droit refusé pour la base", "42501"),
    (r"database .* does not exist|la base de données .* n'existe pas", "3D000"),
    (r"timeout expired|timed out", "timeout"),
)


def port_error(sqlstate: str | None, text: str, limit: float = CONNECT_TIMEOUT) -> PortError:
    """The fault behind a driver's error. text: the driver's message, without secrets. limit: seconds that were waited
    for a connection.

    >>> port_error(None, 'connection failed: FATAL:  password authentication failed for user "app"').health.value
    'login expired'
    >>> port_error("42501", "permission denied for view pg_stat_activity").health.value
    'denied'
    """
    line = first_line(text)
    if sqlstate in ("28P01", "28000") or (sqlstate is None and _BAD_LOGIN.search(line)):
        return LoginExpired(line, hint="check user and password of systems.postgres in the playbook")
    state = sqlstate or next((code for pattern, code in _FATAL if re.search(pattern, line)), "")
    match state:
        case "42501":
            hint = "GRANT pg_monitor TO planc's role"
            return Denied(line, verb="read", resource="pg_stat_activity", hint=hint)
        case "53300":
            return Unreachable("PostgreSQL has no connection left", hint="superusers may still get in")
        case "57P03":
            return Unreachable("PostgreSQL is starting or stopping")
        case "57P01" | "57P02":
            return Unreachable("PostgreSQL closed the session")
        case "57014":
            return Unreachable("PostgreSQL did not finish the query within 5 s")
        case "timeout":
            return NoAnswer(f"PostgreSQL gave no answer within {limit:.0f} s")
        case "3D000":
            return Rejected(line, reason=state)
    return NoConnection(line) if _NO_CONNECTION.search(line) else Unreachable(line)


# What libpq puts before the reason, which a narrow pane would not show for it; every part of it may be missing.
_LINE = re.compile(
    r"(?:connection failed: |consuming input failed: )*"
    r'(?:connection to server (?:at|on socket) "(?P<host>[^"]*)"(?: \([^)]*\))?(?:, port (?P<port>\d+))? failed: )?'
    r"(?:FATAL: +)?(?P<reason>.*)"
)


def first_line(text: str) -> str:
    """The first line of libpq's message that says something: the reason first, then where.

    >>> first_line('connection failed: connection to server at "db", port 5432 failed: Connection refused\\n\\tIs it?')
    'PostgreSQL: Connection refused (db:5432)'
    >>> first_line("consuming input failed: server closed the connection unexpectedly")
    'server closed the connection unexpectedly'
    """
    lines = [line for line in (clean(part, 300).strip() for part in text.splitlines()) if line]
    line = lines[0] if lines else "PostgreSQL closed the connection"
    found = _LINE.fullmatch(line)
    assert found is not None, "clean() leaves no line break"
    if found["host"] is None:
        return found["reason"]
    where = ":".join(filter(None, (found["host"], found["port"])))
    return f"PostgreSQL: {found['reason']} ({where})"
