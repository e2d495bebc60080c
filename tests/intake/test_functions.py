"""Functions, autograd.Functions, dicts and namespaces are brought to the same statements."""

from __future__ import annotations

import ast
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import backhand
from backhand.errors import BackhandError, InputError, LocatedError
from backhand.review import review
from backhand.review.handwritten import Handwritten
from backhand.review.sources import bodies
from backhand.review.sources.autograd_function import from_class
from backhand.review.sources.functions import from_function
from backhand.review.sources.load import load
from backhand.review.sources.namespace import from_namespace

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(1))
W = torch.randn(3, 2, generator=torch.Generator().manual_seed(2))


def forward(x: Any, w: Any) -> Any:
    y = x @ w
    h = y.tanh()
    return (h * h).sum()


def outer(x: Any, w: Any) -> Any:
    y = x @ w
    return y.tanh()


def from_locals(w: Any, h: Any, x: Any) -> None:
    dh = 2 * h
    dy = (1 - h * h) * dh
    dw = x.T @ dy  # noqa: F841
    dx = dy @ w.T  # noqa: F841


def from_tuple(x: Any, w: Any, h: Any) -> Any:
    """Gradients in the order of the inputs."""
    dy = (1 - h * h) * 2 * h
    return dy @ w.T, x.T @ dy


def from_dict(x: Any, w: Any, h: Any) -> Any:
    dy = (1 - h * h) * 2 * h
    return {"x": dy @ w.T, "dw": x.T @ dy}


def from_filled_dict(x: Any, w: Any, h: Any) -> Any:
    grads = {}
    dy = (1 - h * h) * 2 * h
    grads["w"] = x.T @ dy
    grads["x"] = torch.zeros_like(x)
    grads["x"] += dy @ w.T
    return grads


def from_made_dict(x: Any, w: Any, h: Any) -> Any:
    dy = (1 - h * h) * 2 * h
    out = {"x": dy @ w.T, "w": x.T @ dy}
    return out


def other_names(x: Any, w: Any, h: Any) -> Any:
    back = (1 - h * h) * 2 * h
    grad_x = back @ w.T
    grad_w = x.T @ back
    return grad_x, grad_w


def with_upstream(dloss: Any, x: Any, w: Any, h: Any, factor: float = 2) -> Any:
    dy = (1 - h * h) * factor * h * dloss
    return dy @ w.T, x.T @ dy


@pytest.mark.parametrize(
    "backward",
    [
        from_locals,
        from_tuple,
        from_dict,
        from_filled_dict,
        from_made_dict,
        other_names,
        with_upstream,
    ],
)
def test_every_way_to_hand_gradients_back(backward: Callable[..., Any]) -> None:
    found = review(from_function(forward, backward, (X, W), ""))
    assert found.ok, str(found)
    assert {g.of for g in found.gradients} >= {"x", "w"}


def test_statements_stand_where_they_were_written() -> None:
    found = from_function(forward, from_tuple, (X, W), "mine.py")
    assert found.file == "mine.py"
    lines = Path(__file__).read_text(encoding="utf-8").split("\n")
    for statement in found.statements:
        at = lines[statement.line - 1].strip()
        assert at == statement.text or at.startswith("return")
    assert found.statements[0].reads == ("h",)
    assert [s.text for s in found.statements[1:]] == ["dx = dy @ w.T", "dw = x.T @ dy"]


def test_returned_in_the_wrong_order_is_the_returns_fault() -> None:
    def backward(x: Any, w: Any, h: Any) -> Any:
        dy = (1 - h * h) * 2 * h
        dx = dy @ w.T
        dw = x.T @ dy
        return dw, dx

    found = review(from_function(forward, backward, (X, W), ""))
    wrong = {g.name: g.line for g in found.gradients if not g.ok}
    back = from_function(forward, backward, (X, W), "").statements[-1].line
    assert wrong == {"dx": back, "dw": back}


