"""Do our medians say what a bare loop, and each runtime's own benchmark tool, says?

    python benchmarks/fidelity.py [--formats onnx,tflite] [--seconds 20] [--write]

One run. In each format's own image one process holds our engine and a peer on the same artifact,
with the same threads and pictures, and times them chunk by chunk in turn, so that whatever slows
the machine slows both. Prints ours / peer with its 95 % interval as a Markdown table; `--write`
also writes docs/fidelity.md. Images and models come from bench's cache: what is missing there is
made first.

Exit code 1 if a bare loop surely differs by more than 2 %, or a peer could not run.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness import __version__, tasks
from harness.containers import ContainerEngine, JobSpec, Mount, choose
from harness.formats import REGISTRY
from harness.payload import payload
from harness.runner.state import read_state
from harness.scenario.config import read_model
from harness.scenario.model import Model
from harness.serial import dumps
from harness.steps import datasets
from harness.steps.convert import convert
from harness.steps.jobs import THREAD_VARIABLES, JobLimits, Place, machine_cpus, pinned
from harness.tasks.pack import open_pack
from harness.workspace import Workspace, cache_root

LIMIT_PERCENT = 2.0
MEMORY_BYTES = 8 * 10**9
HERE = Path(__file__).parent.resolve()
PAGE = HERE.parent / "docs" / "fidelity.md"

#: peer -> formats that have it, and what of its samples is compared
PEERS = {
    "bare loop": (tuple(REGISTRY), "median"),
    "LoadGen": (tuple(REGISTRY), "median with copy"),
    "onnxruntime_test": (("onnx",), "mean"),
    "benchmark_app": (("openvino",), "median"),
    "litert-benchmark": (("tflite",), "median"),
}


@dataclass(frozen=True)
class Row:
    """Milliseconds are medians over the pairs; `ratio` is the median of ours / peer."""

    format: str
    peer: str
    statistic: str
    pairs: int
    ours_ms: float
    peer_ms: float
    ratio: float
    low: float
    high: float
    verdict: str


def main() -> int:
    """Measure, print, write."""
    options = arguments()
    rows, failed = [], []
    engine = choose("docker")
    try:
        with tempfile.TemporaryDirectory() as folder:
            model = read_model(Workspace.here().models()[options.model])
            inputs = written_inputs(model, Path(folder))
            for name in options.formats.split(","):
                for said in measured(options, engine, model, name, inputs):
                    if said["failure"]:
                        failed.append(f"{name}, {said['peer']}: {said['failure']}")
                    else:
                        rows.append(row(name, said["peer"], said["pairs"]))
                        print(line_of(rows[-1]), file=sys.stderr, flush=True)
    finally:
        engine.close()
    text = table(rows) + "".join(f"\nCould not run: {line}\n" for line in failed)
    print(text)
    about = {"taken_on": read_state().taken_at[:10], "bench": __version__, **machine(options)}
    if options.write:
        PAGE.write_text(page(about, text), encoding="utf-8")
    wrong = any(r.peer == "bare loop" and r.verdict == "differs" for r in rows)
    return int(wrong or bool(failed) or not rows)


def arguments() -> argparse.Namespace:
    """What the command line says."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", default="rio")
    parser.add_argument("--formats", default=",".join(REGISTRY))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each peer")
    parser.add_argument("--write", action="store_true", help="docs/fidelity.md, too")
    return parser.parse_args()


def written_inputs(model: Model, folder: Path) -> Path:
    """Our 16 pictures, preprocessed, in inputs.npy, and the model's spec beside them."""
    dataset = datasets.read(next(iter(model.datasets.values())))
    few = datasets.pack(dataset, cache_root() / "packs", datasets.evenly(len(dataset.images), 16))
    task = tasks.REGISTRY[model.spec.task]
    images = [task.preprocess(image, model.spec)[0] for _, image in open_pack(few)]
    np.save(folder / "inputs.npy", np.concatenate(images))
    (folder / "model.json").write_text(dumps(model.spec))
    folder.chmod(0o755)
    return folder


