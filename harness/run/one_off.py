"""Single tasks for commands other than `run`: convert a model, manage images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import cast

from ..bundling import bundle
from ..cache import unusable
from ..containers import Built, choose, choose_for_models
from ..errors import StepFailed, UsageError
from ..formats import PLANNED, REGISTRY
from ..formats.routes import specs, tools, why_no_route
from ..records import PRECISIONS, Artifact, Image, Precision, split_format
from ..scenario.mistakes import neighbours
from ..scenario.plan import Inventory
from ..steps import images
from ..steps.convert import convert_along, copy_out
from ..steps.jobs import JobLimits, Place, machine_cpus
from ..workspace import cache_root

CONVERT_LIMITS = JobLimits(machine_cpus(), 8 * 10**9, 900.0)


def convert_one(
    inventory: Inventory, model: str, format: str, precision: str, engine: str, out: Path
) -> Artifact:
    """Convert into `out`; raises UsageError for an unknown name, StepFailed if converting fails."""
    if model not in inventory.models:
        raise UsageError(
            f"unknown model '{model}'{neighbours(model, list(inventory.models))}",
            "Name a folder in models/.",
        )
    _check_format(format, precision)
    source = inventory.models[model].spec.source
    if reason := why_no_route(source, format, specs()):
        raise UsageError(f"{model}: {reason}", "Choose another format.")
    chosen = choose_for_models(engine)
    try:
        made = convert_along(
            cache_root(),
            lambda image: Place(chosen, chosen.build(image, logs() / f"image-{image}.log")),
            inventory.models[model].spec,
            inventory.models[model].folder,
            format,
            cast(Precision, precision),
            CONVERT_LIMITS,
        )
    finally:
        chosen.close()
    copy_out(made, out)
    return made


def _check_format(format: str, precision: str) -> None:
    name, tool = split_format(format)
    if name in PLANNED:
        raise UsageError(f"{name}: {PLANNED[name]}", "Choose another format.")
    if name not in REGISTRY:
        raise UsageError(
            f"unknown format '{name}'{neighbours(name, list(REGISTRY))}",
            "Name a format that `bench doctor` lists.",
        )
    if tool and tool not in (known := tools(name, specs())):
        raise UsageError(
            f"unknown tool '{tool}' of {format}{neighbours(tool, known)}",
            f"Choose one of {', '.join(known)}.",
        )
    spec = REGISTRY[name].SPEC
    if precision not in PRECISIONS:
        raise UsageError(
            f"unknown precision '{precision}'{neighbours(precision, list(PRECISIONS))}",
            f"Choose one of {', '.join(PRECISIONS)}.",
        )
    if precision not in spec.precisions:
        raise UsageError(
            f"{name} does not support {precision}: {spec.lacks.get(precision, 'not implemented')}",
            f"Choose one of {', '.join(spec.precisions)}.",
        )


def logs() -> Path:
    """The logs of commands without a run folder."""
    folder = cache_root() / "logs"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise unusable(folder, error) from error
    return folder


def image_names() -> tuple[str, ...]:
    """Every image that some format runs or converts in."""
    specs = [module.SPEC for module in REGISTRY.values()]
    return tuple(
        dict.fromkeys(
            name
            for spec in specs
            for name in (spec.image, *(way.image for way in spec.conversions))
        )
    )


def list_images(engine: str) -> list[tuple[str, str, str, str]]:
    """Name, engine, reference and size of each image; or `not built`."""
    chosen = choose(engine)
    try:
        states = images.states(chosen, image_names())
    finally:
        chosen.close()
    return [
        (
            s.name,
            chosen.name,
            s.reference,
            f"{s.size_bytes / 1e6:.0f} MB" if s.size_bytes else "not built",
        )
        for s in states
    ]


def build_images(
    names: Sequence[str],
    engine: str,
    on_begin: Callable[[str, Path], None],
    on_line: Callable[[str], None],
) -> tuple[list[Image], list[StepFailed]]:
    """Build `names`, or all: the images, and the failures.

    `on_begin` gets the name and the log of each changed image, `on_line` each line of the log.
    """
    chosen = choose(engine)
    begun: set[str] = set()

    def tell(name: str, line: str) -> None:
        if name not in begun:
            begun.add(name)
            on_begin(name, logs() / f"{name}.log")
        on_line(f"{name}: {line.rstrip()}")

    try:
        built = images.build_all(chosen, names or image_names(), logs(), tell).values()
    finally:
        chosen.close()
    done = [result for result in built if isinstance(result, Image)]
    return done, [result for result in built if not isinstance(result, Image)]


def make_base(say: Callable[[str], None]) -> str:
    """Make the local base image with Docker; its id."""
    chosen = choose("docker")
    try:
        return images.make_base(chosen, logs() / "image-base.log", say)
    finally:
        chosen.close()


def make_bundle(name: str, arch: str, again: bool, say: Callable[[str], None]) -> bundle.Bundle:
    """The bundle of the image `name` for `arch`; `again` rebuilds it."""
    if arch not in bundle.ARCHITECTURES:
        raise UsageError(
            f"--arch {arch}: unknown architecture",
            f"Choose one of {', '.join(bundle.ARCHITECTURES)}.",
        )
    log = logs() / f"bundle-{name}-{arch}.log"
    return bundle.make(name, arch, cache_root(), log, say, again=again)


def old_images(engine: str) -> list[Built]:
    """Images and environments that no build would create now."""
    chosen = choose(engine)
    try:
        return list(images.old(chosen, image_names()))
    finally:
        chosen.close()


def built_images(engine: str) -> tuple[str, list[Built]]:
    """The engine's name, and every bench image that it has."""
    chosen = choose(engine)
    try:
        return chosen.name, list(chosen.built())
    finally:
        chosen.close()


def remove_image(engine: str, built: Built) -> None:
    """Delete one image or environment."""
    chosen = choose(engine)
    try:
        chosen.remove(built)
    finally:
        chosen.close()


def sweep(engine: str) -> int:
    """Delete the remains of builds; the approximate number of bytes freed."""
    chosen = choose(engine)
    try:
        return chosen.sweep()
    finally:
        chosen.close()