def test_a_promised_gradient_that_is_never_written_is_missing() -> None:
    def backward(x: Any, w: Any, h: Any) -> Any:
        dy = (1 - h * h) * 2 * h
        dx = dy @ w.T
        dww = x.T @ dy  # noqa: F841
        return dx, dw  # type: ignore[name-defined]  # noqa: F821

    found = review(from_function(forward, backward, (X, W), ""))
    assert {g.name: g.verdict for g in found.gradients if not g.ok} == {"dw": "missing"}


def test_blanks_are_blanks(tmp_path: Path) -> None:
    path = tmp_path / "sheet.py"
    path.write_text(
        "import torch\n\n\ndef forward(x, w):\n    y = x @ w\n    return (y * y).sum()\n\n\n"
        "def example_inputs():\n    return torch.randn(4, 3), torch.randn(3, 2)\n\n\n"
        "def backward(x, w, y):\n    dy = 2 * y\n    dx = ...\n    dw = ...\n    return dx, dw\n",
        encoding="utf-8",
    )
    found = load(str(path))
    assert [s.blank for s in found.statements] == [False, True, True]
    verdicts = {g.name: g.verdict for g in review(found).gradients}
    assert verdicts == {"dy": "exact", "dx": "missing", "dw": "missing"}


@pytest.mark.parametrize(
    ("make", "said"),
    [
        ("def backward(x, w, hh): dh = 2 * hh", "did you mean h?"),
        ("def backward(x, w, cache): dh = 2", "no value of the forward pass"),
        ("def backward(*values): dh = 2", "tells nothing about the values"),
        ("def backward(x, w): pass", "has no line to review"),
        ("def backward(h):\n    if 1:\n        return 2 * h\n    return h", "inside a block"),
    ],
)
def test_functions_that_cannot_be_read(tmp_path: Path, make: str, said: str) -> None:
    path = tmp_path / "b.py"
    path.write_text(
        "import torch\ndef example_inputs():\n    return torch.ones(4, 3), torch.ones(3, 2)\n"
        "def forward(x, w):\n    h = x @ w\n    return h.sum()\n" + make + "\n",
        encoding="utf-8",
    )
    with pytest.raises(LocatedError) as error:
        load(str(path))
    assert said in str(error.value) and str(path) in str(error.value)


def test_a_tensor_needs_an_upstream() -> None:
    def without(x: Any, w: Any, y: Any) -> Any:
        dy = 1 - y.tanh() ** 2
        return dy @ w.T, x.T @ dy

    with pytest.raises(LocatedError, match="give without a parameter upstream"):
        from_function(outer, without, (X, W), "")

    def backward(g: Any, x: Any, w: Any, y: Any) -> Any:
        dy = g * (1 - y.tanh() ** 2)
        return dy @ w.T, x.T @ dy

    found = from_function(outer, backward, (X, W), "")
    assert found.upstream == "g" and review(found).ok


class Linear(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, w: Any, scale: float) -> Any:  # type: ignore[override]
        act = (x @ w).tanh()
        ctx.save_for_backward(x, w, act)
        ctx.scale = scale
        return act * scale

    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:  # type: ignore[override]
        a, weight, t = ctx.saved_tensors
        grad_x = grad_w = None
        g = grad_output * ctx.scale * (1 - t * t)
        if ctx.needs_input_grad[0]:
            grad_x = g @ weight.t()
        if ctx.needs_input_grad[1]:
            grad_w = a.t() @ g
        return grad_x, grad_w, None


class Forgetful(Linear):
    @staticmethod
    def backward(ctx: Any, grad_output: Any) -> Any:  # type: ignore[override]
        _x, weight, t = ctx.saved_tensors
        g = grad_output * (1 - t * t)
        return g @ weight.t(), None, None


def scaled(x: Any, w: Any, scale: float) -> Any:
    y = x @ w
    h = y.tanh()
    return h * scale


