"""What the letters in formulas of local gradients stand for, operator by operator.

An operand goes by its name in the op table; ``x``, ``y`` and ``g`` are the first operand, the
output and the upstream. A letter that stands for an argument has that argument's name here, another
one words. Indices of elements (``i`` of an operand, ``j`` of the output) and the functions that
formulas share stand in ``EVERYWHERE``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache

EVERYWHERE = {
    "i": "an index",
    "j": "another index",
    "e": "Euler's number",
    "π": "the circle's number",
    "δ": "1 where its two indices are equal, else 0",
    "φ": "the density of the normal distribution",
    "Φ": "its cumulative distribution",
    "ψ": "the digamma function (ψₙ: the polygamma function of order n)",
    "Γ": "the gamma function",
    "ζ": "the Hurwitz zeta function",
    "I": "the modified Bessel functions (with e: scaled by the exponential)",
}
_SIGMOID = {"σ": "the sigmoid, 1/(1 + exp(−x))"}
_SIGMA = {"σ": "which element of the operand each element of the output reads"}
_COUNT = {"n": "how many elements the mean or the loss divides by (1 for a sum)"}
_SPREAD = {"n": "how many elements are averaged", "c": "correction"}
_WINDOW = {"k": "how many elements a window averages"}
_LOSS = {**_COUNT, "t": "target"}
_NORMED = {
    "r": "one over the standard deviation",
    "w": "weight",
    "n": "how many elements share a mean",
}
_KERNEL = {
    "W": "weight", "n": "the example", "c": "the input channel", "o": "the output channel",
    "k": "the place in the kernel", "s": "stride", "d": "dilation", "p": "padding",
}  # fmt: skip
_SCALES = {"α": "alpha", "β": "beta"}
_WINDOWS = {"w": "a window"}

_TABLE: dict[str, Mapping[str, str]] = {
    "add_alpha sub_alpha rsub_alpha": {"α": "alpha"},
    "index_add": {**_SIGMA, "α": "alpha"},
    "addmm": {**_SCALES, "A": "mat1", "B": "mat2"},
    "addmv": {**_SCALES, "A": "mat", "v": "vec"},
    "addr": {**_SCALES, "u": "vec1", "v": "vec2"},
    "addbmm": {**_SCALES, "A": "batch1", "B": "batch2", "b": "an index of the batch"},
    "baddbmm": {**_SCALES, "A": "batch1", "B": "batch2"},
    "addcmul addcdiv": {"v": "value"},
    "matmul": {"A": "x", "B": "other"},
    "mm bmm": {"A": "x", "B": "mat2"},
    "mv": {"A": "x", "v": "vec"},
    "dot": {"a": "x", "b": "tensor"},
    "vdot linalg_cross": {"a": "x", "b": "other"},
    "linear": {"W": "weight"},
    "linalg_solve": {"X": "the solution"},
    "linalg_solve_triangular": {
        "A": "x", "X": "the solution", "tri": "the triangle that is read",
    },
    "linalg_cholesky": {
        "L": "the factor", "Φ": "the lower triangle, with half of the diagonal",
    },
    "linalg_eigh": {
        "V": "the eigenvectors", "λ": "the eigenvalues", "diag": "a diagonal matrix",
        "E": "λ_j − λ_i at i, j, and 1 on the diagonal",
    },
    "linalg_svd": {
        "U": "the left vectors", "S": "the singular values, on a diagonal",
        "V": "the right vectors", "E": "s_j² − s_i² at i, j, and 1 on the diagonal",
        "skew": "a matrix minus its transpose", "diag": "a diagonal matrix",
    },
    "linalg_qr": {
        "Q": "the first output", "R": "the second", "sym": "the upper triangle, mirrored",
    },
    "linalg_pinv": {"I": "the identity"},
    "linalg_matrix_exp": {"A": "x", "s": "the variable of integration", "d": "the differential"},
    "affine_grid_generator": {"θ": "theta", "B": "the grid of base coordinates"},
    "attention": {
        "Q": "query", "K": "key", "V": "value", "s": "scale", "P": "the attention weights",
        "D": "the gradient of the scores",
    },
    "_adaptive_avg_pool2d _adaptive_avg_pool3d avg_pool2d avg_pool3d": _WINDOW,
    "max_pool2d_with_indices max_pool3d_with_indices adaptive_max_pool2d adaptive_max_pool3d "
    "fractional_max_pool2d fractional_max_pool3d": _WINDOWS,
    "convolution1d convolution2d convolution3d transposed1d transposed2d transposed3d": _KERNEL,
    "binary_cross_entropy": {**_LOSS, "w": "weight"},
    "binary_cross_entropy_with_logits": {**_LOSS, **_SIGMOID, "w": "weight", "p": "pos_weight"},
    "huber_loss": {**_LOSS, "δ": "delta"},
    "smooth_l1_loss": {**_LOSS, "β": "beta"},
    "soft_margin_loss": {**_LOSS, **_SIGMOID},
    "mse_loss nll": _LOSS,
    "multi_margin_loss": {
        **_LOSS, "C": "the number of classes", "m": "margin", "k": "a class", "a": "defined beside",
    },
    "multilabel_margin_loss_forward": {
        **_LOSS, "C": "the number of classes", "z": "defined beside",
    },
    "cdist_forward euclidean_dist": {"x": "x1", "z": "x2"},
    "dist": {"d": "the difference x − other"},
    "renorm": {"m": "maxnorm", "ν": "the norm of a slice"},
    "vector_norm": {"p": "ord"},
    "var std var_mean std_mean": _SPREAD,
    "mean": {"n": "how many elements are averaged"},
    "native_batch_norm native_group_norm native_layer_norm": _NORMED,
    "celu": {"α": "alpha"},
    "elu": {"α": "alpha", "s": "scale", "ι": "input_scale"},
    "leaky_relu": {"s": "negative_slope"},
    "prelu lerp": {"w": "weight"},
    "hardshrink softshrink": {"λ": "lambd"},
    "hardtanh": {"min": "min_val", "max": "max_val"},
    "glu": {**_SIGMOID, "a": "the first half", "b": "the second half"},
    "mish": {**_SIGMOID, "t": "defined beside"},
    "softplus": {**_SIGMOID, "β": "beta"},
    "sigmoid silu logsigmoid": _SIGMOID,
    "where": {"c": "condition"},
    "tril triu": {"k": "diagonal"},
    "frexp": {"exponent": "the second output"},
    "grid_sample": {"w": "the weight that place i gives element j"},
    "interpolate": {"w": "the weight that place i gives element j"},
    "scatter_reduce index_reduce": {**_SIGMA, "s": "an element of the source"},
    "embedding gather index index_select take max_unpool2d max_unpool3d index_copy index_fill "
    "index_put index_put_at put scatter scatter_add": _SIGMA,
}  # fmt: skip


@cache
def _by_operator() -> dict[str, Mapping[str, str]]:
    return {op: meanings for ops, meanings in _TABLE.items() for op in ops.split()}


@cache
def letters_of(op: str) -> Mapping[str, str]:
    """What the letters of an operator's formulas stand for."""
    return {**EVERYWHERE, **_by_operator().get(op, {})}


__all__ = ["EVERYWHERE", "letters_of"]
