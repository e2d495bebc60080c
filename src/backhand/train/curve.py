"""The loss curve as a picture."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from backhand.train.checkpoint import write

WINDOW = 1000


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Means of `window` consecutive values: [len(values) - window + 1]."""
    sums = np.concatenate(([0.0], np.cumsum(values)))
    return np.asarray((sums[window:] - sums[:-window]) / window)


def draw_curve(losses: NDArray[np.float32], path: Path, title: str) -> None:
    """Write a PNG of the loss of every step, and of its mean over 1000 steps, on a log scale.

    A run shorter than ten windows is averaged over a tenth of its length.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    # A loss can reach zero on very few names; its logarithm cannot be drawn.
    logs = np.log10(np.maximum(losses.astype(np.float64), 1e-9))
    window = max(1, min(WINDOW, len(logs) // 10))
    means = running_mean(logs, window)

    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    steps = np.arange(1, len(logs) + 1)
    axes.plot(steps, logs, color="#9db8d9", linewidth=0.4, label="each step", rasterized=True)
    ends = steps[window - 1 :]
    axes.plot(ends, means, color="#0b3d75", linewidth=1.4, label=f"mean of {window:,} steps")
    axes.set_xlabel("step")
    axes.set_ylabel("log10 of the loss (nats per letter)")
    axes.set_title(title)
    axes.grid(alpha=0.25)
    axes.legend(loc="upper right")
    picture = io.BytesIO()
    figure.savefig(picture, format="png")
    write(path, picture.getvalue())
