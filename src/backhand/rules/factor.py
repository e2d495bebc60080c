"""Determinants, and matrices taken apart into factors."""

from __future__ import annotations

from ..errors import UnsupportedError
from ..program.build import Var, many, op
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
    lu, pivots = many.linalg_lu_factor(swapped(a) if turned else a)
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


MATRICES = (sample(T((4, 3)), False), sample(T((3, 4)), False), sample(T((2, 3, 3)), False))


def _skew(x: Var) -> Var:
    return x - swapped(x)


@rule("linalg_svd", MATRICES,
      domain="equal singular values have no vectors of their own: infinities; a matrix that is not "
             "square has one more term, for what its vectors do not span",
      tex={"A": "U\\,((\\mathrm{skew}(U^\\top g_U)\\,S + S\\,\\mathrm{skew}(V^\\top g_V)) / E"
                " + \\mathrm{diag}(g_S))\\,V^\\top"})
def _svd(c: Context) -> Gradients:
    (u, s, vh), (g_u, g_s, g_vh) = c.ys, c.gs
    m, n, k = u.shape[-2], vh.shape[-1], s.shape[-1]
    if c["full_matrices"]:
        # the vectors beyond the singular values are not determined: torch leaves them out
        u, vh = op.slice(u, u.rank - 1, None, k), op.slice(vh, vh.rank - 2, None, k)
        g_u = None if g_u is None else op.slice(g_u, u.rank - 1, None, k)
        g_vh = None if g_vh is None else op.slice(g_vh, vh.rank - 2, None, k)
    hint = u.builder.context.hint
    tall = hint(m) >= hint(n)
    columns, row = op.unsqueeze(s, -1), op.unsqueeze(s, -2)
    if g_u is None and g_vh is None:
        assert g_s is not None
        return {"A": u @ (op.unsqueeze(g_s, -1) * vh) if tall else (u * op.unsqueeze(g_s, -2)) @ vh}
    square = s * s
    gaps = op.unsqueeze(square, -2) - op.unsqueeze(square, -1)
    gaps = op.diagonal_scatter(gaps, op.ones_like(s), 0, -2, -1)
    turn_u = None if g_u is None else _skew(swapped(u) @ g_u)
    turn_v = None if g_vh is None else _skew(vh @ swapped(g_vh))
    if turn_u is not None and turn_v is not None:
        inner = (turn_u * row + columns * turn_v) / gaps
    elif turn_u is not None:
        inner = turn_u / gaps * row
    else:
        assert turn_v is not None
        inner = columns * (turn_v / gaps)
    if g_s is not None:
        inner = inner + op.diag_embed(g_s)
    if hint(m) != hint(k) and g_u is not None:
        rest = g_u / row
        out = u @ inner + rest - u @ (swapped(u) @ rest)
        return {"A": out @ vh}
    if hint(n) != hint(k) and g_vh is not None:
        rest = g_vh / columns
        out = inner @ vh + rest - (rest @ swapped(vh)) @ vh
        return {"A": u @ out}
    return {"A": u @ (inner @ vh) if tall else (u @ inner) @ vh}


@rule("linalg_qr",
      (sample(T((4, 3))), sample(T((3, 3))), sample(T((2, 3, 3))), sample(T((3, 5)))),
      domain="columns that depend on one another give infinities",
      tex={"A": "(g_Q + Q\\,\\mathrm{sym}(g_R R^\\top - Q^\\top g_Q))\\,R^{-\\top}"})
def _qr(c: Context) -> Gradients:
    (q, r), (g_q, g_r) = c.ys, c.gs
    a, hint = c["A"], c["A"].builder.context.hint
    m, n = a.shape[-2:]
    if c["mode"] != "reduced":
        raise UnsupportedError(
            f"a QR factorisation with mode={c['mode']!r} has no gradient",
            hint="use the reduced form",
        )
    inner: Var | None = None if g_r is None else g_r @ swapped(r)
    if g_q is not None:
        along = swapped(q) @ g_q
        inner = -along if inner is None else inner - along
    assert inner is not None
    if hint(m) >= hint(n):
        inner = op.triu(inner)
        both = inner + swapped(inner)
        inner = op.diagonal_scatter(both, op.diagonal(both, 0, -2, -1) * 0.5, 0, -2, -1)
        out = q @ inner
        out = out if g_q is None else out + g_q
        return {"A": solve_triangular(swapped(r), out, upper=False, left=False)}
    inner = op.tril(_skew(-inner))
    square = op.slice(r, r.rank - 1, None, m)
    out = solve_triangular(swapped(square), q @ inner, upper=False, left=False)
    out = op.cat((out, op.new_zeros(out, (*out.shape[:-1], n - m))), -1)
    return {"A": out if g_r is None else out + q @ g_r}


@rule("linalg_pinv", (sample(T((4, 3))), sample(T((3, 4))), sample(T((2, 3, 2)))),
      domain="where the rank changes the inverse jumps: the gradient is that at a fixed rank",
      tex={"x": "-y^\\top g\\,y^\\top + (I - x\\,y)\\,g^\\top y\\,y^\\top"
                " + y^\\top y\\,g^\\top (I - y\\,x)"})
def _pinv(c: Context) -> Gradients:
    x, y, g = c.x, c.y, swapped(c.g)
    turned = swapped(y)
    hint = x.builder.context.hint
    if hint(x.shape[-2]) <= hint(x.shape[-1]):
        k = g @ y
        kt = k @ turned
        first = kt - swapped(y @ k)
        return {"x": first - (x @ y) @ kt + (turned @ y) @ (g - k @ x)}
    k = y @ g
    tk = turned @ k
    first = ((g - x @ k) @ y) @ turned - swapped(k @ y)
    return {"x": first + tk - (tk @ y) @ x}
