"""Products, distances and linear systems in NumPy."""

from __future__ import annotations

from typing import Any

import numpy as np

from .reference import Array, Reference


def _linear(x: Array, weight: Array, bias: Any) -> Array:
    out = x @ weight.T
    return np.asarray(out if bias is None else out + bias)


def _plus(product: Any) -> Reference:
    """``beta * x + alpha * (a · b)``; with beta = 0 the first summand is not even looked at."""

    def add(x: Array, a: Array, b: Array, beta: float, alpha: float) -> Array:
        scaled = alpha * product(a, b)
        return np.asarray(scaled + (beta * x if beta != 0 else np.zeros_like(x)))

    return add


def _cross(x: Array, other: Array, dim: int) -> Array:
    a, b = np.broadcast_arrays(x, other)
    return np.cross(a, b, axisa=dim, axisb=dim, axisc=dim)


def _solve(a: Array, b: Array, left: bool) -> Array:
    vector = b.ndim == 1 or (b.ndim == a.ndim - 1 and b.shape == a.shape[:-1])
    if vector:
        return np.linalg.solve(a, b[..., None])[..., 0]
    if left:
        return np.linalg.solve(a, b)
    return np.swapaxes(np.linalg.solve(np.swapaxes(a, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)


def _solve_triangular(a: Array, b: Array, upper: bool, left: bool, unit: bool) -> Array:
    used = np.triu(a) if upper else np.tril(a)
    if unit:
        n = a.shape[-1]
        used = np.where(np.eye(n, dtype=bool), 1.0, used)
    shape = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    return _solve(
        np.broadcast_to(used, (*shape, *a.shape[-2:])),
        np.broadcast_to(b, (*shape, *b.shape[-2:])),
        left,
    )


def _lu_factor(a: Array) -> tuple[Array, Array]:
    """L and U in one matrix, and the row exchanged with each row (counted from 1)."""
    lu = np.array(a)
    pivots = np.zeros((*a.shape[:-2], min(a.shape[-2:])), dtype=np.int32)
    for batch in np.ndindex(a.shape[:-2]):
        m = lu[batch]
        for k in range(min(m.shape)):
            p = k + int(np.argmax(np.abs(m[k:, k])))
            pivots[(*batch, k)] = p + 1
            m[[k, p]] = m[[p, k]]
            m[k + 1 :, k] /= m[k, k]
            m[k + 1 :, k + 1 :] -= np.outer(m[k + 1 :, k], m[k, k + 1 :])
    return lu, pivots


def _lu_solve(lu: Array, pivots: Array, b: Array, left: bool, adjoint: bool) -> Array:
    n = lu.shape[-1]
    matrix = (np.tril(lu, -1) + np.eye(n)) @ np.triu(lu)
    for batch in np.ndindex(lu.shape[:-2]):
        for k in reversed(range(n)):
            p = int(pivots[(*batch, k)]) - 1
            matrix[batch][[k, p]] = matrix[batch][[p, k]]
    return _solve(np.swapaxes(matrix, -1, -2) if adjoint else matrix, b, left)


def _matrix_exp(x: Array) -> Array:
    squarings = 10
    small = x / 2.0**squarings
    total = term = np.broadcast_to(np.eye(x.shape[-1], dtype=x.dtype), x.shape)
    for k in range(1, 16):
        term = term @ small / k
        total = total + term
    for _ in range(squarings):
        total = total @ total
    return np.asarray(total)


def _trilinear(
    i1: Array, i2: Array, i3: Array, expand1: Any, expand2: Any, expand3: Any, sumdim: Any,
    unroll_dim: int,
) -> Array:
    product: Any = 1
    for factor, dims in ((i1, expand1), (i2, expand2), (i3, expand3)):
        for d in sorted(dims):
            factor = np.expand_dims(factor, d)
        product = product * factor
    return np.asarray(np.sum(product, axis=tuple(sumdim)))


def _norm(gaps: Array, p: float) -> Array:
    size = np.abs(gaps)
    if p == 0:
        return np.asarray(np.sum(size != 0, axis=-1).astype(gaps.dtype))
    if p == np.inf:
        return np.asarray(np.max(size, axis=-1, initial=0))
    return np.asarray(np.sum(size**p, axis=-1) ** (1 / p))


def _cdist(x1: Array, x2: Array, p: float, mode: Any) -> Array:
    return _norm(x1[..., :, None, :] - x2[..., None, :, :], p)


def _pull(gaps: Array, y: Array, p: float) -> Array:
    """The derivative of the p-norm of ``gaps`` along the last axis; 0 where the norm is."""
    size, y = np.abs(gaps), y[..., None]
    if p == 0:
        return np.zeros_like(gaps)
    if p == np.inf:
        return np.asarray(np.sign(gaps) * (size == y))
    if p == 1:
        return np.sign(gaps)
    return np.where(y == 0, 0.0, np.sign(gaps) * size ** (p - 1) / y ** (p - 1))


def _cdist_backward(g: Array, x1: Array, x2: Array, p: float, y: Array) -> Array:
    gaps = x1[..., :, None, :] - x2[..., None, :, :]
    return np.asarray(np.sum(g[..., None] * _pull(gaps, y, p), axis=-2))


def _pairs(x: Array) -> tuple[Array, Array]:
    return np.triu_indices(len(x), 1)


def _pdist(x: Array, p: float) -> Array:
    i, j = _pairs(x)
    return _norm(x[i] - x[j], p)


def _pdist_backward(g: Array, x: Array, p: float, y: Array) -> Array:
    i, j = _pairs(x)
    pulls = g[:, None] * _pull(x[i] - x[j], y, p)
    out = np.zeros_like(x)
    np.add.at(out, i, pulls)
    np.add.at(out, j, -pulls)
    return out


def _cholesky(x: Array, upper: bool) -> Array:
    if upper:
        return np.swapaxes(np.linalg.cholesky(np.swapaxes(x, -1, -2)), -1, -2)
    return np.linalg.cholesky(x)


def _pinv(x: Array, atol: Any, rtol: Any, hermitian: bool) -> Array:
    u, s, vh = np.linalg.svd(x, full_matrices=False)
    relative = max(x.shape[-2:]) * np.finfo(x.dtype).eps if rtol is None and atol is None else rtol
    bound = np.maximum(0 if atol is None else atol, (relative or 0) * s.max(-1, keepdims=True))
    inverse = np.where(s > bound, 1 / s, 0)
    return np.asarray((np.swapaxes(vh, -1, -2) * inverse[..., None, :]) @ np.swapaxes(u, -1, -2))


REFERENCES: dict[str, Reference] = {
    "matmul": np.matmul,
    "einsum": lambda equation, operands: np.einsum(equation, *operands),
    "linear": _linear,
    "addmm": _plus(np.matmul),
    "mm": np.matmul,
    "bmm": np.matmul,
    "baddbmm": _plus(np.matmul),
    "addbmm": _plus(lambda a, b: np.sum(a @ b, axis=0)),
    "addmv": _plus(np.matmul),
    "addr": _plus(np.outer),
    "mv": np.matmul,
    "dot": np.dot,
    "vdot": np.dot,
    "linalg_cross": _cross,
    "trace": np.trace,
    "linalg_inv": np.linalg.inv,
    "linalg_cholesky": _cholesky,
    "linalg_det": np.linalg.det,
    "linalg_slogdet": lambda a: tuple(np.linalg.slogdet(a)),
    "linalg_svd": lambda a, full: tuple(np.linalg.svd(a, full_matrices=full)),
    "linalg_qr": lambda a, mode: tuple(np.linalg.qr(a, mode)),
    "linalg_pinv": _pinv,
    "linalg_eigh": lambda a, uplo: tuple(np.linalg.eigh(a, uplo)),
    "linalg_solve": _solve,
    "linalg_solve_triangular": _solve_triangular,
    "linalg_matrix_exp": _matrix_exp,
    "linalg_lu_factor": _lu_factor,
    "linalg_lu_solve": _lu_solve,
    "trilinear": _trilinear,
    "cdist_forward": _cdist,
    "cdist_backward": _cdist_backward,
    "pdist": _pdist,
    "pdist_backward": _pdist_backward,
}
