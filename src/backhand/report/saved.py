"""The table of what the backward pass keeps of the forward pass, and what it weighs.

It lists what ``program.cost.saved`` counts, so that its totals are the ``bytes saved`` of the cost:
a view lies in the tensor that it is a view of, what is read for its shape only is not kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape

from ..emit.listing import shape_text
from ..explain.html import anchor
from ..program.cost import amount, weight
from ..program.cost import saved as kept_values
from ..program.ir import Program, Value
from ..program.loops import Extent, base, role

STYLE = """
.bh-saved { overflow-x: auto; max-width: 100%; }
.bh-saved table { border-collapse: collapse; }
.bh-saved caption { text-align: left; padding-bottom: .5rem; }
.bh-saved th, .bh-saved td { padding: .25rem 1.25rem .25rem 0; text-align: left;
  vertical-align: top; border-bottom: 1px solid #8884; font-weight: normal; }
.bh-saved thead th, .bh-saved tfoot th, .bh-saved tfoot td { font-weight: 600; }
.bh-saved tbody th[scope="rowgroup"] { padding-top: .9rem; font-style: italic; }
.bh-saved code { font-family: ui-monospace, monospace; font-size: .95em; }
.bh-saved .bh-weight { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.bh-saved .bh-bar { display: block; height: .3rem; margin-left: auto; min-width: 1px;
  background: #2b6cb0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
.bh-saved .bh-shape { white-space: nowrap; }
.bh-saved .bh-none { opacity: .65; }
@media (prefers-color-scheme: dark) { .bh-saved .bh-bar { background: #7db4e6; } }
"""


@dataclass(frozen=True)
class Form:
    """What one form of the backward pass keeps, in the forward pass's order, and who reads it."""

    name: str
    kept: Mapping[str, Value]
    readers: Mapping[str, tuple[tuple[str, str], ...]]


def saved(
    forms: Mapping[str, tuple[Program, Program]], linked: frozenset[str] = frozenset()
) -> str:
    """An HTML table with a row for each saved value and a column for each form.

    ``forms`` has the forward and the backward program of each form by its name
    (``bp.forward_of(form)``, ``bp.form(form).program``). Names of gradients in ``linked`` become
    links to their explanations.
    """
    found = [_form(name, forward, backward) for name, (forward, backward) in forms.items()]
    rows: dict[str, Value] = {}
    for form in found:
        rows.update(form.kept)
    if not rows:
        return "<p>The backward pass keeps nothing of the forward pass.</p>"
    forward = next(iter(forms.values()))[0]
    table = _Table(forward, found, rows, linked)
    return f'<div class="bh-saved">{table.html()}</div>'


def _form(name: str, forward: Program, backward: Program) -> Form:
    producers = forward.producers()
    known = {v.name: v for v in forward.values()}
    readers: dict[str, dict[tuple[str, str], None]] = {}
    for value, who in _readers(backward, known):
        holder = base(value, producers)
        through = _printed(value) if holder is not value else ""
        readers.setdefault(holder.name, {}).update(dict.fromkeys((w, through) for w in who))
    return Form(
        name,
        {v.name: v for v in kept_values(forward, backward)},
        {holder: tuple(who) for holder, who in readers.items()},
    )


def _readers(
    backward: Program, known: Mapping[str, Value]
) -> Iterable[tuple[Value, tuple[str, ...]]]:
    """Forward values that the backward pass reads, each time with the lines that read it.

    A line is called by what it makes; what has no name of its own is read by the lines that it goes
    into.
    """
    lines: dict[str, dict[str, None]] = {}
    found: list[tuple[Value, tuple[str, ...]]] = []
    for node in reversed(list(backward.nodes())):
        who: dict[str, None] = {}
        for out in node.outs:
            who.update({out.var: None} if out.var is not None else lines.get(out.name, {}))
        for v in node.operands():
            if v.name in known:
                if role(node.op) != "creation":
                    found.append((known[v.name], tuple(who)))
            elif v.var is None:
                lines[v.name] = {**who, **lines.get(v.name, {})}
    found.reverse()
    found += [(known[v.name], ("what is returned",)) for v in backward.outputs if v.name in known]
    return found


def _printed(value: Value) -> str:
    return value.var or value.name.lstrip("%")


class _Table:
    def __init__(
        self, forward: Program, forms: list[Form], rows: Mapping[str, Value], linked: frozenset[str]
    ) -> None:
        self.symbols = forward.symbols
        self.forms = forms
        self.linked = linked
        extent = Extent(forward.hints())
        self.bytes = {name: weight(v, extent) for name, v in rows.items()}
        order = {v.name: i for i, v in enumerate(forward.values())}
        self.rows = sorted(rows.values(), key=lambda v: order.get(v.name, len(order)))
        self.inputs = {v.name for v in forward.inputs}

    def html(self) -> str:
        forms = "".join(f'<th scope="col">{escape(form.name)}: read by</th>' for form in self.forms)
        return (
            "<table><caption>What the backward pass keeps of the forward pass, at the sizes of the "
            "example. A view lies in the tensor that it is a view of; what is read for its shape "
            "only is not kept.</caption>"
            '<thead><tr><th scope="col">value</th><th scope="col">shape</th>'
            '<th scope="col">type</th><th scope="col" class="bh-weight">weight</th>'
            f"{forms}</tr></thead>"
            + self._group("inputs, which are there in any case", inputs=True)
            + self._group("made by the forward pass", inputs=False)
            + f"<tfoot>{self._total('in all')}{self._total('without inputs', self.inputs)}</tfoot>"
            "</table>"
        )

    def _group(self, title: str, inputs: bool) -> str:
        rows = [self._row(v) for v in self.rows if (v.name in self.inputs) == inputs]
        if not rows:
            return ""
        wide = 4 + len(self.forms)
        head = f'<tr><th scope="rowgroup" colspan="{wide}">{title}</th></tr>'
        return f"<tbody>{head}{''.join(rows)}</tbody>"

    def _row(self, value: Value) -> str:
        part = 100 * self.bytes[value.name] / (max(self.bytes.values()) or 1)
        return (
            f'<tr><th scope="row">{self._name(value)}</th>'
            f'<td class="bh-shape">{escape(shape_text(value.shape, self.symbols))}</td>'
            f"<td>{escape(value.dtype)}</td>"
            f'<td class="bh-weight">{amount(self.bytes[value.name], "B")}'
            f'<span class="bh-bar" style="width:{part:.3g}%"></span></td>'
            + "".join(f"<td>{self._who(form, value)}</td>" for form in self.forms)
            + "</tr>"
        )

    def _name(self, value: Value) -> str:
        """A value's name; what the author gave none is the memory of the views that have one."""
        if value.var is not None:
            return f"<code>{escape(value.var)}</code>"
        readers = [who for form in self.forms for who in form.readers.get(value.name, ())]
        views = dict.fromkeys(
            f"<code>{escape(through)}</code>" for _, through in readers if through
        )
        if not views:
            return f"<code>{escape(_printed(value))}</code>"
        return f"the memory of {', '.join(sorted(views))}"

    def _who(self, form: Form, value: Value) -> str:
        if value.name not in form.kept:
            return '<span class="bh-none">not kept</span>'
        by_view: dict[str, list[str]] = {}
        for who, through in form.readers.get(value.name, ()):
            by_view.setdefault(through, []).append(self._line(who))
        return "; ".join(
            ", ".join(who) + (f" (as <code>{escape(through)}</code>)" if through else "")
            for through, who in by_view.items()
        )

    def _line(self, name: str) -> str:
        if not name.isidentifier():
            return escape(name)
        code = f"<code>{escape(name)}</code>"
        return f'<a href="#{anchor(name)}">{code}</a>' if name in self.linked else code

    def _total(self, title: str, without: Iterable[str] = ()) -> str:
        sums = [sum(self.bytes[n] for n in form.kept if n not in without) for form in self.forms]
        cells = "".join(f"<td>{amount(n, 'B')}</td>" for n in sums)
        return f'<tr><th scope="row" colspan="4">{title}</th>{cells}</tr>'


__all__ = ["STYLE", "saved"]
