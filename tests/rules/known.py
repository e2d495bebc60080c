"""What is known about rules and expected by the generated tests, each entry with its reason.

An entry that is no longer true fails the tests too: they say what to delete here.
"""

from __future__ import annotations

# Rules whose gradients are right but not bit for bit autograd's, by check.
NOT_EXACT: dict[tuple[str, str], str] = {
    ("einsum", "special"): "of three operands: the sign of a zero, by the order of the products",
    ("masked_fill", "special"): "the sum over the mask is added up in another order",
}

# Checks at which a rule differs from autograd for good reason.
DIFFERS: dict[tuple[str, str], str] = {
    ("hardsigmoid", "plain"): "torch's kernel holds 1/6 in single precision, whatever the dtype",
    ("to", "differences"): "to float32: differences of 1e-5 are lost in the rounding",
    ("stored", "differences"): "to float32: differences of 1e-5 are lost in the rounding",
    ("index_put", "differences"): "autograd gives overwritten values a gradient too",
    ("scatter", "differences"): "autograd gives overwritten values a gradient too",
    ("max_unpool2d", "differences"): "autograd gives overwritten values a gradient too",
    ("max_unpool3d", "differences"): "autograd gives overwritten values a gradient too",
    ("embedding", "differences"): "the row of padding_idx gets none, by definition",
    ("bernoulli", "differences"): "every run draws anew",
    ("poisson", "differences"): "every run draws anew",
    ("normal_around", "differences"): "every run draws anew",
    ("linalg_cholesky", "differences"): "one triangle is read, as half of a symmetric matrix",
    ("linalg_eigh", "differences"): "one triangle is read, as half of a symmetric matrix",
    ("linalg_svd", "reference"): "which of the two directions a singular vector has is left open",
    ("linalg_eigh", "reference"): "which of the two directions an eigenvector has is left open",
    ("hardsigmoid", "reference"): "torch's kernel holds 1/6 in single precision",
    ("digamma", "reference"): "torch's trigamma is right to nine digits only",
    ("polygamma", "reference"): "torch's trigamma is right to nine digits only",
    ("kthvalue", "reference"): "which of several equal elements it stands for is left open",
}

_STATISTICS = "a gradient through the saved statistics is refused"
_KERNEL = "the kernel's own gradient has no rule"
_NUMPY = "no reference in NumPy, for the reason given there"
_INFERENCE = "torch cannot infer the shape of the kernel without data"

# What is refused with a message, though torch could do it.
UNSUPPORTED: dict[tuple[str, str], str] = {
    **{
        ("native_group_norm", check): _STATISTICS
        for check in ("gradient", "plain", "differences", "special", "dtypes", "captured")
    },
    ("native_layer_norm", "second"): _STATISTICS,
    ("native_batch_norm", "second"): _STATISTICS,
    ("native_group_norm", "second"): _STATISTICS,
    **{(f"convolution{n}d", "second"): _KERNEL for n in (1, 2, 3)},
    **{(f"transposed{n}d", "second"): _KERNEL for n in (1, 2, 3)},
    ("avg_pool2d", "second"): _KERNEL,
    ("avg_pool3d", "second"): _KERNEL,
    ("_adaptive_avg_pool2d", "second"): _KERNEL,
    ("_adaptive_avg_pool3d", "second"): _KERNEL,
    ("interpolate", "second"): _KERNEL,
    ("pad_edges", "second"): _KERNEL,
    ("affine_grid_generator", "second"): _KERNEL,
    ("grid_sample", "second"): _KERNEL,
    ("fractional_max_pool2d", "reference"): _NUMPY,
    ("fractional_max_pool3d", "reference"): _NUMPY,
    ("grid_sample", "reference"): _NUMPY,
    ("multi_margin_loss", "captured"): _INFERENCE,
    ("multilabel_margin_loss_forward", "captured"): _INFERENCE,
    ("fractional_max_pool3d", "captured"): _INFERENCE,
    ("trilinear", "captured"): _INFERENCE,
    ("linalg_solve", "second"): _KERNEL,
    ("linalg_det", "second"): _KERNEL,
    ("linalg_slogdet", "second"): _KERNEL,
    ("mse_loss", "empty"): _INFERENCE,
    ("smooth_l1_loss", "empty"): _INFERENCE,
    ("huber_loss", "empty"): _INFERENCE,
    ("interpolate", "empty"): _INFERENCE,
}

# Rules that stand although torch's result carries no gradient at all.
NO_GRADIENT: dict[str, str] = {
    "floor_divide": "torch marks the result as not differentiable; so is ours, being zero",
    "heaviside": "torch marks the result as not differentiable; so is ours, being zero",
}

_TORCH = "torch has no double backward for it"
_CONSTANT = "the gradient is constant"

# Rules of which no sample could be compared at second order.
NO_SECOND: dict[str, str] = {
    **dict.fromkeys(
        ("hardsigmoid", "attention", "multi_margin_loss", "multilabel_margin_loss_forward", "pdist",
         "cdist_forward"),
        _TORCH,
    ),
    **dict.fromkeys(
        ("bernoulli", "poisson", "normal_around", "floor", "ceil", "trunc", "sign", "sgn", "round",
         "div_mode", "angle"),
        _CONSTANT,
    ),
    **NO_GRADIENT,
}  # fmt: skip
