"""Loads the official client.

Invariant: of the package `kubernetes` only its client is loaded; the rest of it (configuration files, dynamic client,
informers), which planc does not use and which takes as long, loads when somebody asks for it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.util import find_spec, module_from_spec
from typing import Any


def load_client() -> tuple[Any, Any]:
    """The classes ApiClient and Configuration. Raises ImportError."""
    if "kubernetes" not in sys.modules:
        _make_lazy()
    from kubernetes.client.api_client import ApiClient
    from kubernetes.client.configuration import Configuration

    return ApiClient, Configuration


def _make_lazy() -> None:
    """Register the package without running its __init__, which imports every part of it."""
    spec = find_spec("kubernetes")
    if spec is None:
        raise ImportError("the package kubernetes is not installed")
    package = module_from_spec(spec)

    def part(name: str) -> Any:
        try:
            return importlib.import_module(f"kubernetes.{name}")
        except ModuleNotFoundError as error:
            if error.name == f"kubernetes.{name}":
                raise AttributeError(name) from None
            raise

    package.__getattr__ = part  # type: ignore[method-assign]  # PEP 562
    sys.modules.setdefault("kubernetes", package)
