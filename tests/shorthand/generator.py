"""Random programs made of what closed forms occur in: normalisations, gates, losses, masks.

Each is spelled in one of the ways in which people spell it: over any axis, with ``keepdim`` or with
the axis put back, with means or sums, by torch's own function or by hand.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field

import torch

from tests.fuzz.program import Input, seeded

Shape = tuple[int, ...]


@dataclass
class Sketch:
    """A program in the making: lines, inputs, and the names and shapes of what there is."""

    dice: random.Random
    lines: list[str] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    shapes: dict[str, Shape] = field(default_factory=dict)
    outputs: list[str] = field(default_factory=list)
    counter: int = 0

    def fresh(self, letter: str = "") -> str:
        self.counter += 1
        return f"{letter or self.dice.choice('habuvsqz')}{self.counter}"

    def let(self, text: str, shape: Shape, letter: str = "") -> str:
        name = self.fresh(letter)
        self.lines.append(f"{name} = {text}")
        self.shapes[name] = shape
        return name

    def given(self, letter: str, shape: Shape, kind: str = "normal") -> str:
        """A new argument."""
        name = self.fresh(letter)
        dtype = {"index": torch.int64, "bool": torch.bool}.get(kind, torch.float64)
        self.inputs.append(Input(name, shape, dtype, kind))
        self.shapes[name] = shape
        return name

    def axis(self, x: str) -> int:
        rank = len(self.shapes[x])
        return self.dice.choice([rank - 1, rank - 1, 0, self.dice.randrange(rank)])

    def reduced(self, what: str, x: str, axis: int, letter: str = "") -> str:
        """``what`` with ``{d}`` in it, reduced over an axis of ``x`` so that it broadcasts."""
        shape = self.shapes[x]
        kept = (*shape[:axis], 1, *shape[axis + 1 :])
        d = axis if self.dice.random() < 0.6 else axis - len(shape)
        if self.dice.random() < 0.7:
            return self.let(what.format(d=f"{d}, keepdim=True"), kept, letter)
        text = what.format(d=d)
        if axis == 0 and self.dice.random() < 0.5:
            return self.let(text, shape[1:], letter)  # broadcasts as it is
        if self.dice.random() < 0.5:
            return self.let(f"({text}).unsqueeze({d})", kept, letter)
        small = self.let(text, (*shape[:axis], *shape[axis + 1 :]), letter)
        return self.let(f"{small}.unsqueeze({axis})", kept)

    def mean(self, what: str, x: str, axis: int, letter: str = "") -> str:
        """A mean over an axis, or a sum divided by the size."""
        n = f"{x}.shape[{axis}]"
        form = self.dice.choice(["({w}).mean({{d}})", "({w}).mean({{d}})", "({w}).sum({{d}}) / {n}",
                                 "1/{n} * ({w}).sum({{d}})"])  # fmt: skip
        return self.reduced(form.format(w=what, n=n), x, axis, letter)

    def whole(self, what: str) -> str:
        """A scalar: a mean or a sum of everything."""
        return self.let(f"({what}).{self.dice.choice(['mean', 'mean', 'sum'])}()", ())

    def positive(self, x: str) -> str:
        text = self.dice.choice(["{0}.exp()", "{0} ** 2 + 0.5", "{0}.abs() + 0.1"])
        return self.let(text.format(x), self.shapes[x])

    def like(self, x: str, name: str) -> str:
        return self.let(name, self.shapes[x])


Block = Callable[[Sketch, str], str]


def softmax(s: Sketch, x: str) -> str:
    axis, dice = s.axis(x), s.dice
    shape = s.shapes[x]
    if dice.random() < 0.25:
        scale = dice.choice(["", "0.5 * ", "2 * "])
        return s.let(f"torch.softmax({scale}{x}, {axis})", shape, "p")
    if dice.random() < 0.5:
        top = s.reduced(dice.choice([f"{x}.amax({{d}})", f"{x}.max({{d}}).values"]), x, axis, "m")
        x = s.let(f"{x} - {top}", shape, "c")
    if dice.random() < 0.2:
        x = s.let(f"{x} / {dice.choice([2, 0.7])}", shape)
    e = s.let(f"{x}.exp()", shape, "e")
    total = s.reduced(f"{e}.sum({{d}})", e, axis, "t")
    if dice.random() < 0.3:
        inverse = s.let(f"{total} ** -1", s.shapes[total])
        return s.let(f"{e} * {inverse}", shape, "p")
    return s.let(f"{e} / {total}", shape, "p")


def log_softmax(s: Sketch, x: str) -> str:
    axis = s.axis(x)
    shape = s.shapes[x]
    form = s.dice.randrange(3)
    if form == 0:
        return s.let(f"torch.log_softmax({x}, {axis})", shape, "l")
    if form == 1:
        total = s.reduced(f"torch.logsumexp({x}, {{d}})", x, axis)
        return s.let(f"{x} - {total}", shape, "l")
    e = s.let(f"{x}.exp()", shape, "e")
    total = s.reduced(f"{e}.sum({{d}})", e, axis)
    return s.let(f"{x} - {total}.log()", shape, "l")


def centred(s: Sketch, x: str) -> str:
    return s.let(f"{x} - {s.mean(x, x, s.axis(x), 'm')}", s.shapes[x], "c")


def standard(s: Sketch, x: str) -> str:
    """Batch, layer and group normalisation without their gains."""
    axis, dice = s.axis(x), s.dice
    shape = s.shapes[x]
    eps = dice.choice([1e-5, 1e-3, 0.1])
    c = s.let(f"{x} - {s.mean(x, x, axis, 'm')}", shape, "c")
    square = dice.choice([f"{c} ** 2", f"{c} * {c}", f"{c}.square()"])
    if dice.random() < 0.3:
        unbiased = f"({square}).sum({{d}}) / ({x}.shape[{axis}] - 1)"
        v = s.reduced(f"({unbiased})", x, axis, "v")
    elif dice.random() < 0.3:
        v = s.reduced(f"{x}.var({{d}}, correction={dice.choice([0, 1])})", x, axis, "v")
    else:
        v = s.mean(square, x, axis, "v")
    root = dice.randrange(4)
    if root == 0:
        return s.let(f"{c} / ({v} + {eps}).sqrt()", shape, "y")
    if root == 1:
        r = s.let(f"({v} + {eps}) ** -0.5", s.shapes[v], "r")
    elif root == 2:
        r = s.let(f"torch.rsqrt({v} + {eps})", s.shapes[v], "r")
    else:
        sd = s.let(f"torch.sqrt({v} + {eps})", s.shapes[v], "d")
        return s.let(f"{c} / {sd}", shape, "y")
    return s.let(f"{c} * {r}", shape, "y")


def library_norm(s: Sketch, x: str) -> str:
    if s.dice.random() < 0.5:
        return s.let(f"F.layer_norm({x}, ({x}.shape[-1],))", s.shapes[x], "y")
    return s.let(f"F.normalize({x}, dim={s.axis(x)})", s.shapes[x], "y")


def root_mean_square(s: Sketch, x: str) -> str:
    axis = s.axis(x)
    v = s.mean(f"{x} ** 2", x, axis, "v")
    r = s.let(f"({v} + 1e-3) ** -0.5", s.shapes[v], "r")
    return s.let(f"{x} * {r}", s.shapes[x], "y")


def length(s: Sketch, x: str) -> str:
    """Divided by a norm: any power of a sum of powers."""
    axis, dice = s.axis(x), s.dice
    form = dice.randrange(4)
    if form == 0:
        total = s.reduced(f"({x} ** 2).sum({{d}})", x, axis)
        return s.let(f"{x} / {total}.sqrt()", s.shapes[x], "y")
    if form == 1:
        p, q = dice.choice([(2, 0.5), (2, 1), (4, 0.25), (2, 1.5), (4, 0.5)])
        total = s.reduced(f"({x} ** {p}).sum({{d}})", x, axis)
        return s.let(f"{x} / {total} ** {q}", s.shapes[x], "y")
    if form == 2:
        x = s.positive(x)
        total = s.reduced(f"{x}.sum({{d}})", x, axis)
        return s.let(f"{x} / {total}", s.shapes[x], "y")
    total = s.reduced(f"torch.linalg.vector_norm({x}, dim={{d}})", x, axis)
    return s.let(f"{x} / ({total} + 1e-3)", s.shapes[x], "y")


def gated(s: Sketch, x: str) -> str:
    shape = s.shapes[x]
    form = s.dice.randrange(5)
    if form == 0:
        g = s.let(f"torch.sigmoid({x})", shape, "g")
        return s.let(f"{x} * {g}", shape)
    if form == 1:
        other = s.given("u", shape)
        g = s.let(f"torch.sigmoid({other})", shape, "g")
        return s.let(f"{g} * {x} + (1 - {g}) * {s.given('w', shape)}", shape)
    if form == 2:
        return s.let(f"torch.tanh({x}) * {s.given('g', shape[-1:])}", shape)
    if form == 3:
        return s.let(f"F.silu({x}) * {s.given('u', shape)}", shape)
    return s.let(f"F.softplus({x})", shape)


def gained(s: Sketch, x: str) -> str:
    """A broadcast gain, and perhaps a bias."""
    shape = s.shapes[x]
    g = s.given("g", s.dice.choice([shape[-1:], shape[-1:], (*shape[:-1], 1), ()]))
    if s.dice.random() < 0.6:
        return s.let(f"{g} * {x} + {s.given('b', shape[-1:])}", shape)
    return s.let(f"{g} * {x}", shape)


def masked(s: Sketch, x: str) -> str:
    shape = s.shapes[x]
    m = s.given("k", s.dice.choice([shape, shape[-1:]]), "bool")
    form = s.dice.randrange(4)
    if form == 0:
        # the first element stays, so that no row is empty
        z = s.let(f"torch.cat([torch.zeros_like({m}[..., :1]), {m}[..., 1:]], -1)", shape)
        return s.let(f"torch.softmax({x}.masked_fill({z}, float('-inf')), -1)", shape, "p")
    if form == 1:
        return s.let(f"{x}.masked_fill({m}, 0.0)", shape)
    if form == 2:
        return s.let(f"torch.where({m}, {x}, {s.dice.choice(['0.5', '0.1 * ' + x])})", shape)
    kept = s.let(f"{m}.to({x}.dtype)", s.shapes[m])
    total = s.reduced(f"({kept} * {x}).sum({{d}})", x, len(shape) - 1)
    return s.let(f"{x} - {total} / ({kept}.sum() + 1)", shape)


def powered(s: Sketch, x: str) -> str:
    shape = s.shapes[x]
    if s.dice.random() < 0.5:
        return s.let(f"{x} ** {s.dice.choice([2, 3])}", shape)
    return s.let(f"{s.positive(x)} ** {s.dice.choice([0.5, -1, 1.5, -0.5, -2])}", shape)


def rectified(s: Sketch, x: str) -> str:
    return s.let(s.dice.choice(["F.relu({0})", "{0} * ({0} > 0)"]).format(x), s.shapes[x])


def contracted(s: Sketch, x: str) -> str:
    """A matrix between two regions."""
    shape = s.shapes[x]
    k = s.dice.choice([2, 3, 4])
    return s.let(f"{x} @ {s.given('w', (shape[-1], k))}", (*shape[:-1], k))


# Losses.


def picked(s: Sketch, x: str) -> str:
    """Cross-entropy: the log-probability at a label."""
    n, k = s.shapes[x]
    dice = s.dice
    y = s.given("y", (n,), "index")
    if dice.random() < 0.2:
        return s.let(f"F.cross_entropy({x}, {y})", (), "loss")
    if dice.random() < 0.5:
        l = s.let(f"torch.log_softmax({x}, 1)", (n, k), "l")  # noqa: E741
    else:
        e = s.let(f"{x}.exp()", (n, k), "e")
        l = s.let(f"({e} / {e}.sum(1, keepdim=True)).log()", (n, k), "l")  # noqa: E741
    form = dice.randrange(3)
    if form == 0:
        at = f"{l}[torch.arange({n}), {y}]"
    elif form == 1:
        at = f"{l}.gather(1, {y}.unsqueeze(1))"
    else:
        at = f"({l} * F.one_hot({y}, {k})).sum(1)"
    if dice.random() < 0.3:
        return s.whole(f"-0.9 * {at} - 0.1 / {k} * {l}.sum(1)")
    return s.whole(f"-{at}")


def squared(s: Sketch, x: str) -> str:
    t = s.given("t", s.shapes[x])
    if s.dice.random() < 0.3:
        return s.let(f"F.mse_loss({x}, {t})", (), "loss")
    return s.whole(s.dice.choice(["({0} - {1}) ** 2", "0.5 * ({1} - {0}).square()"]).format(x, t))


def logistic(s: Sketch, x: str) -> str:
    shape = s.shapes[x]
    t = s.given("t", shape)
    form = s.dice.randrange(4)
    if form == 0:
        return s.let(f"F.binary_cross_entropy_with_logits({x}, {t})", (), "loss")
    if form == 1:
        return s.whole(f"F.softplus({x}) - {t} * {x}")
    p = s.let(f"torch.sigmoid({x})", shape, "p")
    if form == 2:
        return s.whole(f"-({t} * {p}.log() + (1 - {t}) * (1 - {p}).log())")
    return s.whole(f"-(1 - {p}) ** 2 * {p}.log()")


def divergence(s: Sketch, x: str) -> str:
    shape = s.shapes[x]
    p = s.let(f"torch.softmax({x}, -1)", shape, "p")
    if s.dice.random() < 0.5:
        return s.whole(f"-({p} * {p}.log()).sum(-1)")
    q = s.given("q", shape, "positive")
    return s.whole(f"({p} * ({p}.log() - {q}.log())).sum(-1)")


def cosine(s: Sketch, x: str) -> str:
    t = s.given("t", s.shapes[x])
    dot = s.let(f"({x} * {t}).sum(-1)", s.shapes[x][:-1])
    both = s.let(f"(({x} ** 2).sum(-1) * ({t} ** 2).sum(-1)).sqrt()", s.shapes[x][:-1])
    return s.whole(f"1 - {dot} / {both}")


def weighted(s: Sketch, x: str) -> str:
    return s.whole(f"{x} * {s.given('q', s.shapes[x])}")


BODY: list[tuple[Block, int]] = [
    (softmax, 12), (log_softmax, 7), (centred, 5), (standard, 10), (library_norm, 4),
    (root_mean_square, 6), (length, 8), (gated, 6), (gained, 7), (masked, 6), (powered, 5),
    (rectified, 3), (contracted, 7),
]  # fmt: skip
LOSSES: list[tuple[Block, int]] = [
    (picked, 8), (squared, 5), (logistic, 6), (divergence, 4), (cosine, 3), (weighted, 3),
]  # fmt: skip


@dataclass(frozen=True)
class Made:
    """A program of a seed, as text and arguments; ``symbolic``: derived with open sizes."""

    source: str
    inputs: tuple[Input, ...]
    symbolic: bool
    blocks: tuple[str, ...]

    def values(self, seed: int) -> list[torch.Tensor]:
        return [x.value(seed * 64 + i) for i, x in enumerate(self.inputs)]


def generate(seed: int) -> Made:
    """The program of a seed: a block or two, or a loss after at most one; two outputs at times."""
    dice = seeded(seed)
    s = Sketch(dice)
    rank = dice.choices([1, 2, 3], [10, 75, 15])[0]
    sizes = dice.sample([2, 3, 4, 5], rank)
    x = s.given("x", tuple(sizes))
    used: list[str] = []
    losing = dice.random() < 0.45
    blocks, weights = zip(*BODY, strict=True)
    seen = [x]
    for _ in range(dice.choice([0, 0, 0, 1]) if losing else dice.choice([1, 1, 1, 1, 2])):
        block = dice.choices(blocks, weights)[0]
        x = block(s, x)
        used.append(block.__name__)
        seen.append(x)
    if losing:
        losses = [b for b in LOSSES if b[0] is not picked or len(s.shapes[x]) == 2]
        block = dice.choices(*zip(*losses, strict=True))[0]
        x = block(s, x)
        used.append(block.__name__)
    outputs = [x]
    if not losing and len(seen) > 2 and dice.random() < 0.3:
        outputs.append(dice.choice(seen[1:-1]))
    head = f"def f({', '.join(i.name for i in s.inputs)}):"
    body = [*s.lines, f"return {', '.join(outputs)}"]
    source = "\n    ".join([head, *body]) + "\n"
    return Made(source, tuple(s.inputs), dice.random() < 0.3, tuple(used))
