"""Builds a console out of its parts: playbook, kubeconfig, backends, feeds, screens.

Invariant: what the user got wrong (playbook, kubeconfig, settings) is said before the screen is taken; nothing here
waits for a network.
"""

from __future__ import annotations

import gc
import os
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from planc_tui.actions.arming import Arming
from planc_tui.actions.base import Ports
from planc_tui.actions.executor import Executor, Run
from planc_tui.actions.recorder import NoRecorder, Recorder
from planc_tui.actions.registry import load as load_actions
from planc_tui.actions.runs import RUNS
from planc_tui.backends.admin import Admins, open_admin
from planc_tui.backends.kubernetes.kubeconfig import KubeConfig, load
from planc_tui.backends.kubernetes.model import ContextInfo, Impersonation
from planc_tui.backends.systems import Builder, Systems, open_systems
from planc_tui.core.admin import BrokerAdmin
from planc_tui.core.allowance import Allowance
from planc_tui.core.clock import Clock, SystemClock
from planc_tui.core.findings import Facts
from planc_tui.core.ports import ClusterPort, NotConfigured, PortError
from planc_tui.core.slo import MetricsPort
from planc_tui.core.stats import RequestStats
from planc_tui.core.store import Store, Topic
from planc_tui.core.timeline import Actor
from planc_tui.desk.actor import current_actor
from planc_tui.desk.budget import BudgetMeter
from planc_tui.desk.desk import Desk
from planc_tui.desk.dispatch import Dispatcher
from planc_tui.desk.escalator import Escalator
from planc_tui.desk.feed import CONSOLE, DeskFeed
from planc_tui.desk.policy import policy_of
from planc_tui.desk.queries import questions
from planc_tui.desk.recorder import JournalRecorder
from planc_tui.desk.scribe import Scribe, figures
from planc_tui.incident.escalation import ESCALATOR
from planc_tui.journal import Journal, JournalError, state_folder
from planc_tui.journal.lease import Lease
from planc_tui.playbook import loader
from planc_tui.playbook.config import Config, load_config
from planc_tui.playbook.environment import environment_of
from planc_tui.playbook.files import config_home
from planc_tui.playbook.model import Playbook
from planc_tui.sources.alerts import ALERTS, AlertsSource
from planc_tui.sources.base import Feed, Poller, Source
from planc_tui.sources.database import DATABASE, DatabaseSource
from planc_tui.sources.findings import FindingsFeed, rule_topics
from planc_tui.sources.hub import Hub
from planc_tui.sources.kube import WATCHED, KubeFeeds, kube_feeds
from planc_tui.sources.logs import FollowSettings, LogFeed, PodTargets
from planc_tui.sources.queues import QUEUES, QueueSource
from planc_tui.sources.slo import SLO, SloSource, objective_of
from planc_tui.ui.log_file import open_log
from planc_tui.ui.session import Identity

# Seconds after the first pods: the drivers of these systems take long to load.
SYSTEMS_AFTER = 0.7
# What shows objects that are read again and again, by their kind; all others are watched.
_READ: Mapping[str, Topic[Any]] = {"Session": DATABASE, "Database": DATABASE, "Queue": QUEUES, "Alert": ALERTS}
# Objects made between two looks for garbage: rows are not tracked, and a look at everything would delay a key.
_GARBAGE = (50_000, 20, 100)
# Seconds a source's thread may compute while a key waits; a key's way to the screen crosses three threads.
_TURN = 0.001


class WiringError(Exception):
    """Why the console cannot open, in one line (or one line per problem of a file)."""


class Options(Struct, frozen=True):
    """The command line of the console."""

    context: str | None = None
    namespace: str | None = None
    kubeconfig: str | None = None
    playbook: str | None = None
    as_user: str | None = None
    as_groups: tuple[str, ...] = ()
    read_only: bool = False
    dry_run: bool = False


class Connection(Struct, frozen=True):
    """One session: a context, a namespace, and the feeds on it."""

    identity: Identity
    playbook: Playbook
    cluster: ClusterPort
    hub: Hub
    stats: RequestStats
    executor: Executor
    arming: Arming
    desk: Desk | None
    journal_trouble: str
    admins: Admins

    @property
    def broker(self) -> Callable[[], BrokerAdmin]:
        """The way to the messages of queues."""
        return self.admins.broker

    def close(self) -> None:
        """End every feed and stream."""
        self.hub.stop()
        self.cluster.close()
        self.admins.close()


