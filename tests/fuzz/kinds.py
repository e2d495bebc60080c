"""The kinds of statements that random programs are made of, each with its weight."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from .generator import Kind, State, Unfit, clash
from .program import Listed, Sizes, Statement

# Left out: hardshrink and softshrink, whose kernels answer a NaN by its place in memory.
UNARY = (
    "torch.exp({0})", "torch.log({0})", "torch.sqrt({0})", "torch.tanh({0})", "{0}.sigmoid()",
    "F.relu({0})", "torch.relu({0})", "{0}.abs()", "-{0}", "torch.sin({0})", "torch.cos({0})",
    "torch.square({0})", "1 / {0}", "torch.rsqrt({0})", "torch.reciprocal({0})", "torch.erf({0})",
    "torch.log1p({0})", "torch.expm1({0})", "F.softplus({0})", "F.silu({0})", "F.gelu({0})",
    'F.gelu({0}, approximate="tanh")', "F.elu({0})", "F.leaky_relu({0}, 0.1)", "F.hardtanh({0})",
    "F.relu6({0})", "torch.sign({0})", "torch.floor({0})", "torch.atan({0})", "torch.sinh({0})",
    "torch.nan_to_num({0})", "F.logsigmoid({0})", "F.mish({0})", "{0}.clone()", "{0}.contiguous()",
    "F.hardswish({0})", "torch.cosh({0})", "torch.exp2({0})", "torch.log2({0})", "{0} % 2",
    "torch.frac({0})", "torch.round({0})", "F.selu({0})", "F.softsign({0})",
    "F.threshold({0}, 0.0, 0.5)", "F.celu({0})", "F.hardsigmoid({0})",
    "torch.asinh({0})", "torch.deg2rad({0})", "torch.sgn({0})", "torch.trunc({0})",
    "twice({0})", "centred({0})", "torch.special.xlog1py({0}, 2.0)", "torch.sinc({0})",
)  # fmt: skip
BINARY = (
    "{0} + {1}", "{0} - {1}", "{0} * {1}", "{0} / {1}", "torch.maximum({0}, {1})",
    "torch.minimum({0}, {1})", "torch.atan2({0}, {1})", "torch.add({0}, {1}, alpha=2)",
    "torch.sub({0}, {1}, alpha=0.5)", "{0} ** {1}", "torch.fmax({0}, {1})", "torch.fmin({0}, {1})",
    "torch.hypot({0}, {1})", "gate({0}, {1})", "torch.logaddexp({0}, {1})", "torch.xlogy({0}, {1})",
    "torch.lerp({0}, {1}, 0.25)", "F.mse_loss({0}, {1})", "torch.copysign({0}, {1})",
    "torch.fmod({0}, {1})", "torch.remainder({0}, {1})", "F.smooth_l1_loss({0}, {1})",
    "F.l1_loss({0}, {1})", "torch.dist({0}, {1})",
)  # fmt: skip
NUMBER = (
    "{0} + {a}", "{0} - {a}", "{a} - {0}", "{0} * {a}", "{a} * {0}", "{0} / {a}", "{a} / {0}",
    "{0}.clamp(min={a})", "{0}.clamp(max={a})", "torch.clamp({0}, -1, {a})", "{0} ** {a}",
    "torch.pow({0}, {a})", "torch.where({0} > {a}, {0}, {a})", "{a} ** {0}",
    "F.leaky_relu({0}, {a})", "F.elu({0}, alpha={a})", "torch.logit({0}, eps=0.1)",
)  # fmt: skip


def _new(s: State, text: str, operands: Sequence[str], *arguments: Any) -> Statement:
    return Statement("{t} = " + text, (s.fresh(),), tuple(operands), arguments)


def unary(s: State) -> Statement:
    return _new(s, s.dice.choice(UNARY), [s.pick()])


def number(s: State) -> Statement:
    return _new(s, s.dice.choice(NUMBER), [s.pick()], s.number())


def power(s: State) -> Statement:
    return _new(s, "{0} ** {a}", [s.pick()], s.dice.choice([0, 1, 2, 3, -1, -2, 0.5, 1.5, -0.5]))


def binary(s: State) -> Statement:
    first = s.pick()
    pair = [first, s.broadcastable(first)]
    s.dice.shuffle(pair)
    return _new(s, s.dice.choice(BINARY[: 6 if s.dice.random() < 0.6 else None]), pair)


def many_uses(s: State) -> Statement:
    x = s.pick()
    text = s.dice.choice([
        "{0} * {0}", "{0} + {0}", "{0} / {0}", "{0} - {0} * {0}", "{0} * {0}.detach()",
        "{0} * {0} * {0}", "torch.maximum({0}, {0})", "{0} * {0}.sum()", "torch.where({0} > 0, {0}, {0})",
    ])  # fmt: skip
    return _new(s, text, [x])


def rebind(s: State) -> Statement:
    """The same name for a new value."""
    x = s.pick(lambda t: True)
    if x in {i.name for i in s.inputs}:
        raise Unfit
    text = s.dice.choice(
        ["{t} = {0} * 2", "{t} = {0} + 1", "{t} = torch.tanh({0})", "{t} = {0} + {0}"]
    )
    return Statement(text, (x,), (x,))


def view(s: State) -> Statement:
    x = s.pick()
    t = s.values[x]
    choices: list[tuple[str, tuple[Any, ...]]] = [
        ("{0}.{b}({a})", (s.factored(t.numel()), s.dice.choice([Method("view"), Method("reshape")]))),
        ("{0}.flatten()", ()), ("{0}.unsqueeze({a})", (s.dim(x, 1),)), ("{0}[None]", ()),
        ("{0}[..., None]", ()), ("{0}.squeeze()", ()),
    ]  # fmt: skip
    if t.numel():
        choices.append(("{0}.reshape(-1)", ()))
    if t.dim():
        d = s.dim(x)
        order = list(range(t.dim()))
        s.dice.shuffle(order)
        size = s.fixed_size(x, d)
        at = s.dice.randrange(-size if s.batch is None else 0, size) if size else 0
        start, stop = sorted((s.dice.randint(0, size), s.dice.randint(0, size)))
        choices += [
            ("{0}.transpose({a}, {b})", (d, s.dim(x))),
            ("{0}.permute({a})", (tuple(order),)),
            ("{0}.squeeze({a})", (d,)),
            ("{0}.select({a}, {b})", (d, at)),
            ("{0}.select({a}, {b})", (d, at)),
            ("{0}.narrow({a}, {b}, {c})", (d, start, stop - start)),
            ("{0}[{a}:{b}]", (0, s.fixed_size(x, 0) - 1)),
            ("{0}[::2]", ()), ("{0}[..., 1:]", ()), ("{0}[..., -1]", ()), ("{0}[-2:]", ()),
            ("{0}.movedim({a}, {b})", (d, s.dim(x))),
            ("{0}.unfold({a}, {b}, {c})", (d, s.dice.randint(1, max(size, 1)), s.dice.randint(1, 2))),
        ]  # fmt: skip
    if t.dim() > 1:
        choices += [
            ("{0}.mT", ()), ("{0}.flatten({a}, {b})", (0, s.dice.choice([1, -1]))),
            ("{0}.diagonal()", ()), ("{0}[:, 1:]", ()), ("{0}[1:, ::2]", ()), ("{0}[:, 0]", ()),
            ("torch.diagonal({0}, {a})", (s.dice.choice([0, 1, -1]),)), ("{0}[0, ...]", ()),
            ("{0}.diagonal({a}, {b}, {c})", (0, d, s.dim(x))),
        ]  # fmt: skip
    if t.dim() == 2:
        choices += [("{0}.T", ()), ("{0}.t()", ())]
    text, arguments = s.dice.choice(choices)
    return _new(s, text, [x], *arguments)


class Method(str):
    """A method's name among a statement's arguments."""

    def __repr__(self) -> str:
        return str(self)


def expand(s: State) -> Statement:
    x = s.pick(lambda t: t.dim() < 4)
    shape = [s.dice.choice([2, 3]) if d == 1 else d for d in s.values[x].shape]
    if s.dice.random() < 0.5:
        shape = [s.dice.choice([1, 2, 3]), *shape]
    text = s.dice.choice(["{0}.expand({a})", "torch.broadcast_to({0}, {a})"])
    return _new(s, text, [x], Sizes(shape))


def pieces(s: State) -> Statement:
    """Several results at once."""
    x = s.ranked()
    d = s.dim(x)
    size = s.size(x, d)
    if size in (0, 1) or size > 4:
        raise Unfit
    two = (s.fresh(), s.fresh())
    text, a = s.dice.choice([
        ("{0}.chunk(2, {a})", None), ("{0}.split([{b}, {c}], {a})", None),
        ("torch.split({0}, {b}, {a})", None), ("{0}.unbind({a})", 2), ("halves({0})", None),
        ("torch.tensor_split({0}, 2, {a})", None),
    ])  # fmt: skip
    if a == 2 and size != 2:
        raise Unfit
    first = (size + 1) // 2
    return Statement("{t} = " + text, two, (x,), (d, first, size - first))


def joined(s: State) -> Statement:
    x = s.ranked(0 if s.dice.random() < 0.3 else 1)
    if s.dice.random() < 0.4:
        y = s.like(x)
        text = s.dice.choice(["torch.stack([{0}, {1}], {a})", "torch.stack(({0}, {1}, {0}), {a})"])
        return _new(s, text, [x, y], s.dim(x, 1))
    d = s.dim(x)
    shape = list(s.values[x].shape)

    def fits(t: torch.Tensor) -> bool:
        other = list(t.shape)
        return len(other) == len(shape) and all(
            a == b for i, (a, b) in enumerate(zip(other, shape, strict=True)) if i != d % len(shape)
        )

    text = s.dice.choice(["torch.cat([{0}, {1}], {a})", "torch.cat(({0}, {1}, {0}), dim={a})"])
    return _new(s, text, [x, s.pick(fits)], d)


def moved(s: State) -> Statement:
    x = s.ranked()
    d = s.dim(x)
    text, arguments = s.dice.choice([
        ("{0}.flip({a})", (d,)), ("{0}.roll({b}, {a})", (d, s.dice.choice([1, -1, 2]))),
        ("torch.tril({0})", ()), ("torch.triu({0}, {a})", (s.dice.choice([1, 0, -1]),)),
        ("F.pad({0}, ({a}, {b}))", (s.dice.randint(0, 2), s.dice.randint(-1, 2))),
        ("{0}.repeat({a})", (tuple(s.dice.randint(1, 2) for _ in range(s.values[x].dim())),)),
        ("{0}.repeat_interleave(2, {a})", (d,)), ("torch.sort({0}, {a}).values", (d,)),
        ("{0}.topk(1, {a}).values", (d,)), ("torch.tile({0}, (2,))", ()),
        ("F.pad({0}, (1, 0), value=2.0)", ()), ("torch.diag({0})", ()), ("torch.trace({0})", ()),
        ("torch.diag_embed({0})", ()), ("{0}.rot90()", ()), ("{0}.cummax({a}).values", (d,)),
    ])  # fmt: skip
    return _new(s, text, [x], *arguments)


def reduction(s: State) -> Statement:
    x = s.pick()
    whole = ["{0}.sum()", "{0}.mean()", "{0}.prod()", "{0}.max()", "{0}.min()", "{0}.amax()",
             "{0}.std()", "{0}.var()", "{0}.norm()", "torch.logsumexp({0}.flatten(), 0)"]  # fmt: skip
    if s.values[x].dim() == 0 or s.dice.random() < 0.25:
        return _new(s, s.dice.choice(whole), [x])
    keep = s.dice.random() < 0.5
    if s.dice.random() < 0.35:
        text = s.dice.choice(["sum", "mean", "amax", "amin", "var", "std", "logsumexp"])
        return _new(s, "{0}." + text + "({a}, keepdim={b})", [x], s.dims(x), keep)
    text = s.dice.choice([
        "{0}.sum({a}, keepdim={b})", "{0}.mean({a}, keepdim={b})", "{0}.prod({a}, keepdim={b})",
        "{0}.max({a}, keepdim={b}).values", "{0}.min({a}, keepdim={b})[0]", "{0}.cumsum({a})",
        "{0}.amax({a}, keepdim={b})", "{0}.amin({a}, {b})", "{0}.var({a}, keepdim={b})",
        "{0}.std({a}, unbiased=False, keepdim={b})", "{0}.logsumexp({a}, {b})", "{0}.cumprod({a})",
        "torch.var({0}, {a}, correction=0)", "{0}.norm(dim={a}, keepdim={b})",
        "torch.linalg.vector_norm({0}, 1, {a})", "{0}.nansum({a})",
        # torch gives the median of a broadcast tensor out of memory that nobody has written
        "{0}.contiguous().median({a}).values",
        "{0}.norm(p=3, dim={a})", "{0}.norm(float('inf'), {a})", "{0}.logcumsumexp({a})",
    ])  # fmt: skip
    return _new(s, text, [x], s.dim(x), keep)


def softmax(s: State) -> Statement:
    text = s.dice.choice(["torch.softmax({0}, {a})", "F.log_softmax({0}, dim={a})",
                          "{0}.softmax({a})", "F.normalize({0}, dim={a})", "F.softmin({0}, dim={a})",
                          "F.glu({0}, {a})"])  # fmt: skip
    x = s.ranked()
    return _new(s, text, [x], s.dim(x))


def matmul(s: State) -> Statement:
    """Products in all ranks: whatever two values there are that go together.

    The operands of kron are its own: if they are written to later, autograd does not notice, and
    its gradient is that of another function.
    """
    x = s.ranked()
    k = s.size(x, -1)
    fits = s.names(
        lambda t: t.is_floating_point() and t.dim() > 0 and t.shape[-2 if t.dim() > 1 else 0] == k
    )
    if fits and s.dice.random() < 0.6:
        text = s.dice.choice(["{0} @ {1}", "torch.matmul({0}, {1})"])
        return _new(s, text, [x, s.dice.choice(fits)])
    same = s.names(lambda t: t.is_floating_point() and t.dim() > 0 and t.shape[-1] == k)
    y = s.dice.choice(same)
    text = s.dice.choice([
        "{0} @ {1}.mT", "F.linear({0}, {1})", 'torch.einsum("...i,...i->...", {0}, {1})',
        'torch.einsum("ij,kj->ik", {0}, {1})', "torch.outer({0}, {1})", "torch.bmm({0}, {1}.mT)",
        "torch.mm({0}, {1}.T)", "torch.dot({0}, {1})", "torch.mv({0}, {1})", "{0}.mT @ {1}",
        'torch.einsum("bij,bkj->bik", {0}, {1})', "torch.addmm({0}, {0}, {0})",
        'torch.einsum("i,j->ij", {0}, {1})', "torch.inner({0}, {1})", "torch.tensordot({0}, {1}, 1)",
        "torch.kron({0} * 1, {1} * 1)", "torch.baddbmm({0}, {0}, {1}.mT)", "torch.cdist({0}, {1})",
    ])  # fmt: skip
    return _new(s, text, [x, y])


def indexed(s: State) -> Statement:
    """Reading by index: lists, tensors, duplicates, negative positions, masks made of numbers."""
    x = s.ranked()
    d = s.dim(x)
    at = s.positions(s.fixed_size(x, d), s.dice.randint(0 if s.batch is None else 1, 4))
    positive = Listed(p % max(s.size(x, d), 1) for p in at) or Listed([0])
    rows = s.positions(s.fixed_size(x, 0), len(at))
    choices: list[tuple[str, list[str], tuple[Any, ...]]] = [
        ("{0}[{a}]", [x], (rows,)),
        ("{0}[torch.tensor({a})]", [x], (rows or Listed([0]),)),
        ("{0}.index_select({b}, torch.tensor({a}))", [x], (positive, d)),
        ("torch.take_along_dim({0}, {0}.argsort({a}), {a})", [x], (d,)),
        ("{0}.gather({a}, {0}.argmax({a}, keepdim=True))", [x], (d,)),
        ("torch.gather({0}, {a}, ({0} > 0).long())", [x], (d,)),
        ("torch.take({0}, torch.tensor({a}))", [x], (positive,)),
        ("{0}[{0}.argmax(0)]", [x], ()),
    ]
    if s.values[x].dim() > 1:
        cols = s.positions(s.fixed_size(x, 1), max(len(rows), 1))
        choices += [
            ("{0}[:, {a}]", [x], (cols,)),
            ("{0}[{a}, {b}]", [x], (rows or Listed([0]), cols)),
            ("{0}[torch.arange({0}.shape[0]), {a}]", [x], (cols[0],)),
            (
                "{0}[torch.tensor({a})[:, None], torch.tensor({b})]",
                [x],
                (rows or Listed([0]), cols),
            ),
            ("{0}[range({0}.shape[0]), {0}.argmax(1)]", [x], ()),
            ("{0}[..., {a}]", [x], (s.positions(s.fixed_size(x, -1), 2),)),
            ("{0}[{a}, :, None]", [x], (rows or Listed([0]),)),
            ("{0}[1:, {a}]", [x], (cols,)),
        ]
    if "i" in s.values and s.size(x, 0) > 1:
        choices += [("{0}[{1}]", [x, "i"], ()), ("F.embedding({1}, {0})", [x, "i"], ()),
                    ("{0}[{1}]", [x, "i"], ())] * 2  # fmt: skip
    text, operands, arguments = s.dice.choice(choices)
    return _new(s, text, operands, *arguments)


def scattered(s: State) -> Statement:
    """Writing by index, out of place."""
    x = s.ranked()
    y = s.like(x)
    d = s.dim(x)
    text = s.dice.choice([
        "{0}.scatter_add({a}, ({1} > 0).long(), {1})", "{0}.scatter({a}, {1}.argsort({a}), {1})",
        "torch.zeros_like({0}).scatter_add({a}, ({0} > 0).long(), {1})",
        "{0}.index_add({a}, torch.zeros({1}.shape[{a}], dtype=torch.long), {1})",
        "{0}.index_copy({a}, torch.arange({1}.shape[{a}]), {1})",
        "{0}.scatter({a}, ({1} > 0).long(), 0.5)", "{0}.masked_scatter({1} > 0, {1})",
        "{0}.index_put(({b},), {1}[{b}])", "{0}.index_put(({b},), {1}[0], accumulate=True)",
        "torch.slice_scatter({0}, {1}[..., 1:], -1, 1)", "{0}.index_fill({a}, torch.tensor([0]), 2.0)",
        "torch.select_scatter({0}, {1}.select({a}, 0), {a}, 0)",
    ])  # fmt: skip
    at = s.positions(s.fixed_size(x, 0), s.dice.randint(1, 4), False)
    return _new(s, text, [x, y], d, Tensors(f"torch.tensor({at})"))


class Tensors(str):
    """A small tensor among a statement's arguments, as text."""

    def __repr__(self) -> str:
        return str(self)


