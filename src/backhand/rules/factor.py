"""Determinants, and matrices taken apart into factors."""

from __future__ import annotations

from ..program.build import Var, op
from .base import Context, Gradients, T, rule, sample
from .linalg import contiguous, swapped
from .solve import SQUARES, solve_triangular

EPSILON = {"float64": 2.220446049250313e-16, "float32": 1.1920928955078125e-07}
SYMMETRIC = (sample(T((3, 3), "definite")), sample(T((2, 3, 3), "definite")))


@rule("linalg_cholesky", (*SYMMETRIC, sample(T((3, 3), "definite"), upper=True)),
      domain="only one triangle is read, as half of a symmetric matrix: the gradient is symmetric",
      tex={"x": "L^{-\\top}\\,\\Phi(L^\\top g)\\,L^{-1}"})
def _cholesky(c: Context) -> Gradients:
    factor, g = (swapped(c.y), swapped(c.g)) if c["upper"] else (c.y, c.g)
    inner = op.tril(swapped(factor) @ g)
    inner = 0.5 * (inner + swapped(op.tril(inner, -1)))
    inner = solve_triangular(swapped(factor), inner, upper=True)
    return {"x": solve_triangular(factor, inner, upper=False, left=False)}


def _through_inverse(a: Var, scale: Var) -> Var:
    """``scale * A^{-T}``; where A is singular, that of a matrix as near as rounding."""
    # torch factors the transpose of what lies row by row, so that nothing has to be copied
    turned = contiguous(a)
    factors: tuple[Var, Var] = op.linalg_lu_factor(swapped(a) if turned else a)  # type: ignore[assignment]
    lu, pivots = factors
    epsilon = EPSILON.get(a.dtype, EPSILON["float32"])
    lu = lu + op.diag_embed(op.to(op.diagonal(lu, 0, -2, -1).eq(0), lu.dtype) * epsilon)
    wanted = op.diag_embed(op.expand(op.unsqueeze(scale, -1), a.shape[:-1]))
    out: Var = op.linalg_lu_solve(lu, pivots, wanted, adjoint=not turned)
    return out


@rule("linalg_det", SQUARES, domain="at a singular matrix the inverse of one close by is used",
      tex={"A": "g\\,\\det(A)\\,A^{-\\top}"})
def _det(c: Context) -> Gradients:
    return {"A": _through_inverse(c["A"], c.g * c.y)}


@rule("linalg_slogdet", SQUARES, domain="at a singular matrix the inverse of one close by is used",
      tex={"A": "g\\,A^{-\\top}"})
def _slogdet(c: Context) -> Gradients:
    # the sign is constant wherever it has a derivative
    g = c.gs[1]
    return {"A": op.zeros_like(c["A"]) if g is None else _through_inverse(c["A"], g)}


@rule("linalg_eigh", (*SYMMETRIC, sample(T((3, 3), "definite"), "U")),
      domain="equal eigenvalues have no eigenvectors of their own: infinities",
      tex={"x": "V\\,(\\mathrm{diag}(g_\\lambda) + V^\\top g_V / E)\\,V^\\top"})
def _eigh(c: Context) -> Gradients:
    values, vectors = c.ys
    g_values, g_vectors = c.gs
    if g_vectors is None:
        assert g_values is not None
        return {"x": (vectors * op.unsqueeze(g_values, -2)) @ swapped(vectors)}
    # vectors of length one can only turn: the part of the upstream that is no rotation is left out
    turn = swapped(vectors) @ g_vectors
    turn = (turn - swapped(turn)) * 0.5
    gaps = op.unsqueeze(values, -2) - op.unsqueeze(values, -1)
    ones = op.ones_like(values)
    inner = turn / op.diagonal_scatter(gaps, ones, 0, -2, -1)
    along = op.zeros_like(values) if g_values is None else g_values
    inner = op.diagonal_scatter(inner, along, 0, -2, -1)
    return {"x": vectors @ (inner @ swapped(vectors))}
