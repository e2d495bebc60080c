"""The picture of a program: its boxes and arrows are the values and uses, and lie well."""

from __future__ import annotations

import re
from collections.abc import Mapping
from xml.etree import ElementTree

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from backhand.program.ir import Program, Value
from backhand.program.text import parse_program
from backhand.report import graph as graph_module
from backhand.report.flow import MANY, MOST, flow, grouped
from backhand.report.graph import STYLE, graph
from backhand.report.layers import laid_out

NETWORK = """
program net
size n = x.shape[0] (example 4, named)
input x: float32[n, 3]
input w: float32[3, 5]
input y: int64[n]
step h
  | h = (x @ w).relu()
  %a: float32[n, 5] = matmul(x, w)
  h: float32[n, 5] = relu(%a)
step top
  top: float32[n, 1], place: int64[n, 1] = max_dim(h, 1, keepdim=True)
step z
  | z = h - top
  z: float32[n, 5] = sub(h, top)
step loss
  %b: int64[n] = arange(0, n)
  %c: float32[n] = index(z, (%b, y))
  loss: float32[] = mean(%c)
output loss
"""


def drawn(html: str) -> ElementTree.Element:
    """The figure as a tree: well-formed, or this fails."""
    return ElementTree.fromstring(html)


def boxes(html: str) -> dict[str, ElementTree.Element]:
    return {e.attrib["data-value"]: e for e in drawn(html).iter() if "data-value" in e.attrib}


def arrows(html: str) -> dict[tuple[str, str], ElementTree.Element]:
    return {
        (e.attrib["data-from"], e.attrib["data-to"]): e
        for e in drawn(html).iter()
        if "data-from" in e.attrib
    }


def said(element: ElementTree.Element) -> str:
    """The title of a box or an arrow."""
    return next((e.text or "" for e in element.iter() if e.tag.endswith("title")), "")


def gradients(**sizes: float) -> dict[str, torch.Tensor]:
    return {name: torch.full((2, 2), size) for name, size in sizes.items()}


SIZES = {"loss": 1.0, "z": 0.02, "top": 3e-9, "h": 0.004, "w": 0.0, "x": float("nan")}


@pytest.fixture(scope="module")
def html() -> str:
    return graph(parse_program(NETWORK), gradients(**SIZES))


def test_boxes_are_named_values_and_arrows_their_uses(html: str) -> None:
    """Values without a name are seen through; what leads nowhere (``place``) is left out."""
    assert set(boxes(html)) == {"x", "w", "y", "h", "top", "z", "loss"}
    assert set(arrows(html)) == {
        ("x", "h"), ("w", "h"), ("h", "top"), ("h", "z"), ("top", "z"), ("z", "loss"), ("y", "loss")
    }  # fmt: skip
    assert said(boxes(html)["h"]).splitlines() == [
        "h: float32 [n, 5]", "h = (x @ w).relu()", "root mean square of its gradient: 0.004"
    ]  # fmt: skip


def test_boxes_link_to_what_explains_them(html: str) -> None:
    links = {e.attrib.get("href") for e in boxes(html).values()}
    assert links == {None, *(f"#bh-d{name}" for name in SIZES)}
    assert boxes(html)["y"].tag.endswith("g")  # no gradient, no explanation, no link
    named = graph(parse_program(NETWORK), gradients(z=1.0), {"h": "dh_2"})
    assert {e.attrib.get("href") for e in boxes(named).values()} == {None, "#bh-dh_2"}


def test_an_arrow_carries_the_gradient_of_its_reader(html: str) -> None:
    found = arrows(html)
    level = {edge: e.attrib["class"].split()[1] for edge, e in found.items()}
    assert level["z", "loss"] == "bh-flow-6" and level["h", "z"] == level["top", "z"] == "bh-flow-4"
    assert level["h", "top"] == "bh-flow-0"  # zero but for rounding
    assert level["y", "loss"] == "bh-still"
    assert "upstream" not in said(found["y", "loss"])
    assert said(found["h", "z"]).endswith("the upstream has root mean square 0.02")
    # a gradient of zeros or without a number has no level, and says so
    assert "bh-zero" in boxes(html)["w"].attrib["class"]
    assert "bh-broken" in boxes(html)["x"].attrib["class"]
    assert said(boxes(html)["w"]).endswith(": 0") and said(boxes(html)["x"]).endswith(": NaN")