def measured(
    options: argparse.Namespace, engine: ContainerEngine, model: Model, name: str, inputs: Path
) -> Iterator[dict[str, Any]]:
    """What loops.py writes for each peer of a format."""
    spec, logs = REGISTRY[name].SPEC, cache_root() / "logs"
    place, converter = (
        Place(engine, engine.build(image, logs / f"image-{image}.log"))
        for image in (spec.image, spec.converter)
    )
    limits = JobLimits(machine_cpus(), MEMORY_BYTES, 900)
    made = convert(cache_root(), converter, model.spec, model.folder, spec, "fp32", limits)
    artifact = Path(made.path)
    peers = [peer for peer, (formats, _) in PEERS.items() if name in formats]
    results = inputs / f"results-{name}"
    results.mkdir()
    job = JobSpec(
        argv=(
            *("/benchmarks/loops.py", name, f"/artifact/{artifact.name}", "/inputs/inputs.npy"),
            *(str(options.threads), str(options.seconds), "/model", "/inputs/model.json"),
            *("/results/results.jsonl", *peers),
        ),
        log=logs / f"fidelity-{name}.log",
        mounts=(
            Mount(payload().folder, "/bench"),
            Mount(HERE, "/benchmarks"),
            Mount(artifact.parent, "/artifact"),
            Mount(model.folder, "/model"),
            Mount(inputs, "/inputs"),
            Mount(results, "/results", writable=True),
        ),
        cpus=pinned(options.threads),
        memory_bytes=MEMORY_BYTES,
        timeout_s=120 + 3 * options.seconds * len(peers),
        env={
            "PYTHONPATH": "/bench:/benchmarks",
            **{variable: str(options.threads) for variable in THREAD_VARIABLES},
        },
    )
    done = engine.run(place.image, job)
    written = results / "results.jsonl"
    lines = written.read_text(encoding="utf-8").splitlines() if written.exists() else []
    said = [json.loads(line) for line in lines]
    yield from said
    for peer in peers[len(said) :]:
        yield {"peer": peer, "failure": f"exit code {done.exit_code}: {done.output[-300:].strip()}"}


def row(name: str, peer: str, pairs: Sequence[Sequence[float]]) -> Row:
    """Median of the pairs' ratios with its 95 % order-statistic interval."""
    taken = np.array(pairs)
    ratios = np.sort(taken[:, 0] / taken[:, 1])
    reach = rank_reach(len(ratios))
    low, high = float(ratios[reach]), float(ratios[-1 - reach])
    ours_ms, peer_ms = map(float, np.median(taken, axis=0))
    statistic = PEERS[peer][1]
    middle = float(np.median(ratios))
    return Row(
        *(name, peer, statistic, len(ratios), ours_ms, peer_ms),
        *(middle, low, high, verdict(low, high)),
    )


def rank_reach(n: int) -> int:
    """How many of n sorted values lie outside of the median's 95 % interval on each side.

    From 2·P(Binomial(n, 1/2) ≤ k - 1) ≤ 5 % (David and Nagaraja, Order Statistics, 7.1).
    """
    below, k = 0.0, 0
    while k < n // 2 and 2 * (below + math.comb(n, k) / 2**n) <= 0.05:
        below += math.comb(n, k) / 2**n
        k += 1
    return max(0, k - 1)


def verdict(low: float, high: float) -> str:
    """Whether the two are surely within, or surely beyond, 2 % of each other."""
    least, most = 1 - LIMIT_PERCENT / 100, 1 + LIMIT_PERCENT / 100
    if least <= low and high <= most:
        return "agrees"
    return "differs" if high < least or low > most else "inconclusive: interval too wide"


HEAD = ("format", "peer", "of", "ours ms", "peer ms", "bench / peer [95 %]", "pairs", "within 2 %")


def line_of(r: Row) -> str:
    """One line of the table."""
    ratio = f"{r.ratio:.3f} [{r.low:.3f}, {r.high:.3f}]"
    figures = f"{r.ours_ms:.3f}", f"{r.peer_ms:.3f}", ratio, str(r.pairs)
    return "| " + " | ".join((r.format, r.peer, r.statistic, *figures, r.verdict)) + " |"


def table(rows: Sequence[Row]) -> str:
    """Markdown."""
    rule = "|" + " --- |" * len(HEAD)
    return "\n".join(["| " + " | ".join(HEAD) + " |", rule, *map(line_of, rows)]) + "\n"


def machine(options: argparse.Namespace) -> dict[str, object]:
    """What the figures depend on."""
    state = read_state()
    return {
        "cpu": state.cpu_model,
        "cores": state.cores,
        "kernel": state.os,
        "model": options.model,
        "threads": options.threads,
        "seconds": options.seconds,
    }


def page(about: dict[str, object], text: str) -> str:
    """docs/fidelity.md."""
    facts = " · ".join(f"{name.replace('_', ' ')} {value}" for name, value in about.items())
    why = "[measurement.md](measurement.md#agreement-with-other-tools)"
    written = "Written by `python benchmarks/fidelity.py --write`"
    return (
        f"# Fidelity\n\n{written}; for the columns, and reasons why\npeers may differ, see {why}."
        f"\n\n{facts}\n\n{text}"
    )


if __name__ == "__main__":
    sys.exit(main())
