"""The rig as a Python object: start, stop, freeze and thaw parts, run kubectl and psql.

Invariant: a part that was started is ready, and a part that was stopped is gone, when the call returns.
"""

from __future__ import annotations

import contextlib
import http.client
import os
import secrets
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

from tests.cluster.rig import faults
from tests.cluster.rig.build import RigError, Say, bin_dir, build, last_lines, require_packages
from tests.cluster.rig.certs import make_certificates, write_kubeconfig
from tests.cluster.rig.control import control_plane_specs
from tests.cluster.rig.layout import (
    NAMESPACE,
    Endpoints,
    Login,
    choose_ports,
    endpoints_file,
    load_endpoints,
    write_private,
)
from tests.cluster.rig.playbookfile import write_playbook
from tests.cluster.rig.processes import Registry, Spec, tail_of
from tests.cluster.rig.servers import (
    fill_postgres,
    fill_rabbitmq,
    log_file,
    prepare_servers,
    server_specs,
)
from tests.cluster.rig.workload import (
    apply_cluster,
    apply_workload,
    kubectl,
    kubectl_program,
    manifest,
    wait_usage,
    wait_workload,
)

Only = Literal["all", "k8s", "servers"]
READY_SECONDS = 60.0
# The names people use, beside the programs' own.
ALIASES = {
    "apiserver": "kube-apiserver",
    "controller-manager": "kube-controller-manager",
    "scheduler": "kube-scheduler",
}


class Rig:
    """One running cluster, found by its state folder."""

    def __init__(self, state: Path) -> None:
        self.state = state.absolute()
        self.endpoints: Endpoints = load_endpoints(self.state)
        self.registry = Registry(self.state)

    def kubectl(self, *arguments: str, stdin: str | None = None, context: str | None = None) -> str:
        """Runs kubectl and returns its output."""
        return kubectl(self.endpoints, *arguments, stdin=stdin, context=context)

    def psql(self, sql: str, database: str | None = None) -> str:
        """Runs SQL as the superuser over the socket and returns the bare rows."""
        where = self.endpoints
        command = ["psql", "-XAtq", "-h", where.postgres_socket_dir, "-p", str(where.ports["postgres"])]
        command += ["-U", where.postgres_superuser.user, "-d", database or where.postgres_database, "-c", sql]
        return run(command).strip()

    def rabbitmqctl(self, *arguments: str) -> str:
        """Runs rabbitmqctl against this cluster's node."""
        return run([f"{self.endpoints.scratch}/bin/rabbitmqctl", *arguments])

    def set_traffic(self, **changes: float) -> None:
        """Changes what the exporter serves: rps, error_ratio, latency_ms."""
        faults.set_traffic(self.endpoints, **changes)

    def stop(self, part: str, kill: bool = False) -> None:
        """Stops a part; with `kill` by SIGKILL."""
        with self.registry.lock():
            self.registry.stop(ALIASES.get(part, part), kill)

    def start(self, part: str) -> None:
        """Starts a stopped part and waits until it answers."""
        name = ALIASES.get(part, part)
        with self.registry.lock():
            self.registry.restart(name)
        self.wait_ready(name)

    def freeze(self, part: str) -> None:
        """Freezes a part with SIGSTOP: its connections stay open and nothing answers."""
        self.registry.signal_tree(ALIASES.get(part, part), signal.SIGSTOP)

    def thaw(self, part: str) -> None:
        """Lets a frozen part go on."""
        self.registry.signal_tree(ALIASES.get(part, part), signal.SIGCONT)

    def break_(self, kind: str, count: int | None = None) -> None:
        """Breaks something; see faults.KINDS."""
        faults.break_(self.endpoints, self.registry, kind, count)

    def heal(self) -> None:
        """Undoes every break."""
        faults.heal(self.endpoints, self.registry)

    def wait_ready(self, name: str, seconds: float = READY_SECONDS) -> None:
        """Waits until the part answers. Raises RigError with the end of its log when it does not."""
        deadline = time.monotonic() + seconds
        while not answers(self.endpoints, name):
            if not self.registry.is_running(name):
                raise RigError(f"{name} ended: {tail_of(self.registry.entry(name).spec)}")
            if time.monotonic() > deadline:
                raise RigError(f"{name} is not ready after {seconds:.0f} s: {tail_of(self.registry.entry(name).spec)}")
            time.sleep(0.1)


