"""The real test cluster: a Kubernetes control plane, PostgreSQL, RabbitMQ, Prometheus and Alertmanager on loopback.

Invariant: what `up` starts is written down with its start time before it is used, and `down` stops exactly that.
"""
