"""The cluster's certificates, tokens and kubeconfig.

Invariant: private keys and the kubeconfig are readable by their owner alone, and are made anew for each cluster.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import trustme
import yaml

from tests.cluster.rig.layout import ADMIN_CONTEXT, NAMESPACE, write_private

# user -> (token, group); what each may do is in manifests/rbac.yaml
RESTRICTED_USERS = {"viewer": "viewers", "nologs": "nologs", "nobody": "nobodies"}
SERVERS = ("apiserver", "kubelet", "metrics-server")


def make_certificates(folder: Path) -> None:
    """Writes ca.pem and, per server and client, NAME.pem and NAME-key.pem; then tokens.csv and sa-key.pem."""
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    authority = trustme.CA()
    write_private(folder / "ca.pem", authority.cert_pem.bytes().decode())
    for name in SERVERS:
        save(folder, name, authority.issue_cert("127.0.0.1", "localhost", "::1", common_name=name))
    admin = authority.issue_cert("admin.test", common_name="planc-admin", organization_name="system:masters")
    save(folder, "admin", admin)
    save(folder, "front-proxy", authority.issue_cert("front-proxy.test", common_name="front-proxy"))
    save(folder, "sa", authority.issue_cert("service-accounts.test"))
    lines = [f'{token(user)},{user},{user},"{group}"' for user, group in RESTRICTED_USERS.items()]
    write_private(folder / "tokens.csv", "\n".join(lines) + "\n")


def save(folder: Path, name: str, leaf: trustme.LeafCert) -> None:
    """Writes one certificate and its key."""
    write_private(folder / f"{name}.pem", b"".join(blob.bytes() for blob in leaf.cert_chain_pems).decode())
    write_private(folder / f"{name}-key.pem", leaf.private_key_pem.bytes().decode())


def token(user: str) -> str:
    """Returns the bearer token of a restricted user; a fixed word, for the cluster is reachable on loopback only."""
    return f"planc-test-{user}"


def write_kubeconfig(path: Path, folder: Path, server: str) -> dict[str, str]:
    """Writes the kubeconfig and returns what each of its contexts is for."""
    purposes = {
        ADMIN_CONTEXT: "administrator, by client certificate",
        "viewer": "may read the namespace's pods and nothing else",
        "nologs": "may read the namespace, but neither logs nor Secrets nor usage",
        "nobody": "may do nothing",
        "expired": "a token the server does not know (401)",
        "unreachable": "a server that nobody answers for",
    }
    cluster = {"server": server, "certificate-authority": str(folder / "ca.pem")}
    users: list[dict[str, Any]] = [
        {
            "name": ADMIN_CONTEXT,
            "user": {
                "client-certificate": str(folder / "admin.pem"),
                "client-key": str(folder / "admin-key.pem"),
            },
        }
    ]
    users += [{"name": user, "user": {"token": token(user)}} for user in (*RESTRICTED_USERS, "expired")]
    contexts = [kube_context(name, "planc-test", name) for name in (ADMIN_CONTEXT, *RESTRICTED_USERS, "expired")]
    contexts.append(kube_context("unreachable", "unreachable", ADMIN_CONTEXT))
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": ADMIN_CONTEXT,
        "clusters": [
            {"name": "planc-test", "cluster": cluster},
            {"name": "unreachable", "cluster": {**cluster, "server": "https://127.0.0.1:1"}},
        ],
        "users": users,
        "contexts": contexts,
    }
    write_private(path, yaml.safe_dump(config, sort_keys=False))
    return purposes


def kube_context(name: str, cluster: str, user: str) -> dict[str, Any]:
    """Returns one context entry."""
    return {"name": name, "context": {"cluster": cluster, "user": user, "namespace": NAMESPACE}}
