"""Contractions: products of matrices, vectors and batches of them, in all ranks.

Where autograd multiplies transposed copies because an operand lies column by column in memory, so
does the rule: the two products are equal on paper and can differ in the last bit.
"""

from __future__ import annotations

from typing import Any

from ..program.build import Var, op
from ..program.ir import Node
from .base import Context, Gradients, LastFirst, T, rule, sample

MATMULS = (
    sample(T((3, 4)), T((4, 5))),
    sample(T((4,)), T((4,))),
    sample(T((4,)), T((4, 5))),
    sample(T((3, 4)), T((4,))),
    sample(T((2, 3, 4)), T((4, 5))),
    sample(T((2, 3, 4)), T((2, 4, 5))),
    sample(T((2, 1, 3, 4)), T((5, 4, 2))),
    sample(T((2, 3, 4)), T((4,))),
    sample(T((4,)), T((2, 4, 3))),
    sample(T((3, 4)), T((2, 4, 5))),
    sample(T((1, 3, 4)), T((2, 4, 5))),
    sample(T((2, 3, 4)), T((1, 4, 5))),
    sample(T((3, 0)), T((0, 5))),
    sample(T((0, 3, 4)), T((4, 5))),
)


def swapped(x: Var) -> Var:
    """The matrix transpose: the last two axes exchanged. Twice is the matrix itself."""
    origin = x.builder.origin(x)
    if origin is not None and _swaps(origin[0], x.rank):
        return origin[1]
    out: Var = op.t(x) if x.rank == 2 else op.transpose(x, -2, -1)
    return out


def _swaps(node: Node, rank: int) -> bool:
    """Whether a node exchanges the last two axes and does nothing else."""
    if node.op == "transpose" and rank >= 2:
        return {d % rank for d in node.args[1:] if isinstance(d, int)} == {rank - 2, rank - 1}
    return node.op == "t" and rank == 2


def column_major(x: Var) -> bool:
    """Whether a matrix lies column by column in memory, as a transposed view does."""
    rows, columns = x.example.stride()
    return rows == 1 and columns == x.example.shape[0]


def scaled(x: Var, factor: Any) -> Var:
    """``factor * x``, and ``x`` itself if the factor is 1."""
    return x if isinstance(factor, (int, float)) and factor == 1 else x * factor


def of_left(a: Var, b: Var, g: Var) -> Var:
    """The gradient of ``a`` in the matrix product ``a @ b``."""
    return swapped(b @ swapped(g)) if column_major(a) else g @ swapped(b)


def of_right(a: Var, b: Var, g: Var) -> Var:
    """The gradient of ``b`` in the matrix product ``a @ b``."""
    return swapped(swapped(g) @ a) if column_major(b) else swapped(a) @ g


def rows(x: Var) -> Var:
    """All leading axes joined: the matrix of the vectors along the last axis."""
    out: Var = x if x.rank <= 2 else op.flatten(x, 0, -2)
    return out