def run(command: list[str]) -> str:
    """Runs a command and returns its output. Raises RigError with what it printed."""
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    if done.returncode:
        raise RigError(f"{Path(command[0]).name}: {last_lines(done.stderr or done.stdout)}")
    return done.stdout


def answers(endpoints: Endpoints, name: str) -> bool:
    """Tells whether a part answers as it does when it is ready."""
    ports = endpoints.ports
    urls = {
        "etcd": f"http://127.0.0.1:{ports['etcd']}/health",
        "kube-apiserver": f"https://127.0.0.1:{ports['apiserver']}/readyz",
        "kube-controller-manager": f"https://127.0.0.1:{ports['controller_manager']}/healthz",
        "kube-scheduler": f"https://127.0.0.1:{ports['scheduler']}/healthz",
        "kwok": f"https://127.0.0.1:{ports['kubelet']}/healthz",
        "metrics-server": f"https://127.0.0.1:{ports['metrics_server']}/livez",
        "prometheus": f"{endpoints.prometheus}/-/ready",
        "alertmanager": f"{endpoints.alertmanager}/-/ready",
        "exporter": f"{endpoints.exporter}/metrics",
        "rabbitmq": f"{endpoints.management}/api/index.html",
    }
    if name in urls and not http_ok(urls[name]):
        return False
    if name == "postgres":
        probe = [
            "/usr/lib/postgresql/15/bin/pg_isready",
            "-q",
            "-h",
            "127.0.0.1",
            "-p",
            str(ports["postgres"]),
        ]
        return subprocess.run(probe, check=False).returncode == 0
    if name == "logwriter":
        return Path(endpoints.logs, "pods", "load.log").exists()
    listens = {"epmd": "epmd", "rabbitmq": "amqp", "kubectl-proxy": "apiserver"}
    return accepts(ports[listens[name]]) if name in listens else True


def http_ok(url: str) -> bool:
    """Tells whether the URL answers at all with success; certificates are not the question here."""
    context = ssl._create_unverified_context() if url.startswith("https") else None
    try:
        with urllib.request.urlopen(url, timeout=2, context=context) as response:
            return bool(response.status < 400)
    except (OSError, http.client.HTTPException, urllib.error.URLError):
        return False


def accepts(port: int) -> bool:
    """Tells whether somebody listens on the port."""
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def up(state: Path, say: Say, only: Only = "all", base: int | None = None) -> Rig:
    """Starts a cluster, or finishes starting it; says so when it already runs.

    Raises RigError when something is missing or a part does not come up; what did start keeps running until `down`.
    """
    state = state.absolute()
    external = os.environ.get("PLANC_TEST_KUBECONFIG")
    if only != "k8s":
        require_packages(say, install=False)
    if only != "servers" and not external:
        build(say)
    registry = Registry(state)
    with registry.lock():
        if endpoints_file(state).exists() and is_up(Rig(state), only):
            say(f"already running in {state}")
            return Rig(state)
        if not endpoints_file(state).exists():
            make_endpoints(state, base, external).save()
        rig = Rig(state)
        if only != "k8s":
            start_servers(rig, say)
        if only != "servers":
            start_kubernetes(rig, say)
        write_playbook(rig.endpoints)
    return rig


def is_up(rig: Rig, only: Only) -> bool:
    """Tells whether the wanted parts run and an earlier `up` came to its end, where it writes the playbook."""
    endpoints = rig.endpoints
    wanted = [] if only == "k8s" else server_specs(endpoints)
    if only != "servers":
        wanted += [api_proxy(endpoints)] if endpoints.external_control_plane else control_plane_specs(endpoints)
    running = all(rig.registry.is_running(spec.name) for spec in wanted)
    return running and Path(endpoints.playbook).exists()


