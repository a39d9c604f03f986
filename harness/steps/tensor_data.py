"""Samples of models that take no images: `.npz` files as people have them, or generated tensors.

Files are read where they lie, through `untrusted/arrays.py`. What is packed is read where the model
runs by `tasks/pack.py`.
"""

from __future__ import annotations

import hashlib
import math
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..cache import digest, get_or_create
from ..errors import ConfigError, StepFailed
from ..records import ModelSpec, TensorSpec
from ..tasks.pack import TENSOR
from ..untrusted.arrays import Column, read_arrays
from .dataset_kinds.source import Source
from .image_paths import walk

SUFFIX: Final = ".npz"
GENERATED: Final = "generated"
HINT: Final = "Write one .npz file for each sample, with an array for each input."
#: kind of source whose integer inputs may have a scale, so that samples may be real numbers
QUANTISED: Final = "tflite"
#: of all samples; at least one is read
MOST_BYTES: Final = 4 << 30
Distribution = Literal["normal", "uniform", "integers"]
Sample = dict[str, NDArray[Any]]


@dataclass(frozen=True)
class Generator:
    """How values of an input are drawn, the same on every machine."""

    distribution: Distribution
    #: of uniform and integers; `high` is excluded
    low: float = 0.0
    high: float = 1.0
    #: of normal
    mean: float = 0.0
    std: float = 1.0
    seed: int = 0


@dataclass(frozen=True)
class Samples:
    """What goes into a model: for each input in order, its values (n, *shape)."""

    #: of the dataset, or `generated`
    name: str
    tensors: tuple[NDArray[Any], ...]

    def __len__(self) -> int:
        return len(self.tensors[0])