def chosen(s: State) -> Statement:
    x = s.pick()
    mask = s.mask(x)
    y = s.broadcastable(x)
    text = s.dice.choice([
        "torch.where({a}, {0}, {1})", "torch.where({a}, {0}, 0.0)", "torch.where({a}, 1.0, {0})",
        "{0}.masked_fill({a}, -1.0)", "torch.clamp({0}, {1}, 1.0 + {1})", "{0} * {a}",
        "{0} * {a}.to({0}.dtype)", "{0}.clamp(min={1})", "{0} + {a}.float()", "torch.where({a}, {1}, {0})",
    ])  # fmt: skip
    return _new(s, text, [x, y], Tensors(mask))


def detached(s: State) -> Statement:
    x = s.pick()
    y = s.broadcastable(x)
    text = s.dice.choice([
        "{t} = {0}.detach()", "{t} = {0} * {1}.detach()", "{t} = ({0} - {1}).detach() + {0}",
        "with torch.no_grad():\n    {t} = {0} * 2", "with torch.no_grad():\n    {t} = {0} * {1}",
        "with torch.no_grad():\n    {t} = {0}.amax() + 1", "{t} = {0} + ({0}.sign() - {0}).detach()",
        "with torch.no_grad():\n    {t} = {0}.clone()\n    {t} += 1",
        "{t} = {0} - {0}.max().detach()",
    ])  # fmt: skip
    return Statement(text, (s.fresh(),), (x, y))