class Opener:
    """Opens sessions on the contexts of one kubeconfig with one playbook."""

    def __init__(self, config: KubeConfig, playbook: Playbook, clock: Clock, options: Options) -> None:
        self._config = config
        self._playbook = playbook
        self._clock = clock
        self._options = options

    def contexts(self) -> tuple[str, ...]:
        """Names of the contexts, the current one first."""
        return self._config.contexts()

    def connect(self, store: Store, context: str | None, namespace: str | None) -> Connection:
        """A session that has sent nothing yet. Raises PortError."""
        stats = RequestStats(listed=WATCHED)
        info = self._config.info(context, namespace or self._playbook.namespace)
        cluster = self._config.open(info.context, info.namespace, stats, self._clock)
        systems = open_systems(self._playbook, cluster, self._playbook.namespace, stats, self._clock, dict(os.environ))
        identity = self._identity(info)
        desk, trouble = self._desk(identity)
        allowance = Allowance(stats, self._clock)
        found = feeds(cluster, systems, store, self._clock, self._playbook, info.namespace, allowance)
        facts = _facts_of(found)
        if desk is not None:
            scribe = Scribe(desk, store, self._playbook, self._clock, facts, self._meter(desk, cluster, stats))
            found.append(DeskFeed(desk, store, self._clock, self._keeper(desk, cluster, stats), scribe))
        hub = Hub(found, self._clock)
        hub.need("rules", rule_topics(self._playbook))
        hub.start()
        arming = Arming(self._clock, protected=identity.read_only, dry=self._options.dry_run)
        admins = open_admin(self._playbook, cluster, self._playbook.namespace, stats, self._clock, dict(os.environ))
        recorder: Recorder = NoRecorder(trouble)
        if desk is not None:
            recorder = self._recorder(desk, store, facts, info.namespace)
        executor = self._executor(cluster, admins, store, arming, recorder, hub)
        return Connection(identity, self._playbook, cluster, hub, stats, executor, arming, desk, trouble, admins)

    def _desk(self, identity: Identity) -> tuple[Desk | None, str]:
        """The place where incidents are led, or why there is none."""
        policy = policy_of(
            self._playbook, environment=identity.word, context=identity.context, namespace=identity.namespace
        )
        try:
            return Desk(Journal.open(), policy, current_actor()), ""
        except JournalError as error:
            return None, f"{error.message}: {error.hint}" if error.hint else error.message

    def _meter(self, desk: Desk, cluster: ClusterPort, stats: RequestStats) -> BudgetMeter:
        """Measures what an incident cost, over a connection of its own."""
        builder = Builder(cluster, self._playbook.namespace, stats, self._clock, dict(os.environ))
        objectives = [objective_of(slo, "en") for slo in self._playbook.slos]

        def open_metrics(_context: str) -> closing[MetricsPort]:
            return closing(builder.metrics(self._playbook))

        return BudgetMeter(desk.journal, open_metrics, objectives, self._clock)

    def _keeper(self, desk: Desk, cluster: ClusterPort, stats: RequestStats) -> Callable[[], Escalator]:
        """Makes the escalator of this console, when an incident needs one."""

        def make() -> Escalator:
            from planc_tui.backends.notifiers.build import build_senders

            dispatcher = Dispatcher(
                desk.journal, build_senders(self._playbook, clock=self._clock), ESCALATOR, self._clock
            )
            ways = open_admin(self._playbook, cluster, self._playbook.namespace, stats, self._clock, dict(os.environ))

            def end(silence: str, context: str) -> None:
                if context not in ("", desk.policy.context):
                    raise NotConfigured(f"it was made on {context}, this console is on {desk.policy.context}")
                ways.alerts().expire(silence)

            return Escalator(
                desk.journal,
                Lease(desk.journal.path),
                dispatcher,
                current_actor(),
                self._clock,
                end,
                note=CONSOLE,
            )

        return make

    def _recorder(self, desk: Desk, store: Store, facts: Callable[[], Facts], namespace: str) -> JournalRecorder:
        return JournalRecorder(
            desk.journal,
            current_actor(),
            lambda: _current(desk),
            lambda: figures(facts()),
            lambda names: questions(names, store.peek(SLO).value, namespace),
        )

    def _executor(
        self,
        cluster: ClusterPort,
        admins: Admins,
        store: Store,
        arming: Arming,
        recorder: Recorder,
        hub: Hub,
    ) -> Executor:
        folder = state_folder()
        ports = Ports(cluster, self._clock, admins.database, admins.broker, self._playbook, str(folder), admins.alerts)

        def changed(run: Run) -> None:
            store.put(RUNS, executor.runs(), self._clock.monotonic())
            if run.state.over:
                for topic in {_READ[target.kind] for target in run.plan.targets if target.kind in _READ}:
                    hub.renew(topic)

        executor = Executor(ports, load_actions()[0], recorder, arming, folder, _who(current_actor()), changed)
        store.want(RUNS, True)
        return executor

    def _identity(self, info: ContextInfo) -> Identity:
        environment = environment_of(self._playbook, info.context, info.cluster)
        return Identity(
            context=info.context,
            cluster=info.cluster,
            user=info.user,
            server=info.address,
            namespace=info.namespace,
            word=environment.word,
            read_only=environment.read_only or self._options.read_only,
        )


def _current(desk: Desk) -> str:
    """Id of the incident that actions belong to, "" when none is open."""
    incident = desk.board.current()
    here = incident is not None and incident.policy.context in ("", desk.policy.context)
    return incident.id if incident is not None and here and incident.state.active else ""