def test_a_function_class_against_its_reference() -> None:
    found = from_class(Linear, scaled, (X, W, 3.0), "")
    assert found.names == {"a": "x", "weight": "w", "t": "h"}
    assert found.upstream == "grad_output"
    judged = review(found)
    assert judged.ok, str(judged)
    assert {g.name: g.of for g in judged.gradients if g.of in ("x", "w")} == {
        "grad_x": "x",
        "grad_w": "w",
    }


def test_a_function_class_alone_and_with_faults() -> None:
    alone = from_class(Linear, None, (X, W, 3.0), "")
    assert review(alone).ok and any("itself" in note for note in alone.notes)
    wrong = from_class(Forgetful, scaled, (X, W, 3.0), "")
    assert not review(wrong).ok
    assert any("returns None for w" in note for note in wrong.notes)


def test_a_class_that_computes_something_else_is_told() -> None:
    def other(x: Any, w: Any, scale: float) -> Any:
        return (x @ w).tanh() * scale * 2

    found = from_class(Linear, other, (X, W, 3.0), "")
    assert any("differs from its reference" in note for note in found.notes)

    def bigger(x: Any, w: Any, scale: float) -> Any:
        return torch.cat([x @ w, x @ w])

    with pytest.raises(InputError, match="returns shape"):
        from_class(Linear, bigger, (X, W, 3.0), "")


def test_dicts_by_either_name() -> None:
    y = X @ W
    dy = (1 - y.tanh() ** 2) * 2 * y.tanh()
    values = {"dx": dy @ W.T, "dw": X.T @ dy}
    for named in (values, {n[1:]: v for n, v in values.items()}):
        found = from_namespace(forward, named, (X, W))
        assert review(found).ok and [s.line for s in found.statements] == [0, 0]
    wrong = review(from_namespace(forward, {"x": dy @ W.T, "w": 2 * X.T @ dy}, (X, W)))
    assert [g.name for g in wrong.gradients if not g.ok] == ["dw"]
    with pytest.raises(InputError, match="there is no gradient in it"):
        from_namespace(forward, {"a": 1}, (X, W))


def test_a_namespace_with_a_history_has_lines() -> None:
    h = (X @ W).tanh()
    history = [
        "",
        "x, w = inputs()",
        "h = (x @ w).tanh()\ndy = 1 - h",
        "dy = (1 - h * h) * 2 * h",
        "tmp = x.T\ndw = tmp @ dy\n%timeit dw",
    ]
    dy = (1 - h * h) * 2 * h
    space = {"__name__": "__main__", "x": X, "w": W, "h": h, "dy": dy, "tmp": X.T}
    space |= {"dw": X.T @ dy, "dx": dy @ W.T, "In": history}
    found = from_namespace(forward, space, ())
    assert [(s.where, s.line, s.text) for s in found.statements] == [
        ("In [3]", 1, "dy = (1 - h * h) * 2 * h"),
        ("In [4]", 1, "tmp = x.T"),
        ("In [4]", 2, "dw = tmp @ dy"),
        ("", 0, "dx = value_of_dx"),
    ]
    assert review(found).ok


def test_check_takes_all_of_them(tmp_path: Path) -> None:
    lines = "dh = 2 * h\ndy = (1 - h * h) * dh\ndx = dy @ w.T\ndw = x.T @ dy\n"
    path = tmp_path / "lines.py"
    path.write_text("import math\n" + lines, encoding="utf-8")
    function = "def backward(x, w, h):\n    dy = (1 - h*h) * 2 * h\n    return dy @ w.T, x.T @ dy\n"
    for written in (lines, function, path, from_tuple, {"x": backward_x(), "w": backward_w()}):
        assert backhand.check(forward, written, X, W).ok
    wrong = backhand.check(forward, lines.replace("2 * h", "h"), X, W)
    assert not wrong.ok and not {g.verdict for g in wrong.gradients} <= {"exact", "close"}
    assert "dh = h" in str(wrong) and wrong.gradients[0].hint(1)


def backward_x() -> torch.Tensor:
    h = (X @ W).tanh()
    return ((1 - h * h) * (2 * h)) @ W.T