def contiguous(x: Var) -> bool:
    """Whether a tensor lies row by row in memory, without gaps."""
    expected = 1
    for size, stride in zip(reversed(x.example.shape), reversed(x.example.stride()), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def _through_rows(g: Var, b: Var) -> Var:
    """``g @ b`` for a matrix ``b``, multiplied as one matrix of all of ``g``'s rows."""
    if g.rank <= 2 or contiguous(g):
        return g @ b
    product: Var = op.view(rows(g) @ b, (*g.shape[:-1], b.shape[-1]))
    return product


@rule("matmul", MATMULS, tex={"x": "g\\,B^\\top", "other": "A^\\top g"})
def _matmul(c: Context) -> Gradients:
    a, b, g = c["x"], c["other"], c.g
    if a.rank == 1 and b.rank == 1:
        return {"x": g * b, "other": g * a}
    if a.rank == 3 and b.rank == 3 and a.shape[0] != b.shape[0]:
        # one matrix against many: torch multiplies it as a matrix if it has a gradient
        if a.shape[0] == 1 and c.needs("x"):
            found = _matrices(c, op.squeeze(a, 0), b, g)
            return LastFirst(found, x=op.unsqueeze(found["x"], 0))
        if b.shape[0] == 1 and c.needs("other"):
            found = _matrices(c, a, op.squeeze(b, 0), g)
            return LastFirst(found, other=op.unsqueeze(found["other"], 0))
    if a.rank == 1:
        return _vector_times(c, a, b, g)
    if b.rank == 1:
        return _times_vector(c, a, b, g)
    return _matrices(c, a, b, g)


def _matrices(c: Context, a: Var, b: Var, g: Var) -> dict[str, Var]:
    out: dict[str, Var] = {} if a.rank == b.rank == 2 else LastFirst()
    if b.rank == 2:
        if c.needs("x"):
            out["x"] = of_left(a, b, g) if a.rank == 2 else _through_rows(g, swapped(b))
        if c.needs("other"):
            out["other"] = of_right(rows(a), b, rows(g))
    elif a.rank == 2 and c.needs("x"):
        # one product of a tall matrix and a.T, which is how the forward pass is computed
        out["x"] = swapped(of_right(rows(swapped(b)), swapped(a), rows(swapped(g))))
        if c.needs("other"):
            out["other"] = swapped(_through_rows(swapped(g), a))
    else:
        if c.needs("x"):
            out["x"] = g @ swapped(b)
        if c.needs("other"):
            out["other"] = swapped(a) @ g
    return out


def _vector_times(c: Context, a: Var, b: Var, g: Var) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        if b.rank == 2:
            out["x"] = op.squeeze(op.unsqueeze(g, 0) @ swapped(b), 0)
        else:
            out["x"] = swapped(rows(swapped(b))) @ op.flatten(g)
    if c.needs("other"):
        out["other"] = op.unsqueeze(a, 1) * op.unsqueeze(g, -2)
    return out


def _times_vector(c: Context, a: Var, b: Var, g: Var) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.unsqueeze(g, -1) * b
    if c.needs("other"):
        out["other"] = swapped(rows(a)) @ (g if g.rank == 1 else op.flatten(g))
    return out


@rule("mm", (MATMULS[0], MATMULS[-2]), tex={"x": "g\\,B^\\top", "mat2": "A^\\top g"})
def _mm(c: Context) -> Gradients:
    a, b = c["x"], c["mat2"]
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = of_left(a, b, c.g)
    if c.needs("mat2"):
        out["mat2"] = of_right(a, b, c.g)
    return out


@rule(
    "addmm",
    (
        sample(T((3, 5)), T((3, 4)), T((4, 5))),
        sample(T((5,)), T((3, 4)), T((4, 5)), beta=0.5, alpha=2.0),
        sample(T(()), T((3, 4)), T((4, 5)), beta=2),
    ),
    tex={"x": "\\beta", "mat1": "\\alpha\\, g\\,B^\\top", "mat2": "\\alpha\\, A^\\top g"},
)
def _addmm(c: Context) -> Gradients:
    a, b, g = c["mat1"], c["mat2"], c.g
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = scaled(g, c["beta"])
    if c.needs("mat1"):
        out["mat1"] = scaled(of_left(a, b, g), c["alpha"])
    if c.needs("mat2"):
        out["mat2"] = scaled(of_right(a, b, g), c["alpha"])
    return out


BATCHES = (sample(T((2, 3, 4)), T((2, 4, 5))), sample(T((0, 3, 4)), T((0, 4, 5))))


@rule("bmm", BATCHES, tex={"x": "g\\,B^\\top", "mat2": "A^\\top g"})
def _bmm(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = c.g @ swapped(c["mat2"])
    if c.needs("mat2"):
        out["mat2"] = swapped(c.x) @ c.g
    return out


@rule(
    "baddbmm",
    (
        sample(T((2, 3, 5)), T((2, 3, 4)), T((2, 4, 5))),
        sample(T((5,)), T((2, 3, 4)), T((2, 4, 5)), beta=0.5, alpha=2.0),
    ),
    tex={"x": "\\beta", "batch1": "\\alpha\\, g\\,B^\\top", "batch2": "\\alpha\\, A^\\top g"},
)
def _baddbmm(c: Context) -> Gradients:
    return _added_batches(c, c.g)


@rule(
    "addbmm",
    (
        sample(T((3, 5)), T((2, 3, 4)), T((2, 4, 5))),
        sample(T((5,)), T((2, 3, 4)), T((2, 4, 5)), beta=0.5, alpha=2.0),
    ),
    tex={"x": "\\beta", "batch1": "\\alpha\\, g\\,B_b^\\top", "batch2": "\\alpha\\, A_b^\\top g"},
)
def _addbmm(c: Context) -> Gradients:
    n, rows_, _ = c["batch1"].shape
    columns = c["batch2"].shape[2]
    return _added_batches(c, op.expand(op.unsqueeze(c.g, 0), (n, rows_, columns)))


def _added_batches(c: Context, g: Var) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = scaled(c.g, c["beta"])
    if c.needs("batch1"):
        out["batch1"] = scaled(g @ swapped(c["batch2"]), c["alpha"])
    if c.needs("batch2"):
        out["batch2"] = scaled(swapped(c["batch1"]) @ g, c["alpha"])
    return out


@rule("mv", (sample(T((3, 4)), T((4,))), sample(T((3, 0)), T((0,)))),
      tex={"x": "g\\,v^\\top", "vec": "A^\\top g"})
def _mv(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.unsqueeze(c.g, -1) * c["vec"]
    if c.needs("vec"):
        out["vec"] = swapped(c.x) @ c.g
    return out


@rule(
    "addmv",
    (
        sample(T((3,)), T((3, 4)), T((4,))),
        sample(T(()), T((3, 4)), T((4,)), beta=0.5, alpha=2.0),
    ),
    tex={"x": "\\beta", "mat": "\\alpha\\, g\\,v^\\top", "vec": "\\alpha\\, A^\\top g"},
)
def _addmv(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = scaled(c.g, c["beta"])
    if c.needs("mat"):
        out["mat"] = scaled(op.unsqueeze(c.g, 1) * c["vec"], c["alpha"])
    if c.needs("vec"):
        out["vec"] = scaled(swapped(c["mat"]) @ c.g, c["alpha"])
    return out


@rule(
    "addr",
    (
        sample(T((3, 4)), T((3,)), T((4,))),
        sample(T(()), T((3,)), T((4,)), beta=0.5, alpha=2.0),
    ),
    tex={"x": "\\beta", "vec1": "\\alpha\\, g\\,v", "vec2": "\\alpha\\, g^\\top u"},
)
def _addr(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = scaled(c.g, c["beta"])
    if c.needs("vec1"):
        out["vec1"] = scaled(c.g @ c["vec2"], c["alpha"])
    if c.needs("vec2"):
        out["vec2"] = scaled(swapped(c.g) @ c["vec1"], c["alpha"])
    return out


DOTS = (sample(T((4,)), T((4,))), sample(T((0,)), T((0,))))


@rule("dot", DOTS, tex={"x": "b", "tensor": "a"})
def _dot(c: Context) -> Gradients:
    return {"x": c.g * c["tensor"], "tensor": c.g * c.x}


@rule("vdot", DOTS, tex={"x": "b", "other": "a"})
def _vdot(c: Context) -> Gradients:
    return {"x": c.g * c["other"], "other": c.g * c.x}


@rule(
    "linear",
    (
        sample(T((3, 4)), T((5, 4)), T((5,))),
        sample(T((3, 4)), T((5, 4))),
        sample(T((2, 3, 4)), T((5, 4)), T((5,))),
        sample(T((2, 3, 4)), T((5, 4))),
        sample(T((4,)), T((5, 4)), T((5,))),
        sample(T((4,)), T((4,))),
    ),
    tex={"x": "g\\,W", "weight": "g^\\top x", "bias": "1"},
)
def _linear(c: Context) -> Gradients:
    x, w, g = c.x, c["weight"], c.g
    out: dict[str, Var] = LastFirst() if x.rank == 1 else {}
    if w.rank == 1:
        if c.needs("x"):
            out["x"] = op.unsqueeze(g, -1) * w
        if c.needs("weight"):
            out["weight"] = g * x if x.rank == 1 else swapped(rows(x)) @ op.flatten(g)
    elif x.rank == 1:
        if c.needs("x"):
            out["x"] = op.squeeze(op.unsqueeze(g, 0) @ w, 0)
        if c.needs("weight"):
            out["weight"] = op.unsqueeze(g, 1) * x
    else:
        if c.needs("x"):
            out["x"] = _through_rows(g, w)
        if c.needs("weight"):
            # the forward pass multiplies by w.T
            out["weight"] = swapped(of_right(rows(x), swapped(w), rows(g)))
    if c.needs("bias"):
        out["bias"] = g
    return out


@rule("linalg_cross", (sample(T((4, 3)), T((4, 3))), sample(T((3, 2)), T((3, 1)), dim=0)),
      tex={"x": "b \\times g", "other": "g \\times a"})
def _cross(c: Context) -> Gradients:
    out: dict[str, Var] = {}
    if c.needs("x"):
        out["x"] = op.linalg_cross(c["other"], c.g, dim=c["dim"])
    if c.needs("other"):
        out["other"] = op.linalg_cross(c.g, c.x, dim=c["dim"])
    return out


@rule("trace", (sample(T((3, 3))), sample(T((3, 5))), sample(T((4, 2)))), tex={"x": "\\delta_{ij}"})
def _trace(c: Context) -> Gradients:
    length = op.diagonal(c.x).shape
    on_diagonal = op.expand(op.unsqueeze(c.g, 0), length)
    return {"x": op.diagonal_scatter(op.new_zeros(c.g, c.x.shape), on_diagonal)}


@rule(
    "einsum",
    (
        sample("ij,jk->ik", (T((3, 4)), T((4, 5)))),
        sample("bij,bjk->bik", (T((2, 3, 4)), T((2, 4, 5)))),
        sample("bhqd,bhkd->bhqk", (T((2, 2, 3, 4)), T((2, 2, 5, 4)))),
        sample("i,j->ij", (T((3,)), T((4,)))),
        sample("ij->j", (T((3, 4)),)),
        sample("ij,jk,k->i", (T((3, 4)), T((4, 5)), T((5,)))),
        sample("ij,kl->i", (T((3, 4)), T((2, 5)))),
    ),
    tex={"operands": "\\text{the same einsum with } g \\text{ in the operand's place}"},
)
def _einsum(c: Context) -> Gradients:
    inputs, output = c["equation"].split("->")
    letters = inputs.split(",")
    operands, g = c["operands"], c.g
    gradients: list[Var] = []
    for i, own in enumerate(letters):
        others = [(o, t) for j, (o, t) in enumerate(zip(letters, operands, strict=True)) if j != i]
        known = set(output).union(*(o for o, _ in others)) if others else set(output)
        kept = "".join(letter for letter in own if letter in known)
        equation = ",".join([output, *(o for o, _ in others)]) + "->" + kept
        same = not others and kept == output
        piece = g if same else op.einsum(equation, (g, *(t for _, t in others)))
        for axis, letter in enumerate(own):
            if letter not in known:  # summed over by itself: the gradient is the same all along it
                piece = op.unsqueeze(piece, axis)
        gradients.append(piece)
    return LastFirst(operands=tuple(gradients))
