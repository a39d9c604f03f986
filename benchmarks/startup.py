"""Start-up and planning: `bench --help`, and a plan of 10,000 cells.

    python benchmarks/startup.py

Limits: 0.3 s for the help (a whole process), 1 s for the plan (in the process, files read).
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.records import DeviceSpec, ModelSpec, TensorSpec
from harness.scenario import config, plan
from harness.scenario.model import Model
from harness.scenario.plan import Inventory

HELP_LIMIT_S, PLAN_LIMIT_S = 0.3, 1.0


def help_s() -> float:
    """Median of nine runs."""
    command = [str(Path(sys.executable).with_name("bench")), "--help"]
    taken = []
    for _ in range(9):
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def plan_s() -> tuple[int, float]:
    """Cells and the median seconds of five plans, from the file's text to the Plan."""
    tensor = (TensorSpec("images", (1, 3, 8, 8)),)
    names = [f"m{i}" for i in range(50)]
    models = {
        name: Model(
            spec=ModelSpec(name, "detection", "n", "b", "w", "0", tensor, ("a",), ("b",)),
            folder=Path(),
            datasets={},
        )
        for name in names
    }
    devices = {f"d{i}": DeviceSpec(f"d{i}", "linux", "local") for i in range(20)}
    inventory = Inventory(models, devices, plan.formats(), tuple(names))
    text = (
        f"name: big\nmodels: [{', '.join(names)}]\nformats: [onnx, tflite]\n"
        f"precisions: [fp32]\ndevices: [{', '.join(devices)}]\n"
        "matrix: {threads: [1, 2, 3, 4, 8]}\nexclude: ['*-m99-*']\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "big.yaml"
        path.write_text(text)
        taken = []
        for _ in range(5):
            began = time.perf_counter()
            made = plan.make_plan(config.read_scenario(path), inventory)
            taken.append(time.perf_counter() - began)
    return len(made.cells), statistics.median(taken)


def main() -> int:
    """Print, and exit 1 over a limit."""
    help_took, (cells, plan_took) = help_s(), plan_s()
    print(f"bench --help: {help_took:.3f} s, {help_took / HELP_LIMIT_S:.0%} of the limit")
    print(f"plan of {cells} cells: {plan_took:.3f} s, {plan_took / PLAN_LIMIT_S:.0%} of the limit")
    return int(help_took > HELP_LIMIT_S or plan_took > PLAN_LIMIT_S)


if __name__ == "__main__":
    sys.exit(main())