def backward_w() -> torch.Tensor:
    h = (X @ W).tanh()
    return X.T @ ((1 - h * h) * (2 * h))


@pytest.mark.parametrize(
    ("handwritten", "said"),
    [
        (7, "a int is nothing to review"),
        ("", "is empty"),
        ("dx = (", "was never closed"),
        ("a = 1\n", "no line that writes a gradient"),
        (torch.nn.Linear, "no torch.autograd.Function"),
        (len, "the source of len cannot be found"),
        (Path("absent.py"), "there is no file absent.py"),
    ],
)
def test_check_refuses_what_is_nothing_to_review(handwritten: object, said: str) -> None:
    with pytest.raises(BackhandError) as error:
        backhand.check(forward, handwritten, X, W)
    assert said in str(error.value)


def test_handwritten_is_what_the_review_takes() -> None:
    assert isinstance(from_function(forward, from_tuple, (X, W), ""), Handwritten)


def test_a_module_brings_its_parameters() -> None:
    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = torch.nn.Linear(3, 2)

        def forward(self, x: Any) -> Any:
            h = self.fc(x)
            return (h * h).sum()

    def backward(x: Any, h: Any, fc_weight: Any) -> Any:
        dh = 2 * h
        dx = dh @ fc_weight
        dfc_weight = dh.T @ x
        dfc_bias = dh.sum(0)
        return {"x": dx, "fc_weight": dfc_weight, "fc_bias": dfc_bias}

    found = backhand.check(Net(), backward, X)
    assert found.ok and len(found.gradients) == 4


def test_a_review_in_the_process_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a device is open already, a fork could not use it."""
    monkeypatch.setattr("backhand.review.isolated._device_is_open", lambda: True)
    monkeypatch.setattr("os.fork", None)
    assert backhand.check(forward, from_tuple, X, W).ok


def test_text_that_fails_is_the_users() -> None:
    function = "def backward(h):\n    dh = 2 * h\n"
    for text, said in (
        (f"import nothing_here\n{function}", "line 1: import nothing_here"),
        (f"{function}x = 1 / 0\n", "line 3: x = 1 / 0"),
        (f"{function}return 3\n", "the handwritten lines, line 3: 'return' outside function"),
    ):
        with pytest.raises(InputError) as error:
            backhand.check(forward, text, X, W)
        assert said in str(error.value) and "fault of backhand" not in str(error.value)


def test_a_function_is_read_without_changing_its_text() -> None:
    """A file is parsed once for all of its functions, and each reading starts from that."""
    before = bodies.written(from_filled_dict)
    assert before is not None
    dumped = ast.dump(before.node)
    found = [from_function(forward, from_filled_dict, (X, W), "").statements for _ in range(2)]
    after = bodies.written(from_filled_dict)
    assert after is not None and after.node is before.node and ast.dump(after.node) == dumped
    assert [s.text for s in found[0]] == [s.text for s in found[1]]


def centred(x: Any) -> Any:
    diff = x - x.mean(0)
    return (diff * diff).sum()


def filled(x: Any, diff: Any) -> Any:
    grads = {}
    grads["diff"] = 2 * diff
    grads["dx"] = grads["diff"] - grads["diff"].mean(0)
    return grads


def in_braces(x: Any, diff: Any) -> Any:
    ddiff = 2 * diff
    return {"diff": ddiff, "x": ddiff - ddiff.mean(0)}


def by_keyword(x: Any, diff: Any) -> Any:
    ddiff = 2 * diff
    return dict(diff=ddiff, dx=ddiff - ddiff.mean(0))


@pytest.mark.parametrize("backward", [filled, in_braces, by_keyword])
def test_a_value_whose_name_starts_with_d(backward: Callable[..., Any]) -> None:
    found = review(from_function(centred, backward, (X,), ""))
    assert found.ok, str(found)
    assert [(g.name, g.of) for g in found.gradients] == [("ddiff", "diff"), ("dx", "x")]
