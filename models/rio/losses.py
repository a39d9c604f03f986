"""Assignment of locations to cards, and the training loss."""

import math

import torch
from dataset import MASK_STRIDE, Batch
from network import BINS, STRIDES, Rio, cell_grid
from torch import Tensor
from torch.nn import functional

REACH = 1.5
"""Distance of an assigned cell's centre from the card's, in strides along either axis, at most."""

SCALE_LIMITS = (80.0, 160.0)
"""Longer side of a box in pixels from which on the next coarser scale finds it."""

LEAST_TARGET = 0.2
"""Smallest target score of an assigned location."""

MASK_SAMPLES = 64
"""Assigned locations of a batch whose masks are trained, at most."""

WEIGHTS = {"score": 1.0, "box": 7.5, "edge": 1.5, "mask": 3.0}
"""Weights of the parts of the loss."""


def overlaps(first: Tensor, second: Tensor) -> Tensor:
    """Intersection over union of boxes (..., 4) that broadcast against each other, xyxy."""
    near = torch.maximum(first[..., :2], second[..., :2])
    far = torch.minimum(first[..., 2:], second[..., 2:])
    common = (far - near).clamp(min=0).prod(-1)
    sizes = [(box[..., 2:] - box[..., :2]).clamp(min=0).prod(-1) for box in (first, second)]
    return common / (sizes[0] + sizes[1] - common + 1e-7)


def complete_iou(first: Tensor, second: Tensor) -> Tensor:
    """Complete IoU of matching boxes (P, 4): IoU less centre distance and aspect penalties."""
    iou = overlaps(first, second)
    hull_near = torch.minimum(first[:, :2], second[:, :2])
    hull_far = torch.maximum(first[:, 2:], second[:, 2:])
    diagonal = (hull_far - hull_near).square().sum(1) + 1e-7
    offset = (first[:, :2] + first[:, 2:] - second[:, :2] - second[:, 2:]).square().sum(1) / 4
    angles = [
        torch.atan2(box[:, 2] - box[:, 0], (box[:, 3] - box[:, 1]).clamp(min=1e-3))
        for box in (first, second)
    ]
    aspect = (angles[0] - angles[1]).square() * 4 / math.pi**2
    with torch.no_grad():
        trade = aspect / (1 - iou + aspect + 1e-7)
    return iou - offset / diagonal - trade * aspect


@torch.no_grad()
def assign(boxes: Tensor, centres: Tensor, strides: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Give the cells around a card's centre, on the scale that suits its size, to that card.

    `boxes` (B, N, 4) are the predictions in pixels; `centres` (N, 2) and `strides` (N, 1) are a
    `cell_grid`.  Returns the index of the card (B, N) and the target score (B, N), which is the
    overlap of the predicted box with the card, and 0 where there is no card.
    """
    cards = batch.boxes[:, :, None]
    sides = (cards[..., 2:] - cards[..., :2]).amax(3)
    scale = sum((sides >= limit).long() for limit in SCALE_LIMITS)
    suits = sides.new_tensor(STRIDES)[scale] == strides[:, 0]
    middle = (cards[..., :2] + cards[..., 2:]) / 2
    distance = ((centres * strides - middle).abs() / strides).amax(3)
    half = (cards[..., 2:] - cards[..., :2]) / 2 / strides
    near = distance < torch.minimum(half.amin(3).clamp(min=0.5), half.new_tensor(REACH))
    distance = distance.masked_fill(~(near & suits & batch.valid[:, :, None]), torch.inf)
    least, owner = distance.min(1)
    goals = batch.boxes.gather(1, owner[:, :, None].expand(-1, -1, 4))
    target = overlaps(goals, boxes).clamp(min=LEAST_TARGET)
    return owner, target * least.isfinite()


def edge_loss(logits: Tensor, distances: Tensor) -> Tensor:
    """Distribution focal loss (P,) of logits (P, 4, BINS) for distances (P, 4) in strides."""
    distances = distances.clamp(0, BINS - 1.01)
    lower = distances.floor()
    share = distances - lower
    flat, index = logits.flatten(0, 1), lower.long().flatten()
    below = functional.cross_entropy(flat, index, reduction="none").view_as(share)
    above = functional.cross_entropy(flat, index + 1, reduction="none").view_as(share)
    return (below * (1 - share) + above * share).mean(1)


def mask_loss(logits: Tensor, masks: Tensor, boxes: Tensor) -> Tensor:
    """Cross-entropy within the boxes plus dice loss, mean over P masks.

    `logits` and `masks` are (P, H, W); `boxes` (P, 4) xyxy in input pixels.  The boxes are grown by
    two cells, so that the mask also learns where the card ends.
    """
    grown = boxes / MASK_STRIDE + boxes.new_tensor((-2, -2, 2, 2))
    cells = torch.arange(masks.shape[2]) + 0.5
    columns = (cells > grown[:, None, 0]) & (cells < grown[:, None, 2])
    rows = (cells > grown[:, None, 1]) & (cells < grown[:, None, 3])
    window = (rows[:, :, None] & columns[:, None]).float()
    entropy = functional.binary_cross_entropy_with_logits(logits, masks, reduction="none")
    entropy = (entropy * window).sum((1, 2)) / window.sum((1, 2))
    shares = logits.sigmoid() * window
    common, total = (shares * masks).sum((1, 2)), (shares + masks * window).sum((1, 2))
    return (entropy + 1 - (2 * common + 1) / (total + 1)).mean()


def losses(model: Rio, batch: Batch) -> dict[str, Tensor]:
    """The unweighted parts of the loss of one batch, by name of `WEIGHTS`."""
    logits, scores, coeffs, protos = model.predict(batch.images)
    centres, strides = cell_grid(batch.images.shape[3])
    boxes = model.decode(logits, centres, strides)
    owner, target = assign(boxes.detach(), centres[0], strides[0], batch)
    total = target.sum().clamp(min=1)
    entropy = functional.binary_cross_entropy_with_logits(scores[:, :, 0], target, reduction="sum")
    row, place = torch.nonzero(target > 0, as_tuple=True)
    if len(row) == 0:
        nothing = (logits.sum() + coeffs.sum() + protos.sum()) * 0
        return {"score": entropy / total, "box": nothing, "edge": nothing, "mask": nothing}
    card, weight = owner[row, place], target[row, place]
    goal = batch.boxes[row, card]
    centre, stride = centres[0, place], strides[0, place]
    distances = torch.cat((centre - goal[:, :2] / stride, goal[:, 2:] / stride - centre), 1)
    pick = torch.linspace(0, len(row) - 1, min(len(row), MASK_SAMPLES)).round().long()
    mask_logits = torch.einsum("pk,pkhw->phw", coeffs[row, place][pick], protos[row[pick]])
    return {
        "score": entropy / total,
        "box": ((1 - complete_iou(boxes[row, place], goal)) * weight).sum() / total,
        "edge": (edge_loss(logits[row, place], distances) * weight).sum() / total,
        "mask": mask_loss(mask_logits, batch.masks[row[pick], card[pick]], goal[pick]),
    }