def cast(s: State) -> Statement:
    x = s.pick()
    text = s.dice.choice([
        "{0}.float()", "{0}.double()", "{0}.to(torch.float32) * 2", "{0} * torch.tensor(2.0)",
        "({0} > 0) * {0}", "{0}.to(torch.float64)", "{0} + torch.arange({0}.numel()).view({0}.shape)",
        "{0} * torch.ones_like({0}, dtype=torch.float64)", "torch.zeros_like({0}) + {0}",
        "{0} * {0}.argmax()", "{0} * torch.full_like({0}, 0.5)", "{0} * {0}.shape[-1]",
        "{0} / {0}.numel()", "{0} * {0}.long()", "{0} + torch.tensor([1.0, 2.0, 3.0])",
    ])  # fmt: skip
    return _new(s, text, [x])


def buffer(s: State) -> Statement:
    """Room to be filled in place later."""
    x = s.pick()
    text = s.dice.choice([
        "torch.zeros_like({0})", "torch.empty_like({0}).fill_(1.0)", "{0}.new_zeros({0}.shape)",
        "torch.zeros({0}.shape, dtype={0}.dtype)", "{0}.clone()", "{0} * 1.0", "torch.ones_like({0})",
    ])  # fmt: skip
    return _new(s, text, [x])


