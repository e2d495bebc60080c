"""What the values at hand stand for: blocks of one value, blocks and lines rewritten."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from ..algebra import coefficients as co
from ..algebra import laws
from ..algebra.expr import Atom, Delta, Expr, Fn, Group, Mono, Red, Ref, inner_atoms
from ..algebra.functions import exp
from ..algebra.match import mono_expr
from ..algebra.normal import add, grouped, mul, neg, of_atom, substitute, term
from ..algebra.read import axis
from ..algebra.simplify import rebased
from ..errors import ProgramError
from ..program.build import Builder, Var
from ..program.ir import Node, Value, map_arg
from .blocks import Block
from .regions import Line


def blocks_of(value: Value, expr: Expr, cost: float) -> list[Block]:
    if len(expr.terms) == 1:
        (mono, c), *_ = expr.terms
        first = mono.factors[0] if len(mono.factors) == 1 else None
        # reading a one-hot matrix is a pass, making it again is none
        plain = first and first[1] == 1 and isinstance(first[0], (Ref, Delta))
        if plain or not mono.factors:
            return []
        return [Block(value, mono, c, cost), *_complement(value, mono, c, cost)]
    if not expr.terms:
        return []
    found = []
    c, factors = grouped(expr)
    if factors:
        found.append(Block(value, Mono(factors), c, cost))
    if any(isinstance(a, Fn) and a.name == "log" for a in inner_atoms(expr)):
        try:
            e = exp(expr)
        except ProgramError:  # the logarithm of a sum of nothing
            return found
        if len(e.terms) == 1:
            (mono, c), *_ = e.terms
            found.append(Block(value, mono, c, cost + 1, "exp"))
    return found


def _complement(value: Value, mono: Mono, c: co.Coefficient, cost: float) -> list[Block]:
    """``1 - p`` for ``p = e / (1 + e)``, which is one term as well."""
    for atom, q in mono.factors:
        if isinstance(atom, Group) and q == -1:
            rest = term(c, [f for f in mono.factors if f[0] is not atom])
            left = mul(add(atom.expr, neg(rest)), of_atom(atom, -1))
            if len(left.terms) == 1 and not mono.linear:
                (other, k), *_ = left.terms
                return [Block(value, other, k, cost + 0.5, "complement")]
    return []


def form_of(lines: Sequence[Line]) -> str:
    """The lines as text, equal for forms that differ in the names of what they make."""
    names: dict[str, str] = {}
    out = []
    for node in (n for line in lines for n in line.nodes):
        args = map_arg(node.args, lambda v: names.get(v.name, v.name))
        names.update((v.name, f"_{len(names)}") for v in node.outs)
        out.append(f"{node.op}{args!r}")
    return ";".join(out)


def rebased_block(block: Block, atom: Atom, new: Expr) -> Block:
    changed = rebased(mono_expr(block.mono), atom, new)
    if len(changed.terms) != 1:
        return block
    (mono, k), *_ = changed.terms
    return replace(block, mono=mono, c=co.times(block.c, k)) if mono.factors else block


def solved_for(block: Block, atom: Atom) -> Expr:
    """An atom of a block's product in terms of the block's value and the other factors."""
    value = Ref(block.value.name, tuple(block.indices))
    return term(*laws.solve_for_factor(block.c, value, block.mono.powers, atom))


def deep(expr: Expr) -> Iterable[Atom]:
    for atom in expr.atoms():
        yield atom
        if isinstance(atom, Red) and atom.linear:
            yield from deep(mono_expr(atom.mono))


def at_index(expr: Expr, atom: Ref, value: Value) -> Expr:
    names = [axis(k) for k, d in enumerate(value.shape) if d != 1]
    return substitute(expr, dict(zip(names, atom.index, strict=True)))


def named(builder: Builder, var: Var, value: Value) -> tuple[Node, ...]:
    """The nodes, with the last value under the name of the gradient that it is."""
    nodes = list(builder.nodes)
    if not nodes or all(o.name != var.value.name for o in nodes[-1].outs):
        nodes.append(Node("identity", (var.value,), (value,)))
        return tuple(nodes)
    outs = tuple(value if o.name == var.value.name else o for o in nodes[-1].outs)
    nodes[-1] = replace(nodes[-1], outs=outs)
    return tuple(nodes)
