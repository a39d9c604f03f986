"""RIO, a small business-card instance-segmentation network (one class, 320 x 320 input).

An anchor-free, three-scale detector with prototype masks.  All shapes are static: the cell grid is
fixed by the 320-pixel input, so the network traces and exports without data-dependent control flow.
Only convolution, batch normalisation, ReLU, max-pooling, nearest upsampling, concatenation,
addition, softmax, and sigmoid are used.
"""

from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

INPUT_SIZE = 320
"""Side of the square input, in pixels."""

STRIDES = (8, 16, 32)
"""Pixels per cell of the three scales: 40 x 40, 20 x 20, and 10 x 10 cells."""

CELLS = sum((INPUT_SIZE // stride) ** 2 for stride in STRIDES)
"""Number of locations over all scales (2100)."""

BINS = 16
"""Bins of each edge-distance distribution; bin `i` stands for a distance of `i` strides."""

START_SLOPE = 0.35
"""Decline of the first distance logits per bin.

Boxes start about five strides wide, so that each scale starts with boxes of sizes it will have to
find; wider ones overlap no card enough for the coarsest scale to be assigned any.
"""

PROTOTYPES = 16
"""Number of prototype masks, and of mask coefficients per location."""

OUTPUT_NAMES = ("boxes", "scores", "coeffs", "protos")
"""Names of the outputs of `Rio.forward`, in order."""


class ConvUnit(nn.Module):
    """Convolution, batch normalisation, ReLU: (B, I, H, W) -> (B, O, H / stride, W / stride)."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=1e-3, momentum=0.03)

    def forward(self, x: Tensor) -> Tensor:
        return functional.relu(self.norm(self.conv(x)))


class Residual(nn.Module):
    """Two 3 x 3 convolutions with a skip connection: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvUnit(channels, channels)
        self.second = ConvUnit(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.second(self.first(x))


class SplitBlock(nn.Module):
    """Cross-stage block: half the channels pass straight, half go through residual blocks.

    (B, I, H, W) -> (B, O, H, W); every intermediate result is kept for the last 1 x 1 convolution.
    """

    def __init__(self, inputs: int, outputs: int, depth: int = 1) -> None:
        super().__init__()
        half = outputs // 2
        self.straight = ConvUnit(inputs, half, 1)
        self.entry = ConvUnit(inputs, half, 1)
        self.blocks = nn.ModuleList(Residual(half) for _ in range(depth))
        self.merge = ConvUnit(half * (2 + depth), outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.straight(x), self.entry(x)]
        for block in self.blocks:
            parts.append(block(parts[-1]))
        return self.merge(torch.cat(parts, 1))


class PyramidPool(nn.Module):
    """Repeated 5 x 5 max-pooling to widen the field of view: (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.reduce = ConvUnit(channels, half, 1)
        self.merge = ConvUnit(half * 4, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        parts = [self.reduce(x)]
        for _ in range(3):
            parts.append(functional.max_pool2d(parts[-1], 5, 1, 2))
        return self.merge(torch.cat(parts, 1))


class Backbone(nn.Module):
    """Image (B, 3, 320, 320) -> features at strides 4 (24), 8 (48), 16 (96), and 32 (160)."""

    channels = (24, 48, 96, 160)

    def __init__(self) -> None:
        super().__init__()
        c4, c8, c16, c32 = self.channels
        self.stem = ConvUnit(3, 16, 3, 2)
        self.stage4 = nn.Sequential(ConvUnit(16, c4, 3, 2), SplitBlock(c4, c4))
        self.stage8 = nn.Sequential(ConvUnit(c4, c8, 3, 2), SplitBlock(c8, c8, 2))
        self.stage16 = nn.Sequential(ConvUnit(c8, c16, 3, 2), SplitBlock(c16, c16, 2))
        self.stage32 = nn.Sequential(
            ConvUnit(c16, c32, 3, 2), SplitBlock(c32, c32, 1), PyramidPool(c32)
        )

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        f4 = self.stage4(self.stem(images))
        f8 = self.stage8(f4)
        f16 = self.stage16(f8)
        return f4, f8, f16, self.stage32(f16)


class Neck(nn.Module):
    """Top-down then bottom-up fusion; returns 64 channels at each of the strides 8, 16, and 32."""

    channels = 64

    def __init__(self, c8: int, c16: int, c32: int) -> None:
        super().__init__()
        width = self.channels
        self.reduce32 = ConvUnit(c32, width, 1)
        self.reduce16 = ConvUnit(c16, width, 1)
        self.reduce8 = ConvUnit(c8, width, 1)
        self.top16 = SplitBlock(2 * width, width)
        self.top8 = SplitBlock(2 * width, width)
        self.down16 = ConvUnit(width, width, 3, 2)
        self.bottom16 = SplitBlock(2 * width, width)
        self.down32 = ConvUnit(width, width, 3, 2)
        self.bottom32 = SplitBlock(2 * width, width)

    def forward(self, f8: Tensor, f16: Tensor, f32: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        r32 = self.reduce32(f32)
        t16 = self.top16(torch.cat((double(r32), self.reduce16(f16)), 1))
        p8 = self.top8(torch.cat((double(t16), self.reduce8(f8)), 1))
        p16 = self.bottom16(torch.cat((self.down16(p8), t16), 1))
        p32 = self.bottom32(torch.cat((self.down32(p16), r32), 1))
        return p8, p16, p32


class PrototypeHead(nn.Module):
    """Features at strides 8 and 4 -> prototype mask logits (B, 16, 80, 80)."""

    def __init__(self, fused: int, fine: int) -> None:
        super().__init__()
        self.coarse = ConvUnit(fused, 32)
        self.detail = ConvUnit(fine, 32, 1)
        self.refine = ConvUnit(32, 32)
        self.project = nn.Conv2d(32, PROTOTYPES, 1)

    def forward(self, p8: Tensor, f4: Tensor) -> Tensor:
        return self.project(self.refine(double(self.coarse(p8)) + self.detail(f4)))


class ScaleHead(nn.Module):
    """Predictions of one scale from (B, C, H, W).

    Returns distances (B, 4 * BINS, H * W), score logits (B, 1, H * W), and mask coefficients
    (B, PROTOTYPES, H * W).
    """

    width = 48

    def __init__(self, channels: int) -> None:
        super().__init__()
        width = self.width
        self.shared = ConvUnit(channels, width)
        self.box = nn.Sequential(ConvUnit(width, width), nn.Conv2d(width, 4 * BINS, 1))
        self.score = nn.Sequential(ConvUnit(width, width), nn.Conv2d(width, 1, 1))
        self.coeff = nn.Conv2d(width, PROTOTYPES, 1)
        nn.init.constant_(self.score[-1].bias, -4.6)
        with torch.no_grad():
            self.box[-1].bias.copy_(torch.arange(BINS).mul(-START_SLOPE).repeat(4))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        shared = self.shared(x)
        parts = (self.box(shared), self.score(shared), self.coeff(shared))
        return parts[0].flatten(2), parts[1].flatten(2), parts[2].flatten(2)


class Rio(nn.Module):
    """The whole network; see `forward` for inputs and outputs."""

    centres: Tensor
    strides: Tensor
    bins: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.backbone = Backbone()
        c4, c8, c16, c32 = self.backbone.channels
        self.neck = Neck(c8, c16, c32)
        self.protos = PrototypeHead(self.neck.channels, c4)
        self.heads = nn.ModuleList(ScaleHead(self.neck.channels) for _ in STRIDES)
        centres, strides = cell_grid(INPUT_SIZE)
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("strides", strides, persistent=False)
        self.register_buffer("bins", torch.arange(BINS).float(), persistent=False)

    def predict(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Undecoded predictions, as the training loss needs them.

        Returns distance logits (B, N, 4, BINS), score logits (B, N, 1), coefficients
        (B, N, PROTOTYPES), and prototype logits (B, PROTOTYPES, S / 4, S / 4), where S is the side
        of the images (any multiple of 32; training also uses smaller images) and N is 2100 at 320.
        """
        f4, f8, f16, f32 = self.backbone(images)
        fused = self.neck(f8, f16, f32)
        parts = [head(level) for head, level in zip(self.heads, fused, strict=True)]
        boxes, scores, coeffs = (
            torch.cat(part, 2).transpose(1, 2) for part in zip(*parts, strict=True)
        )
        return boxes.unflatten(2, (4, BINS)), scores, coeffs, self.protos(fused[0], f4)

    def decode(self, logits: Tensor, centres: Tensor, strides: Tensor) -> Tensor:
        """Distance logits (B, N, 4, BINS) and a `cell_grid` -> boxes (B, N, 4), xyxy in pixels."""
        distances = (logits.softmax(3) * self.bins).sum(3)
        near = centres - distances[:, :, :2]
        far = centres + distances[:, :, 2:]
        return torch.cat((near, far), 2) * strides

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Detect cards in images (B, 3, 320, 320), RGB in 0..1, padded with grey 114 / 255.

        Returns `boxes` (B, 2100, 4), xyxy in input pixels, not clipped to the frame; `scores`
        (B, 2100, 1) in 0..1; `coeffs` (B, 2100, 16); and `protos` (B, 16, 80, 80).  The mask of
        location n is sigmoid(coeffs[n] @ protos), cropped to its box.
        """
        logits, scores, coeffs, protos = self.predict(images)
        boxes = self.decode(logits, self.centres, self.strides)
        return boxes, scores.sigmoid(), coeffs, protos


def double(x: Tensor) -> Tensor:
    """Nearest upsampling: (B, C, H, W) -> (B, C, 2 H, 2 W)."""
    return functional.interpolate(x, scale_factor=2.0, mode="nearest")


def cell_grid(size: int) -> tuple[Tensor, Tensor]:
    """Cell centres (1, N, 2) as xy in strides, and strides (1, N, 1) in pixels.

    `size` is the side of the square input in pixels; N is 2100 for 320.
    """
    centres, strides = [], []
    for stride in STRIDES:
        side = torch.arange(size // stride).float() + 0.5
        y, x = torch.meshgrid(side, side, indexing="ij")
        centres.append(torch.stack((x, y), 2).reshape(-1, 2))
        strides.append(torch.full((side.numel() ** 2, 1), float(stride)))
    return torch.cat(centres)[None], torch.cat(strides)[None]


def build() -> nn.Module:
    """Make the network with fresh random weights, in training mode."""
    return Rio()


def load(weights: Path) -> nn.Module:
    """Make the network with the trained weights of the file `weights`, in evaluation mode."""
    model = build()
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    return model.eval()