def read(
    spec: ModelSpec, source: Source | None, generators: Mapping[str, Generator], most: int
) -> Samples:
    """At most `most` samples: files of the source, evenly spaced, or else generated ones.

    Inputs that no file has are generated, too. Raises ConfigError with all mistakes at once.
    """
    names = [one.name for one in spec.inputs if one.name not in generators]
    if source is None and names:
        raise ConfigError(
            [f"{spec.name}: no dataset, and no `generate` for input {', '.join(names)}"],
            "Add `generate:` to each input of model.yaml, or a dataset of .npz files.",
        )
    each = sum(math.prod(one.shape) * np.dtype(one.dtype).itemsize for one in spec.inputs)
    most = max(1, min(most, MOST_BYTES // max(1, each)))
    found = _files(spec, source, generators, most) if source else [{} for _ in range(most)]
    tensors = tuple(
        np.stack([row[one.name] for row in found])
        if one.name in found[0]
        else draw(one, generators[one.name], len(found))
        for one in spec.inputs
    )
    name = (source.name or source.path.stem) if source else GENERATED
    return Samples(name, tensors)


# ---- files -------------------------------------------------------------------------------------


def _files(
    spec: ModelSpec, source: Source, generators: Mapping[str, Generator], most: int
) -> list[Sample]:
    found: list[Sample] = []
    mistakes: list[str] = []
    for path in _chosen(listed(source), most):
        try:
            found.append(read_file(path, spec, generators))
            _check_alike(path, found[-1], found[0])
        except StepFailed as error:
            mistakes.append(error.message)
    if mistakes:
        raise ConfigError(mistakes, HINT)
    return found


def read_file(path: Path, spec: ModelSpec, generators: Mapping[str, Generator]) -> Sample:
    """The arrays of a file by input; those that no input has are ignored. Raises StepFailed."""
    columns = {
        one.name: Column(_kinds(one, spec), one.shape, required=one.name not in generators)
        for one in spec.inputs
    }
    arrays = read_arrays(path, columns, others=True)
    return {one.name: _stored(path, arrays[one.name], one)
            for one in spec.inputs if one.name in arrays}  # fmt: skip


def listed(source: Source) -> list[Path]:
    """The files of samples, sorted by name; raises ConfigError if there are none."""
    path = source.path
    if not path.exists():
        raise ConfigError([f"{path}: no such file or folder"], HINT)
    if not path.is_dir():
        return [path]
    found = [one for one in walk(path) if one.suffix == SUFFIX and not one.name.startswith(".")]
    if not found:
        raise ConfigError([f"{path}: no {SUFFIX} files"], HINT)
    return found


def _chosen(paths: Sequence[Path], most: int) -> list[Path]:
    count = min(most, len(paths))
    return [paths[(2 * at + 1) * len(paths) // (2 * count)] for at in range(count)]


def _kinds(one: TensorSpec, spec: ModelSpec) -> str:
    """numpy's kinds of values that an input can take."""
    kind = np.dtype(one.dtype).kind
    if kind == "f":
        return "fiu"
    if kind == "b":
        return "b"
    return "iuf" if spec.source == QUANTISED else "iu"


def _stored(path: Path, values: NDArray[Any], one: TensorSpec) -> NDArray[Any]:
    """In the type of the input; real values of a quantised one stay so. Raises StepFailed."""
    dtype = np.dtype(one.dtype)
    if dtype.kind not in "iu":
        return values.astype(dtype)
    if values.dtype.kind == "f":
        return values.astype(np.float32)
    limits = np.iinfo(dtype)
    if values.size and not (values.min() >= limits.min and values.max() <= limits.max):
        seen = f"{values.min()} to {values.max()}"
        raise StepFailed(f"{path}: {one.name} has values of {seen}, beyond {dtype.name}")
    return values.astype(dtype)


def _check_alike(path: Path, sample: Sample, first: Sample) -> None:
    """Raises StepFailed for other arrays than the first file's, or of another type."""
    if set(sample) != set(first):
        differing = ", ".join(sorted(set(sample) ^ set(first)))
        raise StepFailed(f"{path}: {differing}: in some files only")
    for name, values in sample.items():
        if values.dtype != first[name].dtype:
            seen = f"{values.dtype}, in the first file {first[name].dtype}"
            raise StepFailed(f"{path}: {name} is {seen}")


# ---- generated ---------------------------------------------------------------------------------


def draw(one: TensorSpec, how: Generator, count: int) -> NDArray[Any]:
    """Values (count, *shape) of an input.

    RandomState's streams are frozen (NEP 19), so every numpy draws the same ones.
    """
    state = np.random.RandomState((how.seed + zlib.crc32(one.name.encode())) % (1 << 32))
    shape = (count, *one.shape)
    dtype = np.dtype(one.dtype)
    if how.distribution == "integers":
        return state.randint(int(how.low), int(how.high), shape, np.int64).astype(dtype)
    values = (
        how.mean + how.std * state.standard_normal(shape)
        if how.distribution == "normal"
        else state.uniform(how.low, how.high, shape)
    )
    return values.astype(dtype if dtype.kind == "f" else np.float32)


def mistake(one: TensorSpec, source: str, how: Generator) -> str:
    """Why an input cannot be generated so; empty if it can."""
    dtype = np.dtype(one.dtype)
    if how.distribution != "integers":
        whole = dtype.kind != "f" and source != QUANTISED
        return f"{one.name} is {one.dtype}; use distribution: integers" if whole else ""
    limits = np.iinfo(np.int64 if dtype.kind in "bf" else dtype)
    low, high = (0, 1) if dtype.kind == "b" else (limits.min, limits.max)
    fits = low <= int(how.low) and int(how.high) - 1 <= high
    return "" if fits else f"{how.low:g} to {how.high - 1:g} is beyond {one.dtype}"


# ---- packs -------------------------------------------------------------------------------------


def pack(cache: Path, samples: Samples) -> Path:
    """A folder for `tasks.pack.open_pack` in the cache, named by the hash of its content."""
    return get_or_create(cache, "packs", pack_key(samples), partial(_write, samples))[0]


def pack_key(samples: Samples) -> str:
    """16 hex digits of the hash of all values."""
    parts = [
        (one.dtype.str, one.shape, hashlib.sha256(np.ascontiguousarray(one).data).hexdigest())
        for one in samples.tensors
    ]
    return digest("tensors", *parts)[:16]


def _write(samples: Samples, folder: Path) -> None:
    np.save(folder / "ids.npy", np.arange(1, len(samples) + 1, dtype=np.int64))
    for number, values in enumerate(samples.tensors):
        np.save(folder / (TENSOR % number), values)
