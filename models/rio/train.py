"""Train RIO from a seed on two CPU cores: render, train, measure, and write the weights.

    python train.py --cache CACHE

CACHE is a folder for the rendered pictures (1.9 GB); it is filled if it is empty.  The fonts come
from the Debian packages fonts-dejavu, fonts-lato, and fonts-open-sans (training), and
fonts-liberation and fonts-roboto-unhinted (validation).
"""

import argparse
import copy
import csv
import hashlib
import json
import math
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import matplotlib
import numpy as np
import torch
from dataset import Batch, Cards
from evaluate import evaluate
from generate import write_training
from losses import WEIGHTS, losses
from network import Rio, build
from network import load as load_weights
from torch import nn

PICTURES = 6000
"""Rendered training pictures."""

BATCH = 8
"""Pictures per step."""

WORKERS = 2
"""Threads, each of which takes an equal part of a step's pictures."""

SMALL_SIZE, FULL_SIZE = 192, 320
"""Picture side in the first steps of a round, and in the rest and at inference."""

LAST_SHARE = 0.02
"""Share of the highest learning rate left at the end of a round."""

EMA_DECAY = 0.998
"""Decay of the moving average of the weights per step, once warmed up."""

LOG_EVERY = 50
"""Steps between rows of the curve."""

FIELDS = ("step", *WEIGHTS, "total", "rate", "seconds")
METRICS = ("box_map", "box_map50", "mask_map", "mask_map50")


@dataclass(frozen=True)
class Round:
    """A part of the training with an optimiser and a schedule of its own.

    It takes `steps` steps, the first `small` of them on small pictures; the learning rate rises to
    `peak` during the first `warm_up` steps.
    """

    steps: int
    small: int
    peak: float
    warm_up: int

    def size(self, step: int) -> int:
        """Picture side at a step."""
        return SMALL_SIZE if step < self.small else FULL_SIZE

    def rate(self, step: int) -> float:
        """Linear warm-up, then half a cosine."""
        if step < self.warm_up:
            return self.peak * (step + 1) / self.warm_up
        progress = (step - self.warm_up) / max(1, self.steps - self.warm_up)
        return self.peak * (LAST_SHARE + (1 - LAST_SHARE) * (1 + math.cos(math.pi * progress)) / 2)


ROUNDS = (Round(5500, 3850, 2e-3, 150), Round(900, 0, 8e-4, 50))
"""The second round starts from the averaged weights of the first one."""


