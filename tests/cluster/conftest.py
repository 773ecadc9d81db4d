"""Gives the tests of this folder the real cluster."""

from tests.cluster.fixtures import breakable_rig, rig

__all__ = ["breakable_rig", "rig"]
