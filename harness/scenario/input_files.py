"""Entries of `input:` and `inputs:` in model.yaml: what a model takes, and how it is generated."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..records import TensorSpec
from ..steps import tensor_data
from ..steps.tensor_data import Generator
from ..tasks import takes_images
from ..tasks.inputs import WHOLE
from .sections import Strict

DType = Literal["float32", "float16", "int64", "int32", "uint8", "int8", "bool"]
#: the task of models that take no images
TENSOR = "tensor"
CHANNELS = 3
#: of one input, for one sample
MOST_VALUES = 1 << 28


class GenerateFile(Strict):
    """How values of the input are drawn (task `tensor`), the same on every machine."""

    distribution: Literal["normal", "uniform", "integers"] = Field(
        description="`integers` for tokens of a vocabulary and other whole numbers."
    )
    low: float | None = Field(
        None, allow_inf_nan=False, description="Lowest value of uniform (0) and integers."
    )
    high: float | None = Field(
        None, allow_inf_nan=False, description="Upper limit of uniform (1) and integers; excluded."
    )
    mean: float | None = Field(None, allow_inf_nan=False, description="Mean of normal; default: 0.")
    std: float | None = Field(
        None, gt=0, allow_inf_nan=False, description="Standard deviation of normal; default: 1."
    )
    seed: int = Field(0, ge=0, lt=1 << 32, description="Another one draws other values.")

    @model_validator(mode="after")
    def _fits(self) -> GenerateFile:
        given = {key for key in ("low", "high", "mean", "std") if getattr(self, key) is not None}
        own = {"mean", "std"} if self.distribution == "normal" else {"low", "high"}
        if given - own:
            _refuse(f"{self.distribution} has no {', '.join(sorted(given - own))}")
        if self.distribution == "integers" and given != own:
            _refuse("integers need low and high")
        made = self.generator()
        if self.distribution != "normal" and not made.low < made.high:
            _refuse("low must be below high")
        if self.distribution == "integers" and not (made.low % 1 == made.high % 1 == 0):
            _refuse("low and high must be whole numbers")
        return self

    def generator(self) -> Generator:
        """As a record, with defaults."""
        given = self.model_dump(exclude_none=True)
        return Generator(**given)


def _refuse(what: str) -> None:
    raise PydanticCustomError("generate", "{what}", {"what": what})


class InputFile(Strict):
    """An input tensor of the model."""

    name: str = Field(min_length=1, description="Name of the input tensor.")
    shape: list[Annotated[int, Field(ge=1)]] = Field(
        max_length=8,
        description="Of an image: batch, channels, height, width (or as `layout`). Dimensions that "
        "are open in the file are fixed to it; [] is a single value.",
    )
    dtype: DType = Field("float32", description="Type of its values.")
    layout: Literal["NCHW", "NHWC"] = Field(
        "NCHW", description="Order of an image's dimensions in `shape`."
    )
    generate: GenerateFile | None = Field(None, description="How its values are generated.")

    def spec(self) -> TensorSpec:
        """As a record."""
        return TensorSpec(self.name, tuple(self.shape), self.dtype, self.layout)


def mistakes(
    files: Sequence[tuple[str, InputFile]], task: str, source: str, options: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The key within model.yaml and what is wrong there; each file has its own key."""
    names, images = [one.name for _, one in files], takes_images(task)
    for key, one in files:
        if names.count(one.name) > 1:
            yield f"{key}.name", f"{one.name!r} is a duplicate entry"
        if math.prod(one.shape) > MOST_VALUES:
            yield f"{key}.shape", f"{math.prod(one.shape):,} values exceed {MOST_VALUES:,}"
            continue
        found = _of_image(one, source, options) if images else _of_tensor(one, source)
        yield from ((f"{key}.{where}", what) for where, what in found)
    if images and len(files) > 1:
        yield "inputs", f"task {task} takes one input, an image; use task: {TENSOR} for several"


def _of_tensor(one: InputFile, source: str) -> Iterator[tuple[str, str]]:
    how = one.generate and one.generate.generator()
    if how and (what := tensor_data.mistake(one.spec(), source, how)):
        yield "generate", what


def _of_image(one: InputFile, source: str, options: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    at = 3 if one.layout == "NHWC" else 1
    if len(one.shape) != 4 or one.shape[at] != CHANNELS:
        order = {"NCHW": "batch, 3, height, width", "NHWC": "batch, height, width, 3"}[one.layout]
        turned = len(one.shape) == 4 and one.shape[4 - at] == CHANNELS
        other = "NCHW" if one.layout == "NHWC" else "NHWC"
        hint = f", or layout: {other}" if turned else ""
        yield "shape", f"expected {order}{hint}, got {one.shape}"
    if one.dtype == "bool":
        yield "dtype", "an image cannot be bool"
    if one.dtype in WHOLE and "range" not in options:
        yield (
            "dtype",
            (f"{one.dtype} needs options.range, the values that an image has in the model"),
        )
    elif one.dtype in WHOLE and source != tensor_data.QUANTISED and options["range"] != "0..255":
        yield "dtype", f"{one.dtype} has no scale here; set options.range: 0..255"
    if one.generate:
        yield "generate", f"images are read from a dataset; only task {TENSOR} generates"