def make_endpoints(state: Path, base: int | None, external: str | None) -> Endpoints:
    """Makes the folders and certificates of a new cluster and decides where everything is."""
    ports = choose_ports(base)
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    for name in ("logs", "logs/pods", "secrets"):
        (state / name).mkdir(exist_ok=True)
    # PostgreSQL's and RabbitMQ's users must reach their files, which a checkout in a private home does not allow.
    scratch = Path(tempfile.mkdtemp(prefix="planc-cluster-"))
    scratch.chmod(0o755)
    server = f"https://127.0.0.1:{ports['apiserver']}"
    kubeconfig = Path(external).absolute() if external else state / "kubeconfig"
    contexts: dict[str, str] = {}
    if not external:
        make_certificates(state / "pki")
        contexts = write_kubeconfig(kubeconfig, state / "pki", server)
    return Endpoints(
        state=str(state),
        namespace=NAMESPACE,
        kubeconfig=str(kubeconfig),
        contexts=contexts,
        ports=ports,
        bin=str(bin_dir()),
        scratch=str(scratch),
        logs=str(state / "logs"),
        playbook=str(state / "playbook.yaml"),
        postgres_socket_dir=str(scratch / "pgsocket"),
        postgres_database="workflow",
        postgres_user=make_login(state, "postgres-app", "app"),
        postgres_superuser=make_login(state, "postgres-superuser", "postgres"),
        rabbitmq_user=make_login(state, "rabbitmq", "workflow"),
        rabbitmq_node=f"planc{ports['amqp']}@localhost",
        external_control_plane=bool(external),
    )


def make_login(state: Path, name: str, user: str) -> Login:
    """Makes a password, writes it to its own file, and returns the login."""
    password = secrets.token_hex(8)
    path = state / "secrets" / name
    write_private(path, password + "\n")
    return Login(user, password, str(path))


def start_parts(rig: Rig, specs: list[Spec], say: Say) -> None:
    """Starts parts at once and waits for each."""
    for spec in specs:
        rig.registry.start(spec)
    for spec in specs:
        rig.wait_ready(spec.name)
        say(f"{spec.name}: ready")


def start_servers(rig: Rig, say: Say) -> None:
    """Starts and fills PostgreSQL and RabbitMQ, and starts Prometheus, Alertmanager and the exporter."""
    endpoints = rig.endpoints
    if not (Path(endpoints.scratch) / "postgres").exists():
        say("preparing PostgreSQL and RabbitMQ")
        prepare_servers(endpoints)
    start_parts(rig, server_specs(endpoints), say)
    fill_postgres(endpoints)
    fill_rabbitmq(endpoints)


def start_kubernetes(rig: Rig, say: Say) -> None:
    """Starts the control plane, applies the workload, waits until it is Ready and has usage figures."""
    endpoints = rig.endpoints
    if endpoints.external_control_plane:
        start_parts(rig, [api_proxy(endpoints)], say)
    else:
        Path(endpoints.state, "kwok.yaml").write_text(manifest(endpoints, "kwok.yaml"), encoding="utf-8")
        specs = control_plane_specs(endpoints)
        start_parts(rig, specs[:1], say)
        start_parts(rig, specs[1:2], say)
        apply_cluster(endpoints)
        start_parts(rig, [*specs[2:], log_writer(endpoints)], say)
    apply_workload(endpoints, say)
    wait_workload(endpoints, say)
    if not endpoints.external_control_plane:
        wait_usage(endpoints, say)


def api_proxy(endpoints: Endpoints) -> Spec:
    """The way to a control plane that is not ours, whatever its kubeconfig asks for."""
    command = [kubectl_program(endpoints), f"--kubeconfig={endpoints.kubeconfig}", "proxy"]
    command += [f"--port={endpoints.ports['apiserver']}", "--address=127.0.0.1"]
    return Spec("kubectl-proxy", command, log_file(endpoints, "kubectl-proxy"))


def log_writer(endpoints: Endpoints) -> Spec:
    """The process that writes the pods' logs."""
    command = [sys.executable, "-m", "tests.cluster.rig.logwriter", endpoints.state]
    return Spec("logwriter", command, log_file(endpoints, "logwriter"))


def down(state: Path, say: Say) -> None:
    """Stops exactly what was started, and removes the cluster's folders."""
    registry = Registry(state.absolute())
    if not registry.path.exists() and not endpoints_file(state).exists():
        say(f"nothing to stop in {state}")
        return
    with registry.lock():
        names = [name for name, entry in registry.read().items() if entry.pid]
        registry.stop_all()
        say(f"stopped {', '.join(names) or 'nothing'}")
        with contextlib.suppress(RigError):
            shutil.rmtree(load_endpoints(state).scratch, ignore_errors=True)
    shutil.rmtree(state, ignore_errors=True)
