"""Closed forms for the backward pass, region by region.

The longhand is read into index notation line by line. A region is what lies between gradients that
have to be there: those that a contraction reads, those that are asked for. Each of these is
simplified, written in terms of the values that are cheapest to keep, and spelled out again; the
region takes its closed form if that costs less than its longhand.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from dataclasses import replace
from itertools import combinations
from time import process_time

from ..algebra.expr import Atom, Expr, Fn, Group, Red, Ref, inner_atoms
from ..algebra.normal import (
    ONE,
    TooLarge,
    grouped,
    positive,
)
from ..algebra.read import Reader, Unreadable, leaf
from ..algebra.simplify import rebased
from ..errors import ProgramError
from ..longhand import Backward
from ..program.build import SizeContext, Var
from ..program.ir import Node, Program, Value
from ..program.ops import get_op
from .blocks import Block, names_in
from .compose import Composer, NotWorthwhile
from .contract import contraction, through
from .gates import Gates
from .known import at_index, blocks_of, deep, form_of, named, rebased_block, solved_for
from .lighter import lightest
from .regions import Line, Refusal, Region, carries, regions_of
from .sketch import NO_FAKE, Sketch, Unsketched
from .twins import Difference, Twin, key
from .weigh import Scales, Weight

MOST_FORMS = 24  # choices of kept values tried per region
MOST_JUDGED = 6  # forms per region that are put before the gates
MOST_SECONDS = 20  # of search per region, so that no region hangs; twice that for the gates
MOST_LEAVES = 6  # terms up to which a forward sum is unfolded


class Solver:
    """Solves every region of one backward pass."""

    def __init__(
        self,
        forward: Program,
        derived: Backward,
        context: SizeContext,
        holds: Callable[[Mapping[str, int]], bool] | None = None,
        taken: Collection[str] = (),
    ) -> None:
        self.holds = holds
        self.forward, self.derived, self.context = forward, derived, context
        self.values = {v.name: v for v in (*forward.values(), *derived.program.values())}
        self.forward_names = {v.name for v in forward.values()}
        self.order = {name: i for i, name in enumerate(self.values)}
        # the gradient of a scalar loss, which is 1
        self.unit: Ref | None = None
        if len(derived.upstream) == 1 and derived.upstream[0].shape == ():
            self.unit = Ref(derived.upstream[0].name, (), True)
        names = {*self.values, *taken, *(s.name for s in context.symbols)}
        self.builder = Sketch(context, names)
        self.variables = {name: Var(self.builder, v, NO_FAKE) for name, v in self.values.items()}
        self.reader = Reader()
        self.definitions: dict[str, Expr] = {}  # of gradients that have a line
        self.contractions: dict[str, Expr] = {}
        self._read_forward()
        self.forward_blocks = self._blocks(forward.values())
        self.leaves = [  # values without a reading, with the tensors that they are made of
            (out.name, frozenset().union(*map(self._tensors, node.operands())))
            for node in forward.nodes()
            for out in node.outs
            if self._is_leaf(out) and get_op(node.op).kind != "contraction"
        ]
        self.sums = self._forward_sums()
        self.consumers: dict[str, list[Node]] = {}
        for node in derived.program.nodes():
            for name in dict.fromkeys(v.name for v in node.operands()):
                self.consumers.setdefault(name, []).append(node)

    # reading

    def _read_forward(self) -> None:
        uses: dict[str, int] = {}
        for node in self.forward.nodes():
            for v in node.operands():
                uses[v.name] = uses.get(v.name, 0) + 1
        for node in self.forward.nodes():
            try:
                found = self.reader.node(node)
            except (Unreadable, TooLarge, ProgramError):
                found = tuple(leaf(v) for v in node.outs)
            for value, expr in zip(node.outs, found, strict=False):
                self.reader.known[value.name] = (
                    leaf(value) if self._starts_anew(value, expr, uses) else expr
                )
            for value in node.outs[len(found) :]:
                self.reader.known[value.name] = leaf(value)
            product = contraction(self.reader, node)
            if product is not None:
                self.contractions[node.outs[0].name] = product

    def _starts_anew(self, value: Value, expr: Expr, uses: Mapping[str, int]) -> bool:
        """A sum of independent tensors that is read more than once: a region begins with it."""
        if len(expr.terms) > MOST_LEAVES:
            return True
        if len(expr.terms) < 2 or uses.get(value.name, 0) < 2 or value.var is None:
            return False
        names = [a for a in expr.atoms()]
        return len(set(names)) >= 2 and all(isinstance(a, Ref) for a in names)

    def _blocks(self, values: Iterable[Value]) -> list[Block]:
        out: list[Block] = []
        for value in values:
            expr = self.reader.known.get(value.name)
            if expr is None or not value.floating:
                continue
            cost = 1.0 if value.var is not None else 1.5
            out += blocks_of(value, expr, cost)
        return out

    def _forward_sums(self) -> list[Group]:
        out = []
        for value in self.forward.values():
            expr = self.reader.known.get(value.name)
            if expr is not None and 1 < len(expr.terms) <= 3:
                _, factors = grouped(expr)
                out += [a for a, q in factors if isinstance(a, Group) and q == 1]
        return list(dict.fromkeys(out))

    # regions

    def solve(self) -> list[Region]:
        """Every region, with its closed form if it has one worth having."""
        opaque, targets = self._targets()
        shared = [
            n
            for n in self.derived.program.nodes()
            if not any(v.name in self.linear for v in n.outs)
        ]
        every = list(self.derived.program.nodes())
        self.scales = Scales(self.forward, shared, self.context.hints())
        self.gates = Gates(self.forward, shared, every, self.derived.upstream, self.holds)
        regions = regions_of(self.derived.program, opaque, targets, self.linear)
        extra: list[Block] = []
        self.makers = {v.name: n for n in (*self.forward.nodes(), *every) for v in n.outs}
        self.calls = {(n.op, *map(key, n.args)): n for n in self.forward.nodes()}
        solved: dict[tuple[str, ...], list[Region]] = {}
        for region in regions:
            alike = solved.setdefault(tuple(n.op for n in region.nodes), [])
            if not any(self._copied(other, region) for other in alike):
                self.solve_region(region, extra)
                alike.append(region)
            for line in region.lines:
                extra += blocks_of(line.value, line.expr, 0.4)
        return regions

    def _targets(self) -> tuple[set[int], set[str]]:
        """The nodes that have no reading, and the gradients that have to be there."""
        reader = Reader(self.reader.known)
        reader.counters = self.reader.counters
        linear = {v.name for v in self.derived.upstream}
        for v in self.derived.upstream:
            reader.known[v.name] = leaf(v, True)
        opaque: set[int] = set()
        self.unread: dict[int, str] = {}
        targets = {v.name for v in self.derived.program.outputs}
        for node in self.derived.program.nodes():
            carrying = carries(node, linear)
            try:
                found = reader.node(node)
            except (Unreadable, TooLarge, ProgramError) as error:
                found = tuple(leaf(v, carrying) for v in node.outs)
                opaque.add(id(node))
                if get_op(node.op).kind not in ("contraction", "view"):
                    self.unread[id(node)] = f"{node.op} is left as it is: {error}"
                product = contraction(reader, node)
                if product is not None:
                    self.contractions[node.outs[0].name] = product
                if carrying:
                    targets |= {v.name for v in node.operands() if v.name in linear}
            if node.op == "identity" and carrying and node.outs[0].var is not None:
                source = next(node.operands())
                if reader.known[source.name] == leaf(source, True) and source.var is None:
                    # the name of a gradient that a contraction has made
                    found = (leaf(node.outs[0], True),)
                    opaque.add(id(node))
                    targets.add(source.name)
                    if source.name in self.contractions:
                        self.contractions[node.outs[0].name] = self.contractions[source.name]
            for value, expr in zip(node.outs, found, strict=False):
                reader.known[value.name] = expr
                if carrying:
                    linear.add(value.name)
                if value.name in targets or self._mixes(value, expr):
                    targets.add(value.name)
                    reader.known[value.name] = leaf(value, True)
        self.linear, self.opaque = linear, opaque
        # what the forward pass and the opaque nodes hold is known to every region
        self.base = {k: e for k, e in reader.known.items() if not e.linear}
        self.counters = reader.counters
        return opaque, targets & linear

    def _mixes(self, value: Value, expr: Expr) -> bool:
        """A sum of several gradients, read more than once."""
        if not expr.linear or len(self.consumers.get(value.name, ())) < 2:
            return False
        leaves = {
            a.name for m, _ in expr.terms for a, _ in m.factors if isinstance(a, Ref) and a.linear
        }
        return len(leaves) > 1

    def solve_region(self, region: Region, extra: Sequence[Block]) -> None:
        region.longhand = self.scales.weigh(region.nodes, region.targets)
        region.refusals += self._unread_beside(region)
        if sum(get_op(n.op).kind != "view" and n.op != "identity" for n in region.nodes) < 2:
            region.refusals.append(Refusal("one operator: there is nothing to shorten"))
            return
        end = process_time() + MOST_SECONDS
        found: list[tuple[Weight, tuple[Line, ...]]] = []
        spelled: set[str] = set()
        for cuts in self._cuts(region):
            try:
                exprs = self._expressions(region, cuts)
            except (Unreadable, TooLarge, ProgramError) as error:
                region.refusals.append(Refusal(str(error)))
                continue
            for lines in self._forms(region, exprs, extra):
                text = form_of(lines)
                if text not in spelled:
                    spelled.add(text)
                    found.append((self._weight(lines, region), lines))
                if process_time() > end:
                    break
            if process_time() > end:
                region.refusals.append(Refusal(f"the search ended after {MOST_SECONDS} s"))
                break
        found.sort(key=lambda f: f[0])
        self._judge(region, found, end)
        self.gates.done()

    def _judge(
        self, region: Region, found: list[tuple[Weight, tuple[Line, ...]]], end: float
    ) -> None:
        """Take the lightest form that passes the gates; ``end``: of the search, as a clock."""
        assert region.longhand is not None
        for weight, lines in found[:MOST_JUDGED]:
            if not weight < region.longhand:
                region.refusals.append(Refusal("costs no less than the longhand", lines))
                return
            if process_time() > 2 * MOST_SECONDS + end:
                region.refusals.append(Refusal(f"judging took more than {2 * MOST_SECONDS} s"))
                return
            made = [n for line in lines for n in line.nodes]
            # every line is printed, so every line is judged, those in between too
            judged = [line.value for line in lines]
            reason = self.gates.refusal(region.nodes, made, region.given, judged)
            uncounted = self.gates.uncounted
            reason = reason or self._refusal_of_unit(region, lines)
            if reason is None:
                region.weight, region.lines = weight, lines
                region.uncounted = uncounted
                return
            region.refusals.append(Refusal(reason, lines))
        better = sum(weight < region.longhand for weight, _ in found)
        if better > MOST_JUDGED:
            region.refusals.append(
                Refusal(f"of {better} better forms only the best {MOST_JUDGED} were judged")
            )

    def _unread_beside(self, region: Region) -> list[Refusal]:
        """Why the region ends where it does, where a better reading could make it larger."""
        made = {v.name for v in region.targets}
        before = [self.makers[v.name] for v in region.given if v.name in self.makers]
        after = [n for name in made for n in self.consumers.get(name, ())]
        reasons = {id(n): self.unread[id(n)] for n in (*before, *after) if id(n) in self.unread}
        return [Refusal(reason) for reason in reasons.values()]

    def _copied(self, other: Region, region: Region) -> bool:
        """Whether the region is another one up to names, whose closed form it then has."""
        try:
            twin = Twin(other, region, self.makers, self._is_leaf, self.calls)
            lines = twin.lines(other.lines, self.builder.fresh)
            exprs = self._expressions(region, tuple(v.value.name for v in lines)) if lines else []
        except (Difference, Unreadable, TooLarge, ProgramError):
            return False
        of = {value.name: expr for value, expr in exprs}
        if any(line.value.name not in of for line in lines):
            return False
        region.longhand = self.scales.weigh(region.nodes, region.targets)
        if lines:
            region.lines = tuple(replace(line, expr=of[line.value.name]) for line in lines)
            region.weight = self._weight(region.lines, region)
        region.refusals = [Refusal(r.reason) for r in other.refusals]
        return True

    def _is_leaf(self, value: Value) -> bool:
        known = self.reader.known.get(value.name)
        return known is not None and known == leaf(value)

    def _weight(self, lines: Sequence[Line], region: Region) -> Weight:
        """The weight of a closed form as it is printed; a line more has to be worth it."""
        made = [n for line in lines for n in line.unit or line.nodes]
        found = self.scales.weigh(made, region.targets)
        more = (len(lines) - len(region.targets)) / 4
        return replace(found, operators=found.operators + more)

    def _large(self, value: Value, region: Region) -> bool:
        largest = max(self.scales.extent.elements(v) for v in (*region.given, *region.targets))
        return self.scales.large(value, largest)

    def _refusal_of_unit(self, region: Region, lines: tuple[Line, ...]) -> str | None:
        """The lines as they are where the loss's own gradient is 1: another spelling to judge."""
        if self.unit is None or all(line.unit in ((), line.nodes) for line in lines):
            return None
        given = [v for v in region.given if v.name != self.unit.name]
        loss = self.derived.upstream[0]
        # in double precision, or 1/3 of it would be rounded to the loss's own
        one = Node("full", ((), 1, "float64", None), (loss,))
        nodes = [n for line in lines for n in (line.unit or line.nodes)]
        judged = [line.value for line in lines]
        return self.gates.refusal([one, *region.nodes], [one, *nodes], given, judged)

    def _cuts(self, region: Region) -> list[tuple[str, ...]]:
        """Gradients inside the region that may get a line of their own."""
        inner = {v.name for v in region.targets}
        found = [
            v.name
            for n in region.nodes
            for v in n.outs
            if v.name not in inner
            and len(self.consumers.get(v.name, ())) > 1
            and get_op(n.op).kind != "view"
        ]
        return [(), *((name,) for name in found[:4])]

    def _expressions(self, region: Region, cuts: tuple[str, ...]) -> list[tuple[Value, Expr]]:
        """The region read line by line; cuts and targets are leaves for what follows."""
        reader = Reader(self.base)
        reader.counters = self.counters
        for v in region.given:
            reader.known[v.name] = leaf(v, True)
        wanted = {v.name for v in region.targets} | set(cuts)
        out: list[tuple[Value, Expr]] = []
        local: dict[str, Expr] = {}
        for node in region.nodes:
            found = reader.node(node)
            for value, expr in zip(node.outs, found, strict=True):
                if value.name in wanted:
                    expr = self.simplified(expr, local)
                    local[value.name] = expr
                    out.append((value, expr))
                    expr = leaf(value, True)
                reader.known[value.name] = expr
        self.definitions.update(local)
        return out

    def simplified(self, expr: Expr, local: Mapping[str, Expr]) -> Expr:
        """The lightest of the expression as it stands and with its gradients written out."""

        def define(atom: Atom) -> Expr | None:
            if isinstance(atom, Ref) and atom.linear:
                known = local.get(atom.name) or self.definitions.get(atom.name)
                if known is not None and known.linear:
                    return at_index(known, atom, self.values[atom.name])
            return None

        return lightest(expr, self.sums, self._through_contractions, define)

    def _through_contractions(self, expr: Expr) -> Expr:
        """``Σ_j P_ij dP_ij`` with ``dP = dO @ V.T`` is ``Σ_d dO_id O_id`` if ``O = P @ V``."""
        return through(expr, self.contractions, self.values)

    # spelling

    def _forms(
        self, region: Region, exprs: list[tuple[Value, Expr]], extra: Sequence[Block]
    ) -> Iterable[tuple[Line, ...]]:
        """The region spelled in terms of one choice of kept values after another."""
        # what is made of other tensors has no part in this region, however deep the network is
        here = self._closed(frozenset().union(*(names_in(e) for _, e in exprs)))
        known = [b for b in (*self.forward_blocks, *extra) if b.names <= here]
        small = [b for b in known if not self._large(b.value, region)]
        choices = [(choice, known) for choice in self.choices([e for _, e in exprs], known)]
        elementwise = not any(isinstance(a, Red) for _, e in exprs for a in inner_atoms(e))
        if elementwise and len(small) < len(known):
            # what is large is made again from what is read anyway; not what sums are made of,
            # whose values are the ones that people name
            choices.insert(1, ((), small))
        for choice, blocks in choices:
            try:
                lines = self.spelled(exprs, choice, blocks)
                yield lines
                if sum(n.op == "sigmoid" for line in lines for n in line.nodes) > 1:
                    yield self.spelled(exprs, choice, blocks, complements=True)
            except (NotWorthwhile, TooLarge, ProgramError, Unsketched) as error:
                region.refusals.append(
                    Refusal((str(error) or type(error).__name__).splitlines()[0])
                )

    def _tensors(self, value: Value) -> frozenset[str]:
        known = self.reader.known.get(value.name)
        return frozenset({value.name}) if known is None else names_in(known)

    def _closed(self, names: Set[str]) -> Set[str]:
        """The tensors, with what has no reading and is made of them: a softmax's largest entries
        cancel out of a region, not out of the values that are kept."""
        found = set(names)
        for value, parts in self.leaves:
            if parts <= found:
                found.add(value)
        return found

    def choices(
        self, exprs: list[Expr], known: Sequence[Block]
    ) -> list[tuple[tuple[Block, Atom], ...]]:
        """Which forward values stand for a sum or an exponential that the expressions have."""
        atoms = {
            a for e in exprs for a in deep(e) if isinstance(a, (Group, Fn, Ref)) and not a.linear
        }
        kinds = {type(a).__name__ + str(len(a.free)) for a in atoms}
        options: list[tuple[Block, Atom]] = []
        for block in known:
            if block.function:
                continue
            for atom, q in block.mono.factors:
                wide = isinstance(atom, (Group, Fn, Ref)) and atom.free == block.mono.free
                here = type(atom).__name__ + str(len(atom.free)) in kinds
                others = [a for a, _ in block.mono.factors if a != atom]
                if wide and here and abs(q) == 1 and others and all(map(positive, others)):
                    options.append((block, atom))
        options = options[:8]
        out: list[tuple[tuple[Block, Atom], ...]] = [()]
        out += [(o,) for o in options]
        out += [pair for pair in combinations(options, 2) if pair[0][1] != pair[1][1]]
        return out[:MOST_FORMS]

    def spelled(
        self,
        exprs: list[tuple[Value, Expr]],
        choice: tuple[tuple[Block, Atom], ...],
        blocks: Sequence[Block],
        complements: bool = False,
    ) -> tuple[Line, ...]:
        for block, atom in choice:
            new = solved_for(block, atom)
            exprs = [(v, rebased(e, atom, new)) for v, e in exprs]
            blocks = [
                b if b is block else rebased_block(b, atom, new) for b in blocks if b is not block
            ]
        builder = self.builder
        lines = []
        local: list[Block] = []
        foreign = {b.value.name: b.value for b in blocks if b.value.name not in self.variables}
        made = {name: Var(builder, v, NO_FAKE) for name, v in foreign.items()}
        variables = self.variables | made if made else self.variables
        for value, expr in exprs:
            builder.nodes = []
            every = [*blocks, *local]
            composer = Composer(builder, variables, every, self.order, complements)
            var = composer.compose(expr, value)
            nodes = named(builder, var, value)
            unit: tuple[Node, ...] = ()
            if self.unit is not None:
                builder.nodes = []
                alone = rebased(expr, self.unit, ONE)
                if alone.constant is None:
                    unit = named(builder, composer.compose(alone, value), value)
            lines.append(Line(value, expr, nodes, unit))
            local += blocks_of(value, expr, 0.4)
        return tuple(lines)


__all__ = ["Solver"]
