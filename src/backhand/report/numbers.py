"""The numbers in a tensor, and numbers as text."""

from __future__ import annotations

from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]


def numbers(tensor: torch.Tensor) -> Array:
    """The entries as real numbers: of a complex number its magnitude."""
    tensor = tensor.detach()
    if tensor.layout is not torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_complex():
        tensor = tensor.abs()
    # double precision only where single would lose digits: an embedding table is large
    exact = tensor.dtype in (torch.float16, torch.bfloat16, torch.float32, torch.bool)
    array: Array = tensor.to("cpu", torch.float32 if exact else torch.float64).numpy()
    return array


def root_mean_square(array: Array) -> float:
    """How large the entries are; zero if there are none, NaN or infinite if one is.

    >>> root_mean_square(np.array([3.0, -4.0, 0.0, 0.0]))
    2.5
    """
    most = float(np.abs(array).max()) if array.size else 0.0
    if not most or not np.isfinite(most):
        return most
    # the square of a large or a tiny number is none that a float can hold
    mean = float(np.mean(np.square(array / most), dtype=np.float64))
    return float(mean**0.5) * most


def number_text(number: float, dtype: torch.dtype = torch.float64, digits: int = 3) -> str:
    """A number for people: of so many figures, or the whole of an integer.

    >>> number_text(-1.2345e-7)
    '−1.23e−7'
    >>> number_text(-40000, torch.int64), number_text(1, torch.bool)
    ('−40,000', 'True')
    """
    if dtype is torch.bool:
        return str(bool(number))
    if not dtype.is_floating_point and not dtype.is_complex:
        return f"{int(number):,}".replace("-", "−")
    if number != number:
        return "NaN"
    text = f"{number:.{digits}g}".replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")
    return text.replace("inf", "∞").replace("-", "−")


__all__ = ["Array", "number_text", "numbers", "root_mean_square"]
