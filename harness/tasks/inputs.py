"""From an image to a model's input, in one place for all tasks. Numpy only.

`task_options`: `fit`, how the image is put into the input: `letterbox` (whole, padded around),
`corner` (whole, padded at the right or below), `stretch` (whole, its shape changed), `crop` (its
middle; `resize` is then the shorter side before the crop). `range`: of the values, `0..1`,
`0..255`, `-1..1` or `imagenet`; `mean` and `std` are subtracted and divided by after that, one
number for each channel of the input. `colour_order`: `rgb` or `bgr`. `pad`: grey, 0 to 255.

All of it makes real numbers, (1, 3, h, w): `arranged` makes the input's layout and batch of them,
`formats/feeds.py` its type.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..records import ModelSpec, TensorSpec
from .letterbox import Geometry, axis_table, letterbox, resize, sample
from .options import COMMON, choice, number, per_channel

if TYPE_CHECKING:
    from numpy.typing import NDArray

OPTIONS: tuple[str, ...] = (
    *COMMON, "fit", "resize", "pad", "range", "normalise", "mean", "std", "colour_order",
)  # fmt: skip
FITS = ("letterbox", "corner", "stretch", "crop")
RANGES = ("0..1", "0..255", "-1..1", "imagenet")
WHOLE = ("uint8", "int8", "int32", "int64")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of ImageNet's training images, RGB in 0..1, as torchvision normalises."""


def prepare(
    image: NDArray[np.uint8],
    spec: ModelSpec,
    out: NDArray[np.float32] | None = None,
    *,
    fit: str = "letterbox",
    values: str = "0..1",
) -> tuple[NDArray[np.float32], Geometry]:
    """`image` (H, W, 3) uint8 RGB -> (1, 3, h, w) float32; `fit`, `values`: the task's own way."""
    size = spec.input.size
    tensor = np.empty((1, 3, *size), np.float32) if out is None else out
    swapped = choice(spec, "colour_order", ("rgb", "bgr"), "rgb") == "bgr"
    planes = tensor[:, ::-1] if swapped else tensor
    geometry = placed(image, spec, planes, choice(spec, "fit", FITS, fit))
    scale(tensor, planes, spec, values)
    return tensor, geometry


def placed(
    image: NDArray[np.uint8], spec: ModelSpec, out: NDArray[np.float32], fit: str
) -> Geometry:
    """Fill `out` (1, 3, h, w) with the image, RGB in 0..1."""
    height, width = image.shape[:2]
    in_h, in_w = out.shape[-2:]
    if fit == "stretch":
        resize(image, out[0])
        return Geometry(height, width, in_w / width, in_h / height, 0.0, 0.0)
    if fit == "crop":
        return cropped(image, out, number(spec, "resize"))
    grey = number(spec, "pad")
    return letterbox(image, (in_h, in_w), out, grey=grey, corner=fit == "corner")[1]


def cropped(image: NDArray[np.uint8], out: NDArray[np.float32], shorter: float) -> Geometry:
    """The middle of the image with its shorter side resized, by default to 8 / 7 of the input."""
    height, width = image.shape[:2]
    in_h, in_w = out.shape[-2:]
    short = min(in_h, in_w)
    resized = shorter or round(short * 8 / 7)
    scale = resized * max(in_h / short / height, in_w / short / width)
    left, top = (width * scale - in_w) / 2, (height * scale - in_h) / 2
    rows = axis_table(height, in_h, scale, top)
    columns = axis_table(width, in_w, scale, left)
    sample(image, rows, columns, out[0])
    return Geometry(height, width, scale, scale, -left, -top)


def scale(
    tensor: NDArray[np.float32], rgb: NDArray[np.float32], spec: ModelSpec, usual: str
) -> None:
    """Bring values in 0..1 to the model's range, in place; `rgb` is the tensor in that order."""
    old = {"none": "0..1", "imagenet": "imagenet"}
    if "normalise" in spec.task_options:
        usual = old[choice(spec, "normalise", tuple(old), "imagenet")]
    values = choice(spec, "range", RANGES, usual)
    if values == "imagenet":
        np.subtract(rgb, np.array(MEAN, np.float32)[:, None, None], out=rgb)
        np.divide(rgb, np.array(STD, np.float32)[:, None, None], out=rgb)
    elif values != "0..1":
        tensor *= np.float32(255 if values == "0..255" else 2)
        tensor -= np.float32(values == "-1..1")
    if "mean" in spec.task_options:
        tensor -= channels(spec, "mean", tensor)
    if "std" in spec.task_options:
        spread = channels(spec, "std", tensor)
        if not spread.all():
            raise ValueError(f"model {spec.name}: options.std: expected numbers other than 0")
        tensor /= spread


def channels(spec: ModelSpec, name: str, tensor: NDArray[np.float32]) -> NDArray[np.float32]:
    """The option's number for each channel of the tensor, or its one number."""
    found = per_channel(spec, name, tensor.shape[1])
    return np.array(found, np.float32)[:, None, None]


def arranged(tensor: NDArray[np.float32], spec: ModelSpec) -> NDArray[np.float32]:
    """(1, 3, h, w) in the layout of the input, repeated to fill its batch."""
    turned = tensor.transpose(0, 2, 3, 1) if spec.input.layout == "NHWC" else tensor
    return np.ascontiguousarray(turned if spec.batch == 1 else turned.repeat(spec.batch, 0))


def check_whole(spec: ModelSpec, wanted: TensorSpec) -> None:
    """Raises ValueError if the input takes whole numbers, and the image's range has none.

    A quantised input has a scale for real values.
    """
    whole = wanted.dtype in WHOLE and wanted.quantisation is None
    if whole and spec.task_options.get("range") != "0..255":
        raise ValueError(
            f"input {wanted.name} is {wanted.dtype} without a scale: set options.range: 0..255"
        )