def in_place(s: State) -> Statement:
    """An update of a value, or of what a view of it shows."""
    x = s.writable()
    text = s.dice.choice([
        "{0}.add_({1})", "{0}.mul_({1})", "{0}.sub_({1})", "{0} += {1}", "{0} *= {1}", "{0} -= {1}",
        "{0}.copy_({1})", "{0}[...] = {1}", "{0}[:] = {1}", "{0}.div_(2.0)", "{0}.zero_()",
        "{0}.fill_(0.5)", "{0}.relu_()", "{0}.clamp_(-1, 1)", "{0}.tanh_()", "{0}.neg_()", "{0} += 1",
        "{0}.exp_()", "{0}.masked_fill_({1} > 0, 0.5)", "{0}[{0} > 0] = 0.5", "{0} *= 2",
        "{0}.addcmul_({1}, {1}, value=0.5)", "{0}.sigmoid_()", "{0}.add_({1}, alpha=2)",
        "{0}.lerp_({1}, 0.5)", "{0}.pow_(2)", "F.relu({0}, inplace=True)", "{0} /= 2",
        "{0}.fill_({1}.sum())", "{0}.masked_scatter_({1} > 0, {1}.clone())", "{0}.cumsum_(0)",
"{0}.tril_()", "{0}.sqrt_()", "{0}.floor_()",
    ])  # fmt: skip
    y = s.broadcastable(x, onto=True)
    if clash(s.values[x], s.values[y]):
        raise Unfit
    return Statement(text, (), (x, y))