def make_optimiser(model: nn.Module) -> torch.optim.Optimizer:
    """AdamW with weight decay on convolution weights only."""
    decayed = [value for value in model.parameters() if value.ndim > 1]
    others = [value for value in model.parameters() if value.ndim <= 1]
    groups = [{"params": decayed, "weight_decay": 0.03}, {"params": others, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, fused=True)


@torch.no_grad()
def average(mean: nn.Module, model: nn.Module, step: int) -> None:
    """Move the weights and statistics of `mean` towards those of `model`."""
    decay = min(EMA_DECAY, (1 + step) / (10 + step))
    old, new = (
        [value for value in part.state_dict().values() if value.dtype.is_floating_point]
        for part in (mean, model)
    )
    torch._foreach_lerp_(old, new, 1 - decay)


def replicate(model: Rio) -> Rio:
    """A copy of `model` that shares its parameters, with gradients and statistics of its own."""
    replica = copy.deepcopy(model)
    for own, shared in zip(replica.parameters(), model.parameters(), strict=True):
        own.data = shared.data
    return replica


def gradients(model: Rio, batch: Batch) -> dict[str, float]:
    """Set the gradients of `model` on `batch`; returns the parts of the loss and their total."""
    batch.images = batch.images.contiguous(memory_format=torch.channels_last)
    parts = losses(model, batch)
    total = sum(WEIGHTS[name] * part for name, part in parts.items())
    model.zero_grad()
    total.backward()
    return {**{name: part.item() for name, part in parts.items()}, "total": total.item()}


def update(
    replicas: list[Rio],
    pool: ThreadPoolExecutor,
    optimiser: torch.optim.Optimizer,
    batches: list[Batch],
    rate: float,
) -> dict[str, float]:
    """Take one step on one batch per replica; returns the mean parts of the loss."""
    for group in optimiser.param_groups:
        group["lr"] = rate
    results = list(pool.map(gradients, replicas, batches))
    with torch.no_grad():
        total, *others = ([value.grad for value in replica.parameters()] for replica in replicas)
        for other in others:
            torch._foreach_add_(total, other)
        torch._foreach_div_(total, len(replicas))
    nn.utils.clip_grad_norm_(replicas[0].parameters(), 10.0)
    optimiser.step()
    return {name: np.mean([result[name] for result in results]) for name in results[0]}


def load(cards: Cards, rng: np.random.Generator, size: int) -> list[Batch]:
    """The batches of one step, one for each worker."""
    return [cards.batch(rng, BATCH // WORKERS, size) for _ in range(WORKERS)]


def train(cards: Cards, options: argparse.Namespace) -> list[dict]:
    """Train round after round, writing the averaged weights; returns the curve."""
    torch.manual_seed(options.seed)
    model = build()
    curve = []
    if options.second_only:
        curve = read_curve(options.out)
        model = load_weights(options.out / "weights.pt").train()
    for index in range(int(options.second_only), len(ROUNDS)):
        model = train_round(cards, copy.deepcopy(model).train(), index, options, curve)
    return curve


def train_round(
    cards: Cards, model: Rio, index: int, options: argparse.Namespace, curve: list[dict]
) -> Rio:
    """Train `model` in round `index`, adding to the curve; returns it with averaged weights."""
    plan = ROUNDS[index]
    rng = np.random.default_rng((options.seed, index) if index else options.seed)
    model = model.to(memory_format=torch.channels_last)
    mean = copy.deepcopy(model).eval()
    replicas = [model, *(replicate(model) for _ in range(WORKERS - 1))]
    optimiser = make_optimiser(model)
    before = sum(other.steps for other in ROUNDS[:index])
    begin = time.monotonic() - (curve[-1]["seconds"] if curve else 0)
    window = []
    with (
        ThreadPoolExecutor(1) as loader,
        ThreadPoolExecutor(WORKERS, initializer=torch.set_num_threads, initargs=(1,)) as pool,
    ):
        coming = loader.submit(load, cards, rng, plan.size(0))
        for step in range(plan.steps):
            batches = coming.result()
            coming = loader.submit(load, cards, rng, plan.size(step + 1))
            window.append(update(replicas, pool, optimiser, batches, plan.rate(step)))
            average(mean, model, step)
            done = step + 1
            if done % LOG_EVERY == 0:
                row = {name: np.mean([entry[name] for entry in window]) for name in window[0]}
                row |= {"step": before + done, "rate": plan.rate(step)}
                row |= {"seconds": time.monotonic() - begin}
                if done % options.measure_every == 0 or done == plan.steps:
                    row |= evaluate(mean, options.data)
                    write_weights(mean, {name: row[name] for name in METRICS}, options.out)
                window.clear()
                curve.append(row)
                print({name: round(float(value), 5) for name, value in row.items()}, flush=True)
    return mean


def read_curve(out: Path) -> list[dict]:
    """The rows of training.csv."""
    with (out / "training.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    return [{name: float(value) for name, value in row.items() if value} for row in rows]


def write_curve(curve: list[dict], out: Path) -> None:
    """Write training.csv and training.svg."""
    with (out / "training.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, (*FIELDS, *METRICS), lineterminator="\n")
        writer.writeheader()
        for row in curve:
            writer.writerow({name: f"{value:.6g}" for name, value in row.items()})
    matplotlib.use("svg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "rio"})
    from matplotlib import pyplot

    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name in WEIGHTS:
        left.plot([row["step"] for row in curve], [row[name] for row in curve], label=name)
    left.set(xlabel="step", ylabel="loss (unweighted)", yscale="log")
    measured = [row for row in curve if METRICS[0] in row]
    for name in METRICS:
        steps = [row["step"] for row in measured]
        right.plot(steps, [row[name] for row in measured], marker="o", label=name)
    right.set(xlabel="step", ylabel="metric on rio-val", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(out / "training.svg", metadata={"Date": None})


def write_weights(model: nn.Module, metrics: dict[str, float], out: Path) -> None:
    """Write weights.pt (float32 tensors by name) and weights.json."""
    state = {
        name: value.detach().clone(memory_format=torch.contiguous_format)
        for name, value in model.state_dict().items()
    }
    torch.save(state, out / "weights.pt")
    data = (out / "weights.pt").read_bytes()
    record = {
        "file": "weights.pt",
        "sha256": hashlib.sha256(data).hexdigest(),
        "bytes": len(data),
        "parameters": sum(value.numel() for value in model.parameters()),
        "metrics": metrics,
    }
    (out / "weights.json").write_text(json.dumps(record, indent=1) + "\n")


def main() -> None:
    """Read the command line, render if need be, train, and write the results."""
    here = Path(__file__).parent
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=here)
    parser.add_argument("--data", type=Path, default=here / "data" / "val")
    parser.add_argument("--seed", type=int, default=20)
    parser.add_argument("--measure-every", type=int, default=2000)
    parser.add_argument(
        "--second-only",
        action="store_true",
        help="skip the first round: go on with the weights and the curve in --out",
    )
    options = parser.parse_args()
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    if not (options.cache / "labels.npz").exists():
        write_training(options.cache, PICTURES, options.seed, workers=2)
    options.out.mkdir(parents=True, exist_ok=True)
    write_curve(train(Cards(options.cache), options), options.out)


if __name__ == "__main__":
    main()
