"""Changes pods at a set rate: python -m benchmarks.churn STATE RATE SECONDS; prints how many changes were made."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.cluster.rig.layout import load_endpoints
from tests.cluster.rig.load import churn

if __name__ == "__main__":
    print(churn(load_endpoints(Path(sys.argv[1])), float(sys.argv[2]), float(sys.argv[3])))