def in_place_view(s: State) -> Statement:
    x = s.writable(lambda t: t.dim() > 0)
    shown = s.dice.choice([
        "{0}[0]", "{0}[-1]", "{0}[1:]", "{0}[::2]", "{0}[..., 0]", "{0}[:, 1:]", "{0}.view(-1)",
        "{0}.view(-1)[1:]", "{0}.mT[0]", "{0}.transpose(0, -1)[:1]", "{0}.flatten()[0]",
        "{0}.diagonal()", "{0}.unsqueeze(0)[:, 1:]", "{0}.chunk(2, -1)[0]", "{0}.unbind()[0]",
        "{0}.select(-1, 0)", "{0}.narrow(0, 0, 1)", "{0}.t()", "{0}.squeeze()", "{0}[:, 0]",
        "{0}.split(1, -1)[-1]", "{0}.permute(1, 0)[0]", "{0}[1:][:1]",
        "{0}.T[1:]", "{0}[None, ..., 1:]", "{0}[1:-1]", "{0}.detach()[0]", "{0}.expand_as({0})",
    ][: None if s.dice.random() < 0.02 else -2])  # fmt: skip
    t = s.values[x]
    try:
        part = eval(shown.format(x), {x: t})
    except (RuntimeError, IndexError):
        raise Unfit from None
    small = s.pick(lambda v: v.shape == part.shape or v.dim() == 0)
    if clash(part, s.values[small]):
        raise Unfit
    text = s.dice.choice([
        ".mul_(2.0)", ".add_({1})", ".copy_({1})", ".zero_()", ".mul_({1})", ".relu_()", ".sub_(1)",
        ".fill_(0.5)", ".clamp_(min=0)", ".masked_fill_({1} > 0, 2.0)", ".neg_()", ".tanh_()",
    ])  # fmt: skip
    if shown.endswith("]") and s.dice.random() < 0.5:
        text = s.dice.choice([" = {1}", " = 0.5", " += {1}", " *= {1}", " *= 2", " = {1} * 2"])
    return Statement(shown + text, (), (x, small))


