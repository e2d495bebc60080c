"""Heatmaps: what the cells show, what the words say, and that no tensor is too odd for one."""

from __future__ import annotations

import base64
import io
import re
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from backhand.report.cells import COLUMNS, ROWS
from backhand.report.heatmap import STYLE, Kind, heatmap

GREY = (221, 220, 220)  # the middle of the diverging map


def figure(tensor: torch.Tensor, kind: Kind = "gradient", name: str = "dx") -> str:
    html = heatmap(tensor, name, [str(n) for n in tensor.shape], kind)
    Balanced().check(html)
    return html


class Balanced(HTMLParser):
    """Fails where an element is not closed, or another is closed in its place."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.seen.append(tag)
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def check(self, html: str) -> list[str]:
        self.feed(html)
        self.close()
        assert not self.open
        return self.seen


def pixels(html: str) -> np.ndarray:
    """The picture's colours with their opacity: [rows, columns, 4]."""
    data = re.search(r'src="data:image/png;base64,([^"]*)"', html)
    assert data is not None
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data[1]))).convert("RGBA"))


def words(html: str) -> str:
    return unescape(re.sub(r"<[^>]*>", "", html.partition("<figcaption>")[2]))


def alt(html: str) -> str:
    found = re.search(r'alt="([^"]*)"', html)
    return unescape(found[1]) if found else ""


def test_a_gradient_is_blue_below_zero_red_above_and_grey_at_zero() -> None:
    seen = pixels(figure(torch.tensor([[-2.0, 0.0, 1.0], [2.0, 1e-30, -1.0]])))
    assert tuple(seen[0, 1][:3]) == tuple(seen[1, 1][:3]) == GREY
    red, blue = (seen[..., k].astype(int) for k in (0, 2))
    assert (np.sign(red - blue)[[0, 0, 1, 1], [0, 2, 0, 2]] == [-1, 1, 1, -1]).all()
    # the square root: a quarter of the largest is half way to its colour
    quarter = pixels(figure(torch.tensor([[4.0, 1.0]])))
    half = pixels(figure(torch.tensor([[4.0, 2.0]])))
    assert (quarter[0, 1] != half[0, 1]).any() and (quarter[0, 0] == half[0, 0]).all()


def test_the_scale_reaches_as_far_to_either_side() -> None:
    labels = re.findall(r'<span class="bh-\w+" style="left:([\d.]+)%">(.*?)</span>',
                        figure(torch.tensor([-1.0, 4.0])))  # fmt: skip
    assert labels == [("0", "−4"), ("25", "−1"), ("50", "0"), ("75", "1"), ("100", "4")]
    value = figure(torch.tensor([-1.0, 1.5]), "value")
    assert re.findall(r"left:([\d.]+)%", value) == ["0", "40", "100"]


def test_values_have_one_colour_map_from_the_smallest_to_the_largest() -> None:
    ends = {tuple(c) for c in pixels(figure(torch.tensor([5.0, 9.0]), "value"))[0].tolist()}
    for dtype in (torch.int64, torch.uint8, torch.bool, torch.bfloat16, torch.float64):
        seen = pixels(figure(torch.tensor([0, 1]).to(dtype), "value"))
        assert {tuple(c) for c in seen[0].tolist()} == ends


def test_one_large_entry_is_seen_in_a_large_gradient_and_the_caption_says_how() -> None:
    gradient = torch.zeros(1000, 1000)
    gradient[711, 13] = -1e-6
    html = figure(gradient)
    seen = pixels(html)
    assert seen.shape[0] <= ROWS and seen.shape[1] <= COLUMNS
    assert (seen[..., :3] != GREY).any(axis=-1).sum() == 1
    assert "a block of up to 11 × 7 entries" in words(html) and "largest magnitude" in words(html)
    assert "the mean" in words(figure(gradient, "value"))
    assert "Drawn smaller" not in words(figure(gradient[:ROWS, :COLUMNS]))


def test_the_mean_of_a_block_is_that_of_its_entries() -> None:
    """Blocks differ in size by one where the axis is no multiple of the cells."""
    n = COLUMNS + 40
    seen = pixels(figure(torch.ones(n) * 3 + torch.eye(1, n)[0] * 1e-30, "value"))
    assert len(np.unique(seen.reshape(-1, 4), axis=0)) == 1


def test_means_of_integers_are_labelled_as_what_they_are() -> None:
    """Blocks of 2 entries: all of their means are 0.5 or 1.5."""
    entries = torch.arange(2 * COLUMNS) % 2 + (torch.arange(2 * COLUMNS) > COLUMNS)
    labels = re.findall(r"%\">(.*?)</span>", figure(entries, "value"))
    assert labels == ["0.5", "1.5"]
    assert re.findall(r"%\">(.*?)</span>", figure(entries[:COLUMNS] * 7, "value")) == ["0", "7"]


def test_more_axes_are_tiles() -> None:
    x = torch.arange(2 * 3 * 4 * 5.0).reshape(2, 3, 4, 5)
    seen = pixels(figure(x, "value"))
    assert seen.shape[:2] == (2 * 4 + 1, 3 * 5 + 2)
    assert (seen[4, :, 3] == 0).all() and (seen[:, 5, 3] == 0).all()  # gaps are clear
    flat = pixels(figure(x.permute(0, 2, 1, 3).reshape(8, 15), "value"))
    opaque = seen[seen[..., 3] == 255].reshape(8, 15, 4)
    assert (opaque == flat).all()
    assert "a tile of 4 × 5; there are 2 of them down and 3 of them across" in words(figure(x))


