"""Linear systems and factorisations of square matrices."""

from __future__ import annotations

from ..program.build import Var, many, op
from ..program.ops import get_op
from .base import Context, Gradients, T, kernel, rule, sample
from .linalg import swapped

SQUARES = (sample(T((3, 3))), sample(T((2, 3, 3))))


@rule("linalg_inv", SQUARES, domain="a singular matrix has no inverse: torch raises an error",
      tex={"A": "-A^{-\\top}\\, g\\, A^{-\\top}"})
def _inv(c: Context) -> Gradients:
    inverse = swapped(c.y)
    return {"A": -(inverse @ (c.g @ inverse))}


@rule(
    "linalg_solve",
    (
        sample(T((3, 3)), T((3, 2))),
        sample(T((3, 3)), T((3,))),
        sample(T((2, 3, 3)), T((2, 3, 2))),
        sample(T((2, 3, 3)), T((2, 3))),
        sample(T((2, 2)), T((3, 2)), left=False),
    ),
    domain="a singular matrix has no solution: torch raises an error",
    tex={"A": "-A^{-\\top} g\\, X^\\top", "B": "A^{-\\top} g"},
)
def _solve(c: Context) -> Gradients:
    a, b, x, g, left = c["A"], c["B"], c.y, c.g, c["left"]
    vector = b.rank == 1 or (b.rank == a.rank - 1 and b.shape == a.shape[:-1])
    if vector:
        x, g = op.unsqueeze(x, -1), op.unsqueeze(g, -1)
    factors = many.linalg_lu_factor(a)
    g_b = op.linalg_lu_solve(*factors, g, left=left, adjoint=True)
    out: dict[str, Var] = {}
    if c.needs("A"):
        out["A"] = -(g_b @ swapped(x)) if left else -(swapped(x) @ g_b)
    if c.needs("B"):
        out["B"] = op.squeeze(g_b, -1) if vector else g_b
    return out


def solve_triangular(
    a: Var, b: Var, upper: bool, left: bool = True, unitriangular: bool = False
) -> Var:
    """A triangular system whose solution has the shape of ``b``, which torch cannot always tell."""
    row = get_op("linalg_solve_triangular")
    how = {"upper": upper, "left": left, "unitriangular": unitriangular}
    out: Var = b.builder.emit(row, row.bind((a, b), how), b.fake)
    return out


@rule(
    "linalg_solve_triangular",
    (
        sample(T((3, 3)), T((3, 2)), upper=True),
        sample(T((2, 3, 3)), T((2, 3, 2)), upper=False),
        sample(T((3, 3)), T((2, 3)), upper=True, left=False),
        sample(T((3, 3)), T((3, 2)), upper=False, unitriangular=True),
    ),
    domain="a zero on the diagonal gives infinities",
    tex={"x": "-\\mathrm{tri}(A^{-\\top} g\\, X^\\top)", "B": "A^{-\\top} g"},
)
def _solve_triangular(c: Context) -> Gradients:
    a, y, left, upper, unit = c.x, c.y, c["left"], c["upper"], c["unitriangular"]
    g_b = solve_triangular(swapped(a), c.g, not upper, left, unit)
    out: dict[str, Var] = {"B": g_b}
    if c.needs("x"):
        g_a = -(g_b @ swapped(y)) if left else -(swapped(y) @ g_b)
        out["x"] = op.triu(g_a, int(unit)) if upper else op.tril(g_a, -int(unit))
    return out


@rule("linalg_matrix_exp", SQUARES, tex={"x": "\\int_0^1 e^{s A^\\top} g\\, e^{(1-s) A^\\top} d s"})
def _matrix_exp(c: Context) -> Gradients:
    # the exponential of [[A.T, g], [0, A.T]] holds the derivative in its upper right corner
    n = c.x.shape[-1]
    a, g = swapped(c.x), c.g
    top = op.cat((a, g), -1)
    bottom = op.cat((op.zeros_like(a), a), -1)
    whole = op.linalg_matrix_exp(op.cat((top, bottom), -2))
    corner = op.slice(whole, c.x.rank - 2, None, n)
    return {"x": op.slice(corner, c.x.rank - 1, n, None)}


kernel("the factors of a linear system: their own gradient has no rule",
       "linalg_lu_factor", "linalg_lu_solve")