def test_the_legend_has_numbers(html: str) -> None:
    legend = re.sub(r"<sup>(.*?)</sup>", r"^\1", html[html.index("bh-legend") :])
    texts = re.sub(r"<[^>]*>", " ", legend)
    for level in ("10^0 to 10^1", "10^−2 to 10^−1", "10^−3 to 10^−2", "below 10^−5"):
        assert level in texts
    for state in ("zero everywhere", "NaN or infinite", "no gradient"):
        assert state in texts
    assert "10^−4" not in texts  # only what occurs


def test_the_picture_in_words(html: str) -> None:
    svg = next(e for e in drawn(html).iter() if e.tag.endswith("svg"))
    text = svg.attrib["aria-label"]
    assert "It reads x, w, y. It ends in loss." in text
    assert "The largest gradient is that of loss, root mean square 1, the smallest" in text


def test_names_and_code_are_escaped() -> None:
    program = parse_program(NETWORK.replace("| z = h - top", '| z = "</title><script>&"'))
    found = drawn(graph(program, gradients(z=1.0)))
    assert not [e for e in found.iter() if e.tag.endswith("script")]
    odd = graph(alone("x", "<b>"), {}, {"x": 'd"x<'})
    assert boxes(odd)["x"].attrib["href"] == "#bh-d_22x_3C"


def test_without_numbers_there_is_a_picture_all_the_same() -> None:
    html = graph(parse_program(NETWORK), {}, {"h": "dh"})
    assert len(boxes(html)) == 7 and boxes(html)["h"].attrib["href"] == "#bh-dh"


def alone(name: str, program: str) -> Program:
    """A program of one value."""
    value = Value("x", (2,), "float32", name)
    return Program(program, (value,), (), (value,))


def chain(prefixes: Mapping[str, int]) -> Program:
    """Values in a row, so many for each prefix; the first of each is read by the last, too."""
    lines = ["program deep", "input x: float32[2]"]
    before = "x"
    for prefix, count in prefixes.items():
        first = f"{prefix}v0"
        for k in range(count):
            name = f"{prefix}v{k}"
            args = f"{before}, {first}" if 0 < k == count - 1 else f"{before}, {before}"
            lines += [f"step {name}", f"  {name}: float32[2] = add({args})"]
            before = name
    return parse_program("\n".join([*lines, f"output {before}", ""]))


def test_a_numbered_module_has_one_box_where_there_are_many_values() -> None:
    deep = chain({f"blocks_{k}_": 10 for k in range(12)} | {"head_": 2})
    sizes = {v.name: torch.ones(2) for v in deep.values()}
    html = graph(deep, sizes)
    outer, *inner = [e for e in drawn(html).iter() if e.attrib.get("role") == "region"]
    outside = {e.attrib["data-value"]: e for e in outer.iter() if "data-value" in e.attrib}
    assert set(outside) == {"x", "head_v0", "head_v1", *(f"blocks_{k}" for k in range(12))}
    # every box of a module leads to its own picture, in which all of its values are
    places = {e.attrib["id"] for e in drawn(html).iter() if "id" in e.attrib}
    assert {outside[f"blocks_{k}"].attrib["href"][1:] for k in range(12)} == places
    for k, picture in enumerate(inner):
        values = {e.attrib["data-value"] for e in picture.iter() if "data-value" in e.attrib}
        entry = f"blocks_{k - 1}_v9" if k else "x"
        assert values == {entry, *(f"blocks_{k}_v{i}" for i in range(10))}
    assert len(html) < 150_000