def test_the_tiles_of_one_axis_are_laid_out_like_words() -> None:
    x = torch.arange(7 * 2 * 3.0).reshape(7, 2, 3)
    html = figure(x, "value")
    seen = pixels(html)
    assert "from left to right and then down" in words(html)
    assert (seen[..., 3] == 255).sum() == 42
    firsts = [row for row in range(seen.shape[0]) if seen[row, 0, 3] == 255]
    assert len(firsts) < 14  # several tiles lie beside one another
    # the first tile's two rows, and then the second beside it
    assert (seen[0, :3] == pixels(figure(x.reshape(1, 42), "value"))[0, :3]).all()
    assert (seen[0, 4:7] == pixels(figure(x.reshape(1, 42), "value"))[0, 6:9]).all()


def test_what_is_not_finite_is_chequered_and_counted() -> None:
    x = torch.tensor([[float("nan"), 1.0], [float("inf"), -1.0], [float("-inf"), 0.0]])
    html = figure(x)
    seen = pixels(html)
    assert seen.shape[:2] == (6, 4)
    for row in (0, 2, 4):
        tile = seen[row : row + 2, :2, 0].tolist()
        assert tile in ([[0, 255], [255, 0]], [[255, 0], [0, 255]])
    assert "1 × NaN, 1 × ∞, 1 × −∞" in words(html) and "From −1 to 1" in words(html)
    nothing = figure(torch.full((2, 2), float("nan")))
    assert "No entry is a finite number" in words(nothing) and "bh-scale" not in nothing
    large = torch.zeros(500, 500)
    large[3, 3] = float("nan")
    assert {(0, 0, 0, 255), (255, 255, 255, 255)} <= set(map(tuple, pixels(figure(large))[0]))


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.zeros(3, 4), "It is zero everywhere."),
        (torch.full((3, 4), 0.5), "Every entry is 0.5."),
        (torch.zeros(0, 4), "empty, its shape is [0, 4]"),
        (torch.tensor(-2.5e-7), "a scalar"),
        (torch.randn(2, 2, dtype=torch.complex64), "Of complex numbers the magnitudes are drawn"),
        (torch.empty(2, 2, device="meta"), "without numbers"),
        (torch.eye(3), "6 of 9 entries are zero"),
        (torch.tensor([1e308, -1e308], dtype=torch.float64), "From −1e308 to 1e308"),
        (torch.eye(3).to_sparse(), "From 0 to 1"),
    ],
)
def test_the_unusual_is_said(tensor: torch.Tensor, said: str) -> None:
    assert said in words(figure(tensor))


def test_a_scalar_is_a_number() -> None:
    assert '<p class="bh-number">−2.5e−7</p>' in figure(torch.tensor(-2.5e-7))


def test_the_text_for_those_who_do_not_see_it() -> None:
    text = alt(heatmap(torch.tensor([[1.0, -3.0, 2.0]] * 2), "dz", ["n", "3"], "gradient"))
    assert text == (
        "Heatmap of dz, a gradient, [n, 3] = [2, 3]. From −3 to 2, root mean square 2.16. "
        "The smallest is at [0, 1], the largest at [0, 2]."
    )


def test_names_are_escaped() -> None:
    html = heatmap(torch.eye(2), '"><script>', ['<i>"', "2"], "value")
    assert {"script", "i"}.isdisjoint(Balanced().check(html))
    assert alt(html).startswith('Heatmap of "><script>,')


def test_the_heaviest_picture_is_light() -> None:
    for kind in ("value", "gradient"):
        assert len(heatmap(torch.rand(300, 400), "x", ["300", "400"], kind)) < 25_000


def test_the_style_needs_no_network() -> None:
    assert "url(" not in STYLE and "@import" not in STYLE


@settings(max_examples=60, deadline=None)
@given(
    shape=st.lists(st.integers(0, 3), max_size=5),
    dtype=st.sampled_from(
        [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int32, torch.bool,
         torch.complex64]
    ),
    kind=st.sampled_from(["value", "gradient"]),
    scale=st.sampled_from([0.0, 1e-40, 1.0, 3e38]),
    seed=st.integers(0, 9),
)  # fmt: skip
def test_any_tensor_has_a_figure(
    shape: list[int], dtype: torch.dtype, kind: Kind, scale: float, seed: int
) -> None:
    """Warnings are errors: an overflow on the way would be one."""
    entries = torch.rand(shape, generator=torch.Generator().manual_seed(seed)) - 0.5
    if not dtype.is_floating_point and not dtype.is_complex:
        scale = min(scale, 1e9)
    html = figure((entries * scale).to(dtype), kind)
    assert html.startswith('<figure class="bh-heatmap">')
    if entries.numel() and entries.ndim:
        drawn = pixels(html)
        assert (drawn[..., 3] == 255).sum() in (entries.numel(), 4 * entries.numel())
