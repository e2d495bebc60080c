"""Every law by itself, in numbers; and every law made wrong, which the gates have to notice."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import pytest
import torch
from torch import Tensor

import backhand
from backhand.algebra import coefficients as co
from backhand.algebra import laws
from backhand.algebra.expr import Expr, Group, Via
from backhand.algebra.functions import apply, exp, log
from backhand.algebra.laws import LAWS
from backhand.algebra.normal import (
    ONE,
    add,
    delta,
    grouped,
    mul,
    neg,
    of_atom,
    power,
    reduce,
    ref,
    scaled,
    substitute,
)  # fmt: skip
from backhand.algebra.simplify import collected, expanded
from backhand.shorthand.weigh import Scales, Weight

from .evaluate import Numbers
from .many import apart, gradients

# Constructors of small expressions by a law, and the same value computed without one.

N = {"i": 3, "j": 4, "l": 4}
x, y, z = (ref(name, "i", "j") for name in "xyz")
u, v = ref("u", "i"), ref("v", "j")
s = ref("s", "j", "l")
f = ref("f", "i", "j", flag=True)
g = ref("g", "i", "j", linear=True)
h = ref("h", "i", "j", linear=True)
size = co.number(4)


def in_group(expr: Expr) -> Group:
    (_, [(atom, _)]) = grouped(expr)
    assert isinstance(atom, Group)
    return atom


Both = Callable[[Numbers], tuple[Tensor, Tensor]]


def both(expr: Expr, direct: Callable[[Numbers], Tensor]) -> Both:
    return lambda n: (n.of(expr), direct(n))


def summed(expr: Expr, index: str = "j") -> Callable[[Numbers], Tensor]:
    """The sum over an index, by adding up the values at each."""
    return lambda n: sum(
        (n.of(substitute(expr, {index: i})) for i in range(N[index])), torch.tensor(0.0)
    )


EACH: dict[str, Callable[[], Both]] = {
    "merge_powers": lambda: both(
        mul(power(x, 2), power(x, -3)), lambda n: n.of(x) ** 2 / n.of(x) ** 3
    ),
    "power_of_power": lambda: both(
        power(of_atom(x.terms[0][0].factors[0][0], 3), 2), lambda n: (n.of(x) ** 3) ** 2
    ),
    "power_of_product": lambda: both(
        power(scaled(mul(x, y), co.number(3)), 2), lambda n: (3 * n.of(x) * n.of(y)) ** 2
    ),
    "power_of_flag": lambda: both(power(f, 3), lambda n: n.of(f) ** 3),
    "flag_and_opposite": lambda: both(
        mul(f, apply("not", f), x), lambda n: n.of(f) * (1 - n.of(f)) * n.of(x)
    ),
    "opposite_of_opposite": lambda: both(
        apply("not", apply("not", f)), lambda n: 1 - (1 - n.of(f))
    ),
    "like_terms": lambda: both(
        add(scaled(x, co.number(2)), scaled(x, co.number(3))), lambda n: 2 * n.of(x) + 3 * n.of(x)
    ),
    "distribute": lambda: both(
        mul(x, add(g, neg(h))), lambda n: n.of(x) * (n.of(g) - n.of(h))
    ),
    "common_factor": lambda: both(
        power(add(mul(x, y), mul(x, z)), 2),
        lambda n: (n.of(x) * n.of(y) + n.of(x) * n.of(z)) ** 2,
    ),
    "common_coefficient": lambda: both(
        power(add(scaled(y, co.number(3)), scaled(z, co.number(-3))), 2),
        lambda n: (3 * n.of(y) - 3 * n.of(z)) ** 2,
    ),
    "multiply_out": lambda: both(
        expanded(mul(g, power(add(x, y), 2)), in_group(add(x, y))),
        lambda n: n.of(g) * (n.of(x) + n.of(y)) ** 2,
    ),
    "take_together": lambda: both(
        collected(add(mul(g, x), scaled(mul(g, y), co.number(2))),
                  in_group(add(x, scaled(y, co.number(2))))),
        lambda n: n.of(g) * n.of(x) + 2 * n.of(g) * n.of(y),
    ),
    "sum_of_constant": lambda: both(reduce(u, "j", size), lambda n: 4 * n.of(u)),
    "pull_out": lambda: both(reduce(mul(u, x), "j", size), summed(mul(u, x))),
    "delta_picks": lambda: both(
        reduce(mul(delta("j", Via("Y", ("i",))), x, y), "j", size),
        lambda n: (n.of(x) * n.of(y))[torch.arange(3), n.values["Y"]],
    ),
    "delta_of_equals": lambda: both(
        substitute(mul(delta("i", "j"), u), {"j": "i"}), lambda n: n.of(u)
    ),
    "sum_over_group": lambda: both(
        reduce(mul(u, add(x, y)), "j", size), lambda n: n.of(u) * (n.of(x) + n.of(y)).sum(1)
    ),
    "sum_of_sum": lambda: both(
        reduce(reduce(mul(x, x, y), "i", co.number(3)), "j", size),
        lambda n: (n.of(x) ** 2 * n.of(y)).sum(),
    ),
    "rename_bound": lambda: both(
        reduce(mul(v, reduce(mul(s, s), "l", size)), "j", size),
        lambda n: (n.of(v) * (n.of(s) ** 2).sum(1)).sum(),
    ),
    "exp_of_sum": lambda: both(exp(add(x, y)), lambda n: (n.of(x) + n.of(y)).exp()),
    "exp_of_multiple": lambda: both(
        exp(scaled(x, co.number(-3))), lambda n: (-3 * n.of(x)).exp()
    ),
    "exp_of_log": lambda: both(
        exp(scaled(log(u), co.number(2))), lambda n: (2 * n.of(u).log()).exp()
    ),
    "exp_of_masked": lambda: both(
        exp(apply("masked", x, f)),
        lambda n: n.of(x).masked_fill(n.of(f) == 1, float("-inf")).exp(),
    ),
    "log_of_product": lambda: both(
        log(mul(exp(x), power(exp(y), 2))), lambda n: (n.of(x).exp() * n.of(y).exp() ** 2).log()
    ),
    "log_of_exp": lambda: both(log(exp(x)), lambda n: n.of(x).exp().log()),
}  # fmt: skip
# Laws whose pieces are whole regions': they are tried on regions only, below.
ELSEWHERE = {"swap_sums", "mean_of_sum", "known_value", "unfold_value", "solve_for_factor"}
# Reading a closed form back needs this one, and no region: see test_closed.py.
ELSEWHERE |= {"clear_denominator"}


def test_every_law_is_tried() -> None:
    assert EACH.keys() | ELSEWHERE == LAWS.keys()
    assert WRONG.keys() == LAWS.keys()


@pytest.mark.parametrize("name", EACH)
def test_a_law_holds_in_numbers(name: str) -> None:
    for seed in range(5):
        with laws.recorded() as fired:
            made = EACH[name]()
            ours, truth = torch.broadcast_tensors(*made(Numbers(N, seed)))
        assert name in fired
        torch.testing.assert_close(ours, truth, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", EACH)
def test_a_wrong_law_does_not_hold_in_numbers(name: str) -> None:
    with laws.replaced(name, WRONG[name]):
        ours, truth = EACH[name]()(Numbers(N, 1))
    assert not torch.allclose(*torch.broadcast_tensors(ours, truth), rtol=1e-6, atol=1e-9)


def test_random_expressions_are_what_they_are_made_of() -> None:
    """Several laws at once: a random tree of constructors, against the same tree in numbers."""
    dice = random.Random(0)

    def grow(depth: int) -> tuple[Expr, Callable[[Numbers], Tensor]]:
        if not depth:
            leaf = dice.choice([x, y, z, u, v, f])
            return leaf, lambda n: n.of(leaf, ("i", "j"))
        a, fa = grow(depth - 1)
        kind = dice.randrange(6)
        if kind == 0:
            b, fb = grow(depth - 1)
            return add(a, b), lambda n: fa(n) + fb(n)
        if kind == 1:
            b, fb = grow(depth - 1)
            return mul(a, b), lambda n: fa(n) * fb(n)
        if kind == 2:
            q = dice.choice([2, 3])
            return power(a, q), lambda n: fa(n) ** q
        if kind == 3:
            return reduce(a, "j", size), lambda n: fa(n).sum(1, keepdim=True).expand(3, 4)
        if kind == 4:
            return scaled(a, co.number(-0.5)), lambda n: -0.5 * fa(n)
        return neg(a), lambda n: -fa(n)

    for seed in range(200):
        expr, direct = grow(4)
        n = Numbers(N, seed)
        truth = direct(n)
        gap = (n.of(expr, ("i", "j")) - truth).abs().max()
        assert gap <= 1e-10 * max(1.0, float(truth.abs().max())), expr.key


def test_a_recorder_sees_laws_though_their_results_are_known() -> None:
    for _ in range(2):
        with laws.recorded() as fired:
            power(exp(add(x, y)), 2)
        assert "exp_of_sum" in fired
    with laws.recorded() as outer, laws.recorded() as inner:
        add(x, x)
    assert outer == inner == {"like_terms": 1}


# Wrong laws, one for each.

Q = Fraction


def _last_lost(factors: Any) -> list[Any]:
    return list(factors)[:-1]


WRONG: dict[str, Callable[..., Any]] = {
    "merge_powers": lambda p, q: p + q + 1,
    "power_of_power": lambda p, q: p + q,
    "power_of_product": lambda c, factors, q: (c, [(a, p, q) for a, p in factors]),
    "power_of_flag": lambda q: Q(0),
    "flag_and_opposite": lambda c, others: (c, others),
    "opposite_of_opposite": lambda atom: ONE,
    "like_terms": lambda c, d: co.plus(c, -d),
    "distribute": lambda left, right: [
        (co.times(c, d), [*a, *b]) for c, a in left for d, b in list(right)[:1]
    ],
    "common_factor": lambda mono, common: _last_lost(LAWS["common_factor"].function(mono, common)),
    "common_coefficient": lambda terms, c: list(terms),
    "multiply_out": lambda terms, q: [(k, list(m.factors)) for m, k in terms][:1],
    "take_together": lambda scale, multiple, group: (
        -scale, [*multiple.factors, (group, Q(1))]
    ),
    "clear_denominator": lambda mono, group, k: list(mono.factors),
    "sum_of_constant": lambda c, size: c,
    "pull_out": lambda factors, index: (
        [f for f in factors if index in f[0].free], []
    ),
    "delta_picks": lambda inside, delta, index: (
        [f for f in inside if f[0] is not delta][:-1], delta.b if delta.a == index else delta.a
    ),
    "delta_of_equals": lambda: co.number(2),
    "sum_over_group": lambda group: group.expr.terms[:-1],
    "sum_of_sum": lambda index, size, red: (
        [(index, size), *red.bound], [(a, 2 * q) for a, q in red.mono.factors]
    ),
    "rename_bound": lambda names, depth: dict.fromkeys(names, "r1_0"),
    "swap_sums": lambda rest, moved, kept: ([rest, moved], [kept, kept]),
    "mean_of_sum": lambda c, size: c,
    "exp_of_sum": lambda expr: expr.terms[:-1],
    "exp_of_multiple": lambda q: (Q(1, q.denominator), abs(q.numerator) + 1),
    "exp_of_log": lambda q: q + 1,
    "exp_of_masked": lambda atom: (atom.args[0], ("not", apply("not", atom.args[1]))),
    "log_of_product": lambda factors: _last_lost(factors),
    "log_of_exp": lambda atom: scaled(atom.args[0], co.number(2)),
    "known_value": lambda mono, definition, q: [
        *mono.factors, *((a, -p * (q + 1)) for a, p in definition.factors)
    ],
    "unfold_value": lambda definition, q: (definition, -q),
    "solve_for_factor": lambda c, value, factors, atom: (
        c, [(value, -1 / factors[atom]), *((a, -p) for a, p in factors.items() if a != atom)]
    ),
}  # fmt: skip


# Regions that need the laws, and what becomes of them where one law is wrong.


def softmax_by_hand(x: Tensor) -> Tensor:
    e = (x - x.amax(1, keepdim=True)).exp()
    return e / e.sum(1, keepdim=True)


def cross_entropy(x: Tensor, y: Tensor) -> Tensor:
    e = x.exp()
    logprobs = (e / e.sum(1, keepdim=True)).log()
    return -logprobs[torch.arange(4), y].mean()


def batch_norm(x: Tensor, g: Tensor, b: Tensor) -> Tensor:
    d = x - x.mean(0, keepdim=True)
    r = ((d**2).sum(0, keepdim=True) / (x.shape[0] - 1) + 1e-5) ** -0.5
    raw = d * r
    return g * raw + b


def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    e = (q @ k.T).exp()
    p = e / e.sum(1, keepdim=True)
    return p @ v


def logistic(x: Tensor, t: Tensor) -> Tensor:
    p = torch.sigmoid(x)
    return -(t * p.log() + (1 - t) * (1 - p).log()).mean()


def masked(x: Tensor, m: Tensor) -> Tensor:
    return torch.softmax(x.masked_fill(m, float("-inf")), 1)


def chosen(x: Tensor, m: Tensor) -> Tensor:
    y = torch.where(m, x, 2 * x) * torch.where(m, x, x**3)
    return torch.where(torch.logical_not(m), y, y**2).sum(1)


def smoothed(x: Tensor, t: Tensor) -> Tensor:
    logprobs = torch.log_softmax(x, 1)
    return -(0.9 * t * logprobs + 0.1 / x.shape[1] * logprobs).sum(1).mean()


def normed(x: Tensor) -> Tensor:
    return x / (x**2).sum(1, keepdim=True).sqrt()


def focal(x: Tensor) -> Tensor:
    p = torch.softmax(x, 1)
    return (-((1 - p) ** 2) * p.log()).sum(1).mean()


def picked(x: Tensor, y: Tensor) -> Tensor:
    p = torch.softmax(x, 1)
    return (p.gather(1, y.unsqueeze(1)) ** 2).sum()


def root_mean_square(x: Tensor, g: Tensor) -> Tensor:
    return x / (x**2).mean(1, keepdim=True).sqrt() * g


def of_length_one(x: Tensor) -> Tensor:
    return x / (x**2).sum(1).sum(0).sqrt()


def margins(x: Tensor, y: Tensor) -> Tensor:
    right = (torch.nn.functional.one_hot(y, x.shape[1]) * x).sum(1, keepdim=True)
    return torch.logsumexp(x - right, 1).sum()


def at_the_label(x: Tensor, y: Tensor) -> Tensor:
    t = 0.9 * torch.nn.functional.one_hot(y, x.shape[1]) + 0.1 / x.shape[1]
    return (t * torch.softmax(x, 1)).gather(1, y.unsqueeze(1)).sum()


def real(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3), dtype=torch.float64)


LABELS = torch.tensor([0, 2, 1, 4])
SOME = torch.tensor([[0, 1, 0, 0, 1], [0, 0, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 1]]).bool()
REGIONS: list[tuple[Callable[..., Any], tuple[Tensor, ...]]] = [
    (softmax_by_hand, (real(4, 5),)),
    (cross_entropy, (real(4, 5), LABELS)),
    (batch_norm, (real(4, 5), real(5), real(5))),
    (attention, (real(4, 3), real(5, 3), real(5, 2))),
    (logistic, (real(4, 5), torch.rand(4, 5, dtype=torch.float64))),
    (masked, (real(4, 5), SOME)),
    (chosen, (real(4, 5), SOME)),
    (smoothed, (real(4, 5), torch.softmax(real(4, 5), 1))),
    (normed, (real(4, 5),)),
    (focal, (real(4, 5),)),
    (picked, (real(4, 5), LABELS)),
    (root_mean_square, (real(4, 5), real(5))),
    (of_length_one, (real(4, 5),)),
    (margins, (real(4, 5), LABELS)),
    (at_the_label, (real(4, 5), LABELS)),
]


def refused(bp: backhand.Backprop) -> set[str]:
    """The closed forms that a gate refused, by region and reason."""
    by_gates = ("with fifty digits", "in float64", "in float32", " has the shape ")
    return {
        f"{[t.name for t in region.targets]} {refusal.reason}"
        for region in bp.regions
        for refusal in region.refusals
        if any(words in refusal.reason for words in by_gates)
    }


def solved(forward: Callable[..., Any], inputs: tuple[Tensor, ...]) -> backhand.Backprop:
    """The longhand counts as dear, so that every form comes before the gates."""
    known: set[int] = set()
    right = Scales.weigh

    def weigh(self: Scales, nodes: Any, targets: Any) -> Weight:
        if id(targets) not in known:  # the region's longhand is weighed first
            known.add(id(targets))
            return Weight(10**9, 10**9, 1e9)
        return right(self, nodes, targets)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Scales, "weigh", weigh)
        bp = backhand.derive(forward, *inputs)
        assert bp.regions
    return bp


RIGHT: dict[str, tuple[set[str], set[str]]] = {}


def before(forward: Callable[..., Any], inputs: tuple[Tensor, ...]) -> tuple[set[str], set[str]]:
    """What the gates refuse where the laws are right, and the laws that are applied."""
    if forward.__name__ not in RIGHT:
        with laws.recorded() as fired:
            refusals = refused(solved(forward, inputs))
        RIGHT[forward.__name__] = refusals, set(fired)
    return RIGHT[forward.__name__]


# Reading a closed form back is a check by itself, with no gate behind it: test_closed.py makes its
# law wrong.
@pytest.mark.parametrize("name", [name for name in LAWS if name != "clear_denominator"])
def test_a_wrong_law_is_caught_by_the_gates(name: str) -> None:
    """Whatever is accepted is right, and somewhere a gate refused what it had not seen before."""
    noticed: dict[str, set[str]] = {}
    tried = 0
    for forward, inputs in REGIONS:
        refusals, fired = before(forward, inputs)
        if name not in fired:
            continue  # a law that is not applied makes nothing wrong
        if noticed and tried >= 2:
            break
        tried += 1
        with laws.replaced(name, WRONG[name]):
            bp = solved(forward, inputs)
            after = refused(bp)
            values = [t.clone() for t in inputs]
            ours = gradients(bp, values, "shorthand", "plain")
        truth = gradients(bp, values, "longhand", "plain")
        assert apart(ours, truth) is None, f"{forward.__name__}: {apart(ours, truth)}"
        assert set(bp.gradient_names) <= ours.keys()
        if after - refusals:
            noticed[forward.__name__] = after - refusals
    assert noticed


def test_the_regions_need_the_laws() -> None:
    used = {name for forward, inputs in REGIONS for name in before(forward, inputs)[1]}
    assert LAWS.keys() - used == {"clear_denominator"}