def in_place_index(s: State) -> Statement:
    x = s.writable(lambda t: t.dim() > 0)
    t = s.values[x]
    rows = s.positions(s.fixed_size(x, 0), s.dice.randint(1, 3))
    once = Listed(dict.fromkeys(r % max(t.shape[0], 1) for r in rows))
    rest = tuple(t.shape[1:])
    row = s.pick(lambda v: tuple(v.shape) == rest or v.dim() == 0)
    if clash(t, s.values[row]):
        raise Unfit
    text = s.dice.choice([
        "{0}[{a}] = {1}", "{0}[torch.tensor({a})] = {1} * 2", "{0}[{a}] = 0.5",
        "{0}.index_fill_(0, torch.tensor({b}), 2.0)", "{0}[torch.tensor({b})] += {1}",
        "{0}.index_put_((torch.tensor({a}),), {1}, accumulate=True)", "{0}[{b}] *= 2",
        "{0}[..., torch.tensor([0, 0])] = 1.5", "{0}[:, {b}] = {1}",
        "{0}.index_add_(0, torch.tensor({b}), {0}[{b}])", "{0}[torch.tensor({b}), 0] = 0.25",
        "{0}.scatter_(0, torch.zeros({0}.shape, dtype=torch.long), {0} * 1)",
        "{0}.scatter_add_(0, ({0} > 0).long(), {0} + 1)", "{0}[{0} < {1}] = 2.0",
        "{0}.index_copy_(0, torch.tensor({b}), {0}[{b}] * 2)",
    ])  # fmt: skip
    return Statement(text, (), (x, row), (rows, once))