def test_few_values_are_not_grouped_and_too_many_are_not_drawn() -> None:
    small = chain({f"blocks_{k}_": 10 for k in range(MANY // 10 - 1)})
    assert not grouped(flow(small, {}, {}))[1]
    html = graph(chain({"": MOST + 1}), {})
    assert "<svg" not in html and f"{MOST + 2} values" in html


def test_a_module_that_is_left_and_entered_again_is_no_box() -> None:
    lines = ["program twice", "input x: float32[2]"]
    before = "x"
    for k in range(MANY + 10):
        name = f"m_0_v{k}" if k != 40 else "between"
        lines += [f"step {name}", f"  {name}: float32[2] = exp({before})"]
        before = name
    whole = flow(parse_program("\n".join([*lines, f"output {before}", ""])), {}, {})
    assert grouped(whole) == (whole, {})


@pytest.mark.parametrize("name", ["x" * 80, "名前" * 20, "δ"])
def test_a_long_name_is_shortened_in_its_box_and_whole_in_its_title(name: str) -> None:
    box = boxes(graph(alone(name, "f"), {}))[name]
    shown = "".join(t for e in box.iter() if e.tag.endswith("tspan") for t in e.itertext())
    assert len(shown) <= graph_module.LONGEST and said(box).startswith(name)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[dict[str, float], list[tuple[str, str]]]:
    count = draw(st.integers(1, 14))
    widths = {f"v{i}": draw(st.sampled_from([40.0, 90.0, 200.0])) for i in range(count)}
    pairs = [(f"v{i}", f"v{j}") for j in range(count) for i in range(j)]
    return widths, draw(st.lists(st.sampled_from(pairs), unique=True)) if pairs else []


@settings(max_examples=80, deadline=None)
@given(graphs())
def test_boxes_do_not_overlap_and_lines_go_down_past_them(
    drawing: tuple[dict[str, float], list[tuple[str, str]]],
) -> None:
    widths, edges = drawing
    height = 10.0
    found = laid_out(widths, edges, height, 20)
    spans = {v: (x - widths[v] / 2, x + widths[v] / 2) for v, (x, _) in found.boxes.items()}
    for a, (_, top) in found.boxes.items():
        assert spans[a][0] >= 0 and spans[a][1] <= found.width
        assert top + height <= found.height
        for b, (_, other) in found.boxes.items():
            apart = spans[a][1] < spans[b][0] or spans[b][1] < spans[a][0]
            assert a == b or top != other or apart
    assert set(found.lines) == set(edges)
    for (a, b), line in found.lines.items():
        assert line[0][1] == found.boxes[a][1] + height and line[-1][1] == found.boxes[b][1]
        assert spans[a][0] <= line[0][0] <= spans[a][1]
        assert spans[b][0] <= line[-1][0] <= spans[b][1]
        downs = [y for _, y in line]
        assert downs == sorted(downs) and len(line) % 2 == 0
        for x, y in line[1:-1]:  # where it passes through a layer there is no box
            beside = [v for v, (_, top) in found.boxes.items() if top <= y <= top + height]
            assert not any(spans[v][0] <= x <= spans[v][1] for v in beside)


def test_a_chain_is_straight_and_inputs_lie_just_above_their_reader() -> None:
    widths = {**{f"p{k}": 50.0 for k in range(6)}, **{f"v{k}": 80.0 for k in range(7)}}
    edges = [(f"v{k}", f"v{k + 1}") for k in range(6)] + [(f"p{k}", f"v{k + 1}") for k in range(6)]
    found = laid_out(widths, edges, 10, 20)
    middles = [found.boxes[f"v{k}"][0] for k in range(1, 7)]
    assert max(middles) - min(middles) < 5
    for k in range(6):
        assert found.boxes[f"p{k}"][1] == found.boxes[f"v{k}"][1]


def test_lines_do_not_cross_where_they_need_not() -> None:
    """The order in which the boxes are given crosses all of them."""
    widths = {name: 30.0 for name in ("a", "b", "c", "x", "y", "z")}
    found = laid_out(widths, [("a", "z"), ("b", "y"), ("c", "x")], 10, 20)
    order = sorted("abc", key=lambda v: found.boxes[v][0])
    partner = {"a": "z", "b": "y", "c": "x"}
    places = [found.boxes[partner[v]][0] for v in order]
    assert places == sorted(places)


def test_the_style_needs_no_network() -> None:
    assert "url(" not in STYLE and "@import" not in STYLE
