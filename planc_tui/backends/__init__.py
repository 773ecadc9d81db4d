"""The only place that imports a driver; implements the protocols of core.ports."""