def loop(s: State) -> Statement:
    x = s.pick(lambda t: t.numel() < 40)
    y = s.broadcastable(x, onto=True)
    text = s.dice.choice([
        "{t} = {0}\nfor _ in range({a}):\n    {t} = torch.tanh({t}) * {1}",
        "{t} = {0}\nfor step in range({a}):\n    {t} = {t} + {1} * step",
        "{t} = {0} * 1\nfor row in range({a}):\n    {t} = gate({t}, {1})",
        "{t} = torch.stack([centred({0} * k) for k in range({a})])",
        "{t} = sum(twice({0} + k) for k in range({a}))",
        "{t} = torch.zeros_like({0})\nfor k in range({a}):\n    {t} += {0} * k",
        "rows = []\nfor row in {0}:\n    rows.append(row * 2)\n{t} = torch.stack(rows)",
        "{t} = {0}.clone()\nfor k in range({0}.shape[0]):\n    {t}[k] = {t}[k] * 2 + {0}[k - 1]",
        "parts = {{k: {0} * k for k in range({a})}}\n{t} = torch.cat(list(parts.values()))",
    ])  # fmt: skip
    return Statement(text, (s.fresh(),), (x, y), (s.dice.randint(1, 3),))


def loss(s: State) -> Statement:
    """Losses and norms as people call them."""
    x = s.ranked()
    y = s.like(x)
    last = s.size(x, -1)
    text = s.dice.choice([
        "F.mse_loss({0}, {1}, reduction='sum')", "F.layer_norm({0}, ({a},))",
        "F.cross_entropy({0}, {1}.argmax(-1))", "F.nll_loss(F.log_softmax({0}, 1), {1}.argmax(1))",
        "F.binary_cross_entropy_with_logits({0}, {1}.sigmoid())", "F.huber_loss({0}, {1})",
        "F.layer_norm({0}, ({a},), {1}.select(0, 0) if {1}.dim() == 2 else None)",
        "F.kl_div(F.log_softmax({0}, -1), F.softmax({1}, -1), reduction='batchmean')",
        "F.rms_norm({0}, ({a},))", "F.cosine_similarity({0}, {1}, dim=-1)",
        "F.batch_norm({0}, None, None, training=True)", "F.cross_entropy({0}, F.softmax({1}, 1))",
        "F.scaled_dot_product_attention({0}, {1}, {1})", "F.group_norm({0}, 1)",
        "F.avg_pool1d({0}, 2)", "F.max_pool1d({0}, 2)", "F.pairwise_distance({0}, {1})",
        "F.binary_cross_entropy({0}.sigmoid(), {1}.sigmoid())", "F.adaptive_avg_pool1d({0}, 1)",
    ])  # fmt: skip
    return _new(s, text, [x, y], last)


KINDS: list[tuple[Kind, float]] = [
    (unary, 9), (number, 5), (power, 2), (binary, 10), (many_uses, 4), (rebind, 2), (view, 13),
    (expand, 3), (pieces, 4), (joined, 4), (moved, 4), (reduction, 9), (softmax, 3), (matmul, 7),
    (indexed, 6), (scattered, 4), (chosen, 5), (detached, 4), (cast, 3), (buffer, 5),
    (in_place, 10), (in_place_view, 10), (in_place_index, 6), (loop, 3), (loss, 4),
]  # fmt: skip
