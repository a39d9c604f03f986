"""The pages, in the order of the navigation: one module and one template each."""

from __future__ import annotations

from typing import Final

from harness.report.page import Maker
from harness.report.pages import cell, device, matrix, pareto, sizes, stages, sustained, time

REGISTRY: Final[dict[str, Maker]] = {
    "matrix": matrix.MAKER,
    "pareto": pareto.MAKER,
    "stages": stages.MAKER,
    "sizes": sizes.MAKER,
    "devices": device.MAKER,
    "sustained": sustained.MAKER,
    "time": time.MAKER,
    "cell": cell.MAKER,
}
