"""`bench dataset`: what a dataset is understood as, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import SHOWN_MISTAKES, UsageError
from . import complete
from .command import command, group
from .shared import AsJson, inventory_of, workspace

if TYPE_CHECKING:
    from ..scenario.model import Model
    from ..steps.dataset_check import Checked
    from ..steps.dataset_kinds.source import Source

app = group(
    "Check a dataset: what it holds, what is wrong with it.",
    ["bench dataset check data.yaml", "bench dataset check rio-val --model rio"],
)
#: classes and sizes on a line
SHOWN = 10


@command(
    app,
    "Say what a dataset holds, and what is wrong with it.",
    [
        "bench dataset check instances_val2017.json --images val2017/",
        "bench dataset check coco128/data.yaml --split train",
        "bench dataset check rio-val --model rio",
    ],
    "check",
)
def check(
    path: Annotated[
        str,
        typer.Argument(
            metavar="PATH", help="A dataset's file or folder; with --model also a name of its own."
        ),
    ],
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "-m",
            metavar="MODEL",
            help="Whether it fits this folder of models/.",
            autocompletion=complete.models,
        ),
    ] = "",
    images: Annotated[
        Path | None, typer.Option("--images", metavar="DIR", help="The folder of its images.")
    ] = None,
    split: Annotated[
        str, typer.Option("--split", metavar="NAME", help="Which part, such as val.")
    ] = "",
    kind: Annotated[
        str,
        typer.Option(
            "--kind", metavar="KIND", help="coco, yolo, voc, csv or folders; default: as it looks."
        ),
    ] = "",
    decode: Annotated[bool, typer.Option("--decode", help="Decode every image, too.")] = False,
    json: AsJson = False,
) -> None:
    """Say what a dataset holds, and what is wrong with it: counts, and the first ten of each kind.

    Exit code 1: something is wrong."""
    from ..steps import dataset_check
    from ..tasks import takes_images
    from . import console

    source, known = _source(path, model)
    source = replace(
        source,
        images=images.absolute() if images else source.images,
        split=split or source.split,
        kind=_kind(kind) or source.kind,
    )
    if known and not takes_images(known.spec.task):
        checked = dataset_check.check_tensors(source, known.spec, known.generators)
    else:
        checked = dataset_check.check(source, known.spec if known else None, decode=decode)
    if json:
        console.json_line(as_json(checked))
    else:
        console.say(f"{source.path}: {checked.title}")
        for line in lines(checked):
            console.say(line)
    raise typer.Exit(1 if checked.wrong else 0)


def _source(path: str, model: str) -> tuple[Source, Model | None]:
    """The dataset that is meant, with the class map of the model where that names it."""
    from ..scenario.mistakes import neighbours
    from ..steps.dataset_kinds.source import Source

    plain = Source(Path(path).absolute())
    if not model:
        return plain, None
    models = inventory_of(workspace()).models
    if model not in models:
        raise UsageError(
            f"no model '{model}'{neighbours(model, list(models))}", "Name a folder of models/."
        )
    found = models[model]
    return found.datasets.get(path) or plain, found


def _kind(name: str) -> str:
    from ..scenario.mistakes import neighbours
    from ..steps.dataset_kinds import REGISTRY

    if name and name not in REGISTRY:
        raise UsageError(f"--kind {name}: no such kind{neighbours(name, list(REGISTRY))}")
    return name


def lines(checked: Checked) -> Iterator[str]:
    """What is there, what is to be known of it, what is wrong."""
    if checked.images:
        sizes = [f"{w} x {h} ({count:,})" for (w, h), count in checked.sizes.items()]
        yield f"images   {checked.images:,}{': ' if sizes else ''}{_few(sizes)}"
    if checked.boxes:
        yield f"boxes    {checked.boxes:,}" + (
            f", {checked.outlines:,} with an outline" if checked.outlines else ""
        )
    if checked.labels:
        yield f"labels   {checked.labels:,} (image-level)"
    if checked.classes:
        ranked = sorted(checked.classes, key=lambda one: -one[1])
        names = [f"{name} {count:,}" for name, count in ranked]
        yield f"classes  {len(names):,}: {_few(names)}"
    for note in checked.notes:
        yield f"note     {note}"
    for about, found in checked.wrong.items():
        yield f"error    {about}: {len(found):,}"
        yield from (f"  {line}" for line in found[:SHOWN_MISTAKES])
        if len(found) > SHOWN_MISTAKES:
            yield f"  and {len(found) - SHOWN_MISTAKES:,} more"
    if checked.wrong and checked.hint:
        yield f"→ {checked.hint}"
    if not checked.wrong:
        yield "no mistakes"


def _few(texts: Sequence[str]) -> str:
    more = f", and {len(texts) - SHOWN:,} more" if len(texts) > SHOWN else ""
    return ", ".join(texts[:SHOWN]) + more


def as_json(checked: Checked) -> dict[str, object]:
    """The same, with all mistakes."""
    return {
        "kind": checked.title,
        "images": checked.images,
        "boxes": checked.boxes,
        "outlines": checked.outlines,
        "labels": checked.labels,
        "classes": dict(checked.classes),
        "sizes": [[w, h, count] for (w, h), count in checked.sizes.items()],
        "notes": list(checked.notes),
        "wrong": checked.wrong,
    }
