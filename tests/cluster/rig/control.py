"""Starts the Kubernetes control plane: etcd, API server, controllers, scheduler, kwok as the kubelets, metrics.

Invariant: all of it listens on 127.0.0.1 alone.
"""

from __future__ import annotations

from pathlib import Path

from tests.cluster.rig.build import required_version
from tests.cluster.rig.layout import Endpoints
from tests.cluster.rig.processes import Spec

SERVICE_RANGE = "10.96.0.0/16"


def control_plane_specs(endpoints: Endpoints) -> list[Spec]:
    """Returns the parts in the order in which they start."""
    return [
        etcd(endpoints),
        apiserver(endpoints),
        controller_manager(endpoints),
        scheduler(endpoints),
        kwok(endpoints),
        metrics_server(endpoints),
    ]


def program(endpoints: Endpoints, name: str, arguments: list[str], environment: dict[str, str] | None = None) -> Spec:
    """Returns the spec of one of the built programs."""
    command = [str(Path(endpoints.bin) / name), *arguments]
    return Spec(name, command, str(Path(endpoints.logs) / f"{name}.log"), environment or {})


def pki(endpoints: Endpoints) -> Path:
    """Returns the folder of the certificates."""
    return Path(endpoints.state) / "pki"


def etcd(endpoints: Endpoints) -> Spec:
    """etcd without fsync: the data is thrown away anyway."""
    client = f"http://127.0.0.1:{endpoints.ports['etcd']}"
    peer = f"http://127.0.0.1:{endpoints.ports['etcd_peer']}"
    return program(
        endpoints,
        "etcd",
        [
            f"--data-dir={endpoints.state}/etcd",
            f"--listen-client-urls={client}",
            f"--advertise-client-urls={client}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            "--unsafe-no-fsync",
            "--quota-backend-bytes=4294967296",
            "--log-level=warn",
        ],
    )


def apiserver(endpoints: Endpoints) -> Spec:
    """The API server: client certificates for the administrator, tokens for restricted users, RBAC for both."""
    folder = pki(endpoints)
    return program(
        endpoints,
        "kube-apiserver",
        [
            f"--etcd-servers=http://127.0.0.1:{endpoints.ports['etcd']}",
            "--bind-address=127.0.0.1",
            # Never dialled (the reconciler is off), but a loopback address is refused here.
            "--advertise-address=192.0.2.1",
            "--endpoint-reconciler-type=none",
            f"--secure-port={endpoints.ports['apiserver']}",
            f"--service-cluster-ip-range={SERVICE_RANGE}",
            f"--tls-cert-file={folder}/apiserver.pem",
            f"--tls-private-key-file={folder}/apiserver-key.pem",
            f"--client-ca-file={folder}/ca.pem",
            f"--token-auth-file={folder}/tokens.csv",
            "--authorization-mode=RBAC",
            "--disable-admission-plugins=ServiceAccount",
            f"--service-account-issuer={endpoints.apiserver}",
            f"--service-account-key-file={folder}/sa-key.pem",
            f"--service-account-signing-key-file={folder}/sa-key.pem",
            f"--kubelet-certificate-authority={folder}/ca.pem",
            f"--kubelet-client-certificate={folder}/admin.pem",
            f"--kubelet-client-key={folder}/admin-key.pem",
            "--kubelet-preferred-address-types=InternalIP",
            f"--requestheader-client-ca-file={folder}/ca.pem",
            "--requestheader-allowed-names=front-proxy",
            "--requestheader-username-headers=X-Remote-User",
            "--requestheader-group-headers=X-Remote-Group",
            "--requestheader-extra-headers-prefix=X-Remote-Extra-",
            f"--proxy-client-cert-file={folder}/front-proxy.pem",
            f"--proxy-client-key-file={folder}/front-proxy-key.pem",
        ],
    )


def controller_manager(endpoints: Endpoints) -> Spec:
    """The controllers, with an HPA that acts within seconds and enough requests a second for thousands of pods."""
    return program(
        endpoints,
        "kube-controller-manager",
        [
            *as_admin(endpoints),
            "--bind-address=127.0.0.1",
            f"--secure-port={endpoints.ports['controller_manager']}",
            "--leader-elect=false",
            "--horizontal-pod-autoscaler-sync-period=5s",
            "--horizontal-pod-autoscaler-cpu-initialization-period=10s",
            "--horizontal-pod-autoscaler-initial-readiness-delay=5s",
            "--horizontal-pod-autoscaler-downscale-stabilization=30s",
            # A machine busy with a build must not turn every node NotReady.
            "--node-monitor-grace-period=600s",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
            "--concurrent-deployment-syncs=10",
        ],
    )


def scheduler(endpoints: Endpoints) -> Spec:
    """The scheduler; its request rate comes with a configuration file made beside the kubeconfig."""
    return program(
        endpoints,
        "kube-scheduler",
        [
            *as_admin(endpoints),
            "--bind-address=127.0.0.1",
            f"--secure-port={endpoints.ports['scheduler']}",
            "--leader-elect=false",
            "--kube-api-qps=1000",
            "--kube-api-burst=2000",
        ],
    )


def as_admin(endpoints: Endpoints) -> list[str]:
    """Returns the options by which a controller logs in and delegates authentication."""
    path = endpoints.kubeconfig
    return [
        f"--kubeconfig={path}",
        f"--authentication-kubeconfig={path}",
        f"--authorization-kubeconfig={path}",
    ]


def kwok(endpoints: Endpoints) -> Spec:
    """kwok plays all kubelets; commands run by exec find the scratch folder's wrappers first."""
    folder = pki(endpoints)
    port = endpoints.ports["kubelet"]
    return program(
        endpoints,
        "kwok",
        [
            f"--kubeconfig={endpoints.kubeconfig}",
            "--manage-all-nodes",
            f"--config={endpoints.state}/kwok.yaml",
            "--enable-crds=Logs",
            "--node-ip=127.0.0.1",
            f"--node-port={port}",
            f"--server-address=127.0.0.1:{port}",
            "--node-lease-duration-seconds=40",
            "--v=WARN",
            f"--tls-cert-file={folder}/kubelet.pem",
            f"--tls-private-key-file={folder}/kubelet-key.pem",
        ],
        {"PATH": f"{endpoints.scratch}/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"},
    )


def metrics_server(endpoints: Endpoints) -> Spec:
    """metrics-server, reading kwok's figures every 15 s, its least comfortable interval at 5,000 pods."""
    folder = pki(endpoints)
    return program(
        endpoints,
        "metrics-server",
        [
            *as_admin(endpoints),
            "--bind-address=127.0.0.1",
            f"--secure-port={endpoints.ports['metrics_server']}",
            f"--tls-cert-file={folder}/metrics-server.pem",
            f"--tls-private-key-file={folder}/metrics-server-key.pem",
            "--metric-resolution=15s",
            "--kubelet-request-timeout=10s",
            # The port is chosen for each cluster; the default is the one every kubelet has.
            "--kubelet-use-node-status-port",
            "--kubelet-insecure-tls",
            "--kubelet-preferred-address-types=InternalIP",
        ],
    )


def kubernetes_version() -> str:
    """Returns the version the nodes report."""
    return f"v{required_version('kubernetes', 'k8s.io/kubernetes')}"
