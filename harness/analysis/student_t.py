"""Quantiles for tests and intervals. Pure."""

from __future__ import annotations

#: percent of a two-sided interval: 95.0 or 99.9
Confidence = float

#: two-sided quantiles of Student's t by degrees of freedom, 1 to 30
STUDENT: dict[Confidence, tuple[float, ...]] = {
    95.0: (
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
        2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
        2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ),
    99.9: (
        636.62, 31.599, 12.924, 8.610, 6.869, 5.959, 5.408, 5.041, 4.781, 4.587,
        4.437, 4.318, 4.221, 4.140, 4.073, 4.015, 3.965, 3.922, 3.883, 3.850,
        3.819, 3.792, 3.768, 3.745, 3.725, 3.707, 3.690, 3.674, 3.659, 3.646,
    ),
}  # fmt: skip
NORMAL: dict[Confidence, float] = {95.0: 1.959964, 99.9: 3.290527}


def student(confidence: Confidence, degrees: int) -> float:
    """Two-sided quantile; above 30 degrees of freedom by Fisher's expansion (error below 0.001)."""
    table = STUDENT[confidence]
    if degrees <= len(table):
        return table[degrees - 1]
    z = NORMAL[confidence]
    first = (z**3 + z) / (4 * degrees)
    return z + first + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * degrees**2)