def _facts_of(found: Sequence[Feed]) -> Callable[[], Facts]:
    """What the findings feed knows at the moment."""
    feed = next(feed for feed in found if isinstance(feed, FindingsFeed))
    return lambda: feed.facts


def _who(actor: Actor) -> str:
    return " ".join(part for part in (actor.user, f"on {actor.tty or actor.host}", f"pid {actor.pid}") if part)


def feeds(
    cluster: ClusterPort,
    systems: Systems,
    store: Store,
    clock: Clock,
    playbook: Playbook,
    namespace: str,
    allowance: Allowance,
) -> list[Feed]:
    """Every feed of a session, idle. allowance: as of Poller."""
    kube = kube_feeds(cluster, store, clock, namespace, allowance=allowance)
    ways = playbook.systems
    reached_inside = {
        "database": bool(ways.postgres and ways.postgres.via),
        "queues": bool(ways.rabbitmq and ways.rabbitmq.via),
        "slo": bool(ways.prometheus and ways.prometheus.via),
        "alerts": bool(ways.alertmanager and ways.alertmanager.via),
    }
    sources: list[Source[Any]] = [
        DatabaseSource(systems.database),
        QueueSource(systems.broker, clock),
        SloSource(systems.metrics, playbook.slos, clock),
        AlertsSource(systems.alerts),
    ]
    pollers = [_poller(source, store, clock, kube, reached_inside[source.topic.name], allowance) for source in sources]
    logs = LogFeed(cluster, store, clock, PodTargets(store, _log_selector(playbook)), _settings(playbook), kube.link.up)
    kube.link.follow(logs)
    findings = FindingsFeed(store, clock, playbook)
    return [*kube.feeds, *pollers, logs, findings]


def _poller(
    source: Source[Any], store: Store, clock: Clock, kube: KubeFeeds, inside: bool, allowance: Allowance
) -> Poller[Any]:
    """A system that is reached through the API server waits while that is away, and is kicked when it is back."""
    turn = kube.start.turn(SYSTEMS_AFTER)
    if not inside:
        return Poller(source, store, clock, None, turn, allowance)
    poller = Poller(source, store, clock, kube.link.up, turn, allowance)
    kube.link.follow(poller)
    return poller


def _log_selector(playbook: Playbook) -> str:
    return playbook.logs.selector or playbook.targets.app.selector


def _settings(playbook: Playbook) -> FollowSettings:
    logs = playbook.logs
    return FollowSettings(logs.window, logs.streams_at_most, logs.patterns)


def open_console(options: Options, starting: Callable[[], None] = lambda: None) -> int:
    """Run the console until it is left. Returns the exit code. Raises WiringError.

    starting: called when everything is well and the console takes the terminal."""
    open_log(os.environ)
    clock = SystemClock()
    own = _own_settings()
    playbook = _playbook(options)
    config = _kubeconfig(options)
    try:
        config.info(options.context, options.namespace)
    except PortError as error:
        raise WiringError(_said(error)) from None
    # Imported last: what the user got wrong is said without it.
    from planc_tui.ui.app import ConsoleOptions, PlancApp
    from planc_tui.ui.keys import KeymapError
    from planc_tui.ui.terminal import is_gone

    options = replace(options, read_only=options.read_only or own.read_only)
    try:
        console = PlancApp(
            Opener(config, playbook, clock, options),
            ConsoleOptions(options.context, options.namespace, options.read_only, own.keys),
            clock=clock,
        )
    except KeymapError as error:
        raise WiringError(f"{config_home(os.environ) / 'config.yaml'}: {error}") from None
    starting()
    # What is loaded by now stays until the end: never look at it again.
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    gc.enable()
    sys.setswitchinterval(_TURN)
    try:
        console.run()
    except (OSError, termios.error):
        # The last words to a terminal that is gone may fail; anywhere else this is a mistake to be told.
        if not is_gone(sys.stdin.fileno()):
            raise
        return console.return_code or 129
    # A crash has a return code and no value.
    return console.return_code or 0


def _own_settings() -> Config:
    try:
        return load_config()
    except loader.PlaybookError as error:
        raise WiringError(str(error)) from None


def _playbook(options: Options) -> Playbook:
    try:
        return loader.load(options.playbook)
    except loader.PlaybookError as error:
        raise WiringError(str(error)) from None


def _kubeconfig(options: Options) -> KubeConfig:
    acting = Impersonation(options.as_user or "", options.as_groups) if options.as_user else None
    if options.as_groups and not options.as_user:
        raise WiringError("--as-group needs --as: name the user as well")
    try:
        return load(os.environ, Path.home(), kubeconfig=options.kubeconfig, impersonate=acting)
    except PortError as error:
        raise WiringError(_said(error)) from None


def _said(error: PortError) -> str:
    return f"{error.message}: {error.hint}" if error.hint else error.message
