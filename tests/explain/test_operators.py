"""Every operator with a rule is explained in every format, and its tiny case equals autograd."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import pytest
import torch

from backhand.explain import Explanations, explained
from backhand.explain.cells import Cell, total
from backhand.explain.explanations import FORMATS
from backhand.explain.notation import names, parse
from backhand.explain.tiny import Tiny, at, tiny_case
from backhand.program.invoke import invoke
from backhand.program.ops import get_op
from backhand.rules import RULES
from tests.explain.formulas import check_formula, check_mathml, formulas, section_titles
from tests.explain.single import sources
from tests.rules.machinery import Call

# Their gradients are zero, or none: torch itself gives nothing to explain.
UNEXPLAINED = {"floor_divide", "heaviside"}
PLACEHOLDERS = re.compile(
    r"\bTODO\b|\bFIXME\b|\bTBD\b|\bNone\b|Value\(|Node\(|Symbol\(|object at 0x|(?<![\w%])%\w"
)


class Balanced(HTMLParser):
    """Notes what is opened and not closed."""

    VOID = frozenset({"meta", "br", "wbr", "hr", "img", "link"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-1:]}"
        self.open.pop()


def autograd(call: Call, tiny: Tiny) -> torch.Tensor:
    """What torch's autograd gives at the numbers of a tiny case."""
    numbers: dict[str, torch.Tensor] = {t.name: t.numbers for t in tiny.operands}
    numbers |= dict(tiny.integers)
    target = tiny.operands[0].name
    leaves = [numbers.get(leaf.name, leaf.value).clone() for leaf in call.leaves]
    wanted = next(k for k, leaf in enumerate(call.leaves) if leaf.name == target)
    leaves[wanted].requires_grad_()
    result = invoke(call.op, call.filled(leaves))
    results = tuple(result) if isinstance(result, (tuple, list)) else (result,)
    upstream = {t.name: t.numbers for t in tiny.upstreams}
    loss = torch.zeros((), dtype=torch.float64)
    for k, i in enumerate(call.truth.with_upstream):
        given = upstream.get(f"dy{k or ''}")
        if given is not None and results[i].requires_grad:
            loss = loss + (results[i] * given).sum()
    if not loss.requires_grad:
        return torch.zeros_like(leaves[wanted])
    (found,) = torch.autograd.grad(loss, leaves[wanted], allow_unused=True)
    return torch.zeros_like(leaves[wanted]) if found is None else found


# What copies elements of one operand and computes nothing, beside views, movements and gathers.
COPYING = {"channel_shuffle", "im2col", "max_unpool2d", "max_unpool3d", "pad_edges",
           "pixel_shuffle", "pixel_unshuffle"}  # fmt: skip
# What copies elements and lets their values decide which.
CHOOSING = {"adaptive_max_pool2d", "adaptive_max_pool3d", "amax", "amin", "aminmax", "cummax",
            "cummin", "kthvalue", "max", "max_dim", "max_pool2d_with_indices",
            "max_pool3d_with_indices", "median", "median_dim", "min", "min_dim", "mode",
            "nanmedian", "nanmedian_dim", "sort", "topk"}  # fmt: skip
# Copies of two operands, or with something added to them: explained by their formulas alone.
JOINING = {"cat", "stack", "diagonal_scatter", "index_add", "index_copy", "index_fill", "index_put",
           "index_put_at", "index_reduce", "masked_scatter", "put", "scatter", "scatter_add",
           "scatter_reduce", "select_scatter", "slice_scatter", "to_device"}  # fmt: skip


def worded_as(name: str) -> str:
    """How an operator that copies elements has to be worded; the empty text for all others."""
    if name in CHOOSING:
        return "Selection"
    copying = get_op(name).kind in ("view", "movement", "index") and name not in JOINING
    return "Re-indexing" if copying or name in COPYING else ""


def wording(titles: set[str]) -> str:
    (found,) = {t.split(":")[0] for t in titles if t.startswith(("Re-index", "Selection"))} or {""}
    return found


@pytest.mark.filterwarnings("ignore:Default grid_sample")
@pytest.mark.filterwarnings("ignore:index_reduce.* is in beta:UserWarning")
@pytest.mark.parametrize("name", sorted(RULES.keys() - UNEXPLAINED))
def test_explained_in_every_format_and_true(name: str) -> None:
    written = 0
    for call, source in sources(RULES[name]):
        items = tuple(explained(source, v, numbers=True) for v in source.explained())
        assert items
        for item in items:
            for tex in formulas(item):
                check_formula(tex)
        made = Explanations(name, items)
        for form in FORMATS:
            check_text(form, made.to(form))
        titles = {t for item in items for t in section_titles(item)}
        for value in source.explained():
            for reading in source.readings(value):
                tiny = tiny_case(reading)
                if tiny is not None:
                    written += 1
                    ours = torch.tensor(at(tiny, tiny.gradient))
                    torch.testing.assert_close(ours, autograd(call, tiny), rtol=1e-7, atol=1e-7)
        if written:
            assert wording(titles) == worded_as(name)
            return
    assert written, f"no sample of {name} is written out"


def check_text(form: str, text: str) -> None:
    found = PLACEHOLDERS.search(text)
    assert found is None, f"{form}: {text[max(0, found.start() - 60) : found.end() + 60]}"
    if form == "text":
        assert all(len(line) <= 80 for line in text.split("\n")), text
        assert "$" not in text and "\\" not in text, text
    elif form == "html":
        page = Balanced()
        page.feed(text)
        assert not page.open and not page.tags & {"script", "img", "iframe", "link"}
        for formula in re.findall(r"<math.*?</math>", text):
            check_mathml(formula)
    elif form == "notebook":
        assert json.loads(text)["cells"]
    else:
        assert text.count("$$") % 2 == 0 and text.count("`" * 3) % 2 == 0


@pytest.mark.parametrize("name", sorted(RULES))
def test_every_letter_of_a_formula_is_explained(name: str) -> None:
    rule = RULES[name]
    known = {p.name for p in get_op(name).params} | set(rule.letters) | {"x", "y", "g"}
    for param, tex in rule.tex.items():
        unknown = set(names(parse(tex))) - known
        assert not unknown, f"{name}, {param}: nobody says what {unknown} is in {tex}"


def test_the_comparison_notices_a_wrong_cell() -> None:
    call, source = next(sources(RULES["mul"]))
    value = next(v for v in source.explained() if source.readings(v))
    tiny = tiny_case(source.readings(value)[0])
    assert tiny is not None
    cells = tiny.gradient.copy()
    first: Cell = cells.flat[0]
    cells.flat[0] = total(first, first)
    with pytest.raises(AssertionError):
        torch.testing.assert_close(torch.tensor(at(tiny, cells)), autograd(call, tiny))


@pytest.mark.parametrize(
    "text", ["<math><mfrac><mi>a</mi></mfrac></math>", "<math><mi></mi></math>", "<math>x</math>"]
)
def test_the_check_of_mathml_notices_faults(text: str) -> None:
    with pytest.raises(AssertionError):
        check_mathml(text)
