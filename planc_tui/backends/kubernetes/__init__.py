"""The Kubernetes API server as a port: kubeconfig, login, transport, streams, exec and forwards.

Invariant: importing this package imports neither the Kubernetes client nor a network library.
"""

from planc_tui.backends.kubernetes.kubeconfig import KubeConfig, load
from planc_tui.backends.kubernetes.model import ContextInfo, Impersonation, KubeConfigError
from planc_tui.backends.kubernetes.paths import pod_path, pod_proxy, service_proxy

__all__ = [
    "ContextInfo",
    "Impersonation",
    "KubeConfig",
    "KubeConfigError",
    "load",
    "pod_path",
    "pod_proxy",
    "service_proxy",
]
