"""Programs with fifty digits: in agreement with the NumPy reference, and with themselves."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest

import backhand
from backhand.errors import ProgramError
from backhand.program.exact import evaluate_exact, real_array, relative_distance
from backhand.program.exact_ops import EXACT, NONE
from backhand.program.ir import Node, Value
from backhand.program.ops import get_op, table
from backhand.program.real import PI, Real, floats, real
from backhand.program.reference import evaluate, references
from backhand.program.sizes import Scalar, Size, symbol
from examples import article

rng = np.random.default_rng(0)
x = rng.normal(size=(3, 4))
y = rng.normal(size=(3, 4))
row = rng.normal(size=4)
positive = rng.uniform(0.2, 2.0, size=(3, 4))
unit = rng.uniform(0.05, 0.95, size=(3, 4))
cube = rng.normal(size=(2, 3, 4))
image = rng.normal(size=(2, 4, 3, 3))
mask = rng.random((3, 4)) < 0.5
ties = rng.integers(-1, 2, size=(3, 4)).astype(np.float64)
whole = rng.integers(-3, 4, size=(3, 4))
rows = np.array([2, 0, 2])
labels = np.array([3, 1, 1])
columns = np.array([[0, 3, 1, 1], [2, 2, 2, 0], [3, 0, 1, 2]])
scale, shift = rng.uniform(0.5, 1.5, size=4), rng.normal(size=4)

# One node each: the operator and its arguments, those with defaults by name.
CASES = [
    ("neg", x), ("add", x, y), ("add", x, row), ("add", x, 1), ("sub", 0.1, x), ("mul", x, row),
    ("mul", x, mask), ("div", x, positive), ("div", 1, positive), ("div", whole, 3),
    ("div", whole, 0.3), ("add_alpha", x, y, 0.3),
    ("pow", x, 2), ("pow", x, 3.0), ("pow", positive, -0.5), ("pow", positive, 0.3),
    ("pow", 2, x), ("pow", positive, x), ("pow", x, -1),
    ("exp", x), ("exp", whole), ("log", positive), ("log1p", positive), ("expm1", x),
    ("sqrt", positive), ("rsqrt", positive), ("square", x), ("reciprocal", positive),
    ("sigmoid", x), ("silu", x), ("softplus", x, 1, 20), ("softplus", 40 * x, 0.7, 3.5),
    ("logsigmoid", x), ("tanh", x), ("sin", x), ("cos", x), ("erf", x), ("abs", x),
    ("sign", ties), ("relu", x), ("gelu", x, "none"), ("gelu", x, "tanh"),
    ("where", mask, x, y), ("where", mask, x, 0.1), ("where", mask, 0, y),
    ("masked_fill", x, mask, 0.1), ("masked_fill", x, mask, -np.inf),
    ("maximum", x, y), ("minimum", x, row), ("clamp", x, -0.1, 0.5), ("clamp", x, None, row),
    ("clamp_min", x, 0), ("clamp_max", x, 0.3),
    ("eq", ties, 0), ("ne", ties, x), ("lt", x, 0.1), ("le", ties, 0), ("gt", x, y),
    ("ge", ties, row), ("eq", whole, 1), ("ge", whole, 0.5), ("logical_not", ties),
    ("logical_not", mask), ("isfinite", x), ("isnan", x),
    ("sum", x, None, False, None), ("sum", x, 0, True, None), ("sum", cube, (0, -1), False, None),
    ("sum", mask, 1, False, None), ("sum", whole, 0, False, "float64"),
    ("sum", x, 0, False, "float64"), ("mean", x, 1, True, None), ("mean", x, None, False, None),
    ("mean", whole, 0, False, "float64"),
    ("var", x, 0, 1, False), ("var", cube, (0, 2), 0, True), ("var", x, None, 2.0, False),
    ("std", x, 1, 1, False), ("var_mean", x, 0, 1, True), ("std_mean", x, 0, 0, False),
    ("vector_norm", x, 2, None, False, None), ("vector_norm", x, 3.0, 1, True, None),
    ("vector_norm", x, np.inf, 0, False, None), ("vector_norm", ties, 0, 0, False, None),
    ("logsumexp", x, 1, False), ("logsumexp", cube, (0, 2), True),
    ("amax", x, (), False), ("amax", x, 1, True), ("amin", cube, (0, 1), False),
    ("max_dim", ties, 1, True), ("min_dim", ties, 0, False), ("max", x), ("argmax", ties, 1, False),
    ("argmax", x, None, False), ("argmin", ties, 0, True), ("sort", x, 1, True, False),
    ("topk", x, 2, 1, True, True), ("softmax", x, 1, None), ("softmax", x, 0, "float64"),
    ("log_softmax", x, -1, None), ("cumsum", x, 0, None), ("cumprod", x, 1, None),
    ("prod", x, 0, False, None), ("any", ties, 1, False), ("all", ties, None, False),
    ("matmul", x, y.T), ("matmul", cube, y.T), ("matmul", x, row), ("mm", x, y.T),
    ("bmm", cube, np.swapaxes(cube, 1, 2)), ("linear", x, y, None), ("linear", x, y, row[:3]),
    ("addmm", row[:3], x, y.T, 1, 1), ("addmm", row[:3], x, y.T, 0.3, 2),
    ("einsum", "bij,kj->bik", (cube, y)),
    ("native_layer_norm", x, (4,), scale, shift, 1e-5),
    ("native_layer_norm", x, (4,), None, None, 0.1),
    ("native_batch_norm", image, scale, shift, None, None, True, 0.1, 1e-5),
    ("native_batch_norm", image, None, None, shift, scale, False, 0.1, 1e-5),
    ("native_group_norm", image, scale, shift, 2, 4, 9, 2, 1e-5),
    ("mse_loss", x, y, "mean"), ("mse_loss", x, y, "none"),
    ("nll", x, labels, None, -100, "mean"), ("nll", x, labels, scale, 3, "mean"),
    ("nll", x, labels, scale, -100, "none"), ("nll_loss_forward", x, labels, scale, 1, 3),
    ("binary_cross_entropy", unit, unit[::-1], None, "mean"),
    ("binary_cross_entropy", unit, unit[::-1], scale, "sum"),
    ("binary_cross_entropy_with_logits", x, unit, None, "mean", None),
    ("binary_cross_entropy_with_logits", x, unit, scale, "none", shift),
    ("index", x, (rows,)), ("index", x, (None, labels)), ("index", x, (rows, labels)),
    ("index", cube, (mask[:2, :3],)),
    ("index_put", x, (rows,), y, True), ("index_put", x, (rows, labels), 0.1, True),
    ("index_put", x, (np.array([1]),), row, False),
    ("gather", x, 1, columns), ("scatter", x, 1, columns[:, :1], y),
    ("scatter", x, 1, labels[:, None], 0.1),
    ("scatter_add", x, 1, columns, y), ("embedding", x, columns % 3, -1, False, False),
    ("embedding_backward", cube, rows[:2, None] + np.zeros((2, 3), int), 5, 2, False),
    ("one_hot", labels, 5),
    ("view", x, (4, 3)), ("reshape", x, (2, -1)), ("permute", cube, (2, 0, 1)),
    ("transpose", cube, 0, -1), ("t", x), ("expand", row, (3, 4)), ("squeeze", x[:, None], 1),
    ("unsqueeze", x, 1), ("flatten", cube, 1, -1), ("slice", x, 1, 1, 4, 2), ("select", x, 0, 1),
    ("cat", (x, y), 1), ("stack", (x, y), 0), ("unbind", x, 0), ("chunk", x, 2, 1),
    ("tril", x, 0), ("flip", x, (0,)), ("roll", x, 1, 0), ("constant_pad_nd", x, (1, 0), 0.1),
    ("zeros_like", x), ("zeros_like", whole), ("ones_like", x),
    ("full", (2, 3), 0.1, "float64", None), ("full", (2,), 7, "int64", None),
    ("full_like", x, 0.1), ("full_like", whole, 2), ("new_zeros", x, (2,)),
    ("eye", 2, 3, "float64", None),
    ("linspace", -1, 0.5, 5, "float64", None), ("linspace", 2, 7, 1, "float64", None),
    ("arange", 0, 5, 1, None, None),
    ("arange", 0, 5, 1, "float64", None), ("arange", 0.5, 2.1, 0.25, "float64", None),
    ("to", x, "float64"), ("to", whole, "float64"), ("to", mask, "float64"), ("to", 3 * x, "int64"),
    ("to", ties, "bool"), ("stop_gradient", x), ("identity", x), ("clone", x), ("contiguous", x),
    ("softmax_backward", x, unit, 1, "float64"), ("log_softmax_backward", x, -unit, 1, "float64"),
    ("tanh_backward", x, unit), ("gelu_backward", x, y, "none"), ("gelu_backward", x, y, "tanh"),
    ("threshold_backward", x, ties, 0), ("softplus_backward", x, y, 1, 20), ("silu_backward", x, y),
    ("attention", cube, cube, cube, None, 0.0, True, None),
    ("heaviside", ties, y), ("floor_divide", x, 0.3), ("floor_divide", whole, 2),
    ("argsort", x, 1, True), ("count_nonzero", ties, (0,)),
    ("remainder", x, 0.3), ("floor", x), ("round", x, 1), ("div_mode", x, 0.3, "floor"),
    ("lgamma", 3 * x), ("digamma", positive), ("erfinv", unit), ("i0", x),
    ("xlogy", ties, positive),
]  # fmt: skip


def node_of(op, args, results=None):
    """The node that applies ``op`` to arrays and plain arguments, and the arrays by name."""
    space = {}

    def value(arg):
        if isinstance(arg, tuple):
            return tuple(map(value, arg))
        if not isinstance(arg, np.ndarray):
            return arg
        name = f"x{len(space)}"
        space[name] = arg
        return Value(name, arg.shape, "float64" if arg.dtype == object else str(arg.dtype), name)

    values = tuple(map(value, args))
    if results is None:
        results = references()[op](*args)
    results = results if isinstance(results, tuple) else (results,)
    results = [np.asarray(r) for r in results]
    outs = tuple(Value(f"y{i}", r.shape, str(r.dtype), f"y{i}") for i, r in enumerate(results))
    return Node(op, values, outs), space, results


def run(op, *args, like=None, **named):
    """The first output of one operator; floating, at the shape of ``like``, unless told."""
    args = get_op(op).bind(args, named)
    like = next(a for a in args if isinstance(a, np.ndarray)) if like is None else like
    node, space, _ = node_of(op, args, np.zeros(like.shape))
    return evaluate_exact([node], space, {})["y0"]


@pytest.mark.parametrize(
    ("op", "args"), [(op, args) for op, *args in CASES], ids=[case[0] for case in CASES]
)
def test_agrees_with_the_reference_in_float64(op, args):
    node, space, results = node_of(op, args)
    found = evaluate_exact([node], space, {})
    assert set(found) == {*space, *(v.name for v in node.outs)}
    for value, truth in zip(node.outs, results, strict=True):
        mine = found[value.name]
        if value.floating:
            assert all(type(e) is Real for e in mine.ravel())
            assert relative_distance(mine, truth) < 1e-12
        else:
            assert mine.dtype == truth.dtype
            np.testing.assert_array_equal(mine, truth)


def is_close(a, b, limit=1e-45):
    return relative_distance(a, np.broadcast_to(b, np.shape(a))) < limit


X, Y, P, U, C = (real_array(a) for a in (x, y, positive, unit, cube))
ONE = np.ones((3, 4))
IDENTITIES = {
    "exp log": lambda: (run("exp", run("log", P)), P),
    "log1p expm1": lambda: (run("log1p", run("expm1", X)), X),
    "expm1 of little": lambda: (run("expm1", X / 10**20),
                                X / 10**20 + X**2 / (2 * 10**40) + X**3 / (6 * 10**60)),
    "square sqrt": lambda: (run("square", run("sqrt", P)), P),
    "rsqrt": lambda: (run("rsqrt", P), run("reciprocal", run("sqrt", P))),
    "pow 0.3": lambda: (run("pow", run("pow", P, 0.3), 10), P * P * P),
    "pow -0.5": lambda: (run("pow", P, -0.5), run("rsqrt", P)),
    "sin and cos": lambda: (run("square", run("sin", X)) + run("square", run("cos", X)), ONE),
    "tanh": lambda: (run("tanh", X), 2 * run("sigmoid", 2 * X) - 1),
    "sigmoid": lambda: (run("sigmoid", X) + run("sigmoid", -X), ONE),
    "logsigmoid": lambda: (run("exp", run("logsigmoid", X)), run("sigmoid", X)),
    "softplus": lambda: (run("softplus", X) - run("softplus", -X), X),
    "silu": lambda: (run("silu", X) - run("silu", -X), X),
    "gelu": lambda: (run("gelu", X, "none") - run("gelu", -X, "none"), X),
    "gelu, tanh": lambda: (run("gelu", X, "tanh") - run("gelu", -X, "tanh"), X),
    "erf": lambda: (run("erf", X), erf_by_series(X)),
    "erfinv": lambda: (run("erf", run("erfinv", U)), U),
    "lgamma": lambda: (run("lgamma", P + 1) - run("lgamma", P), run("log", P)),
    "digamma": lambda: (run("digamma", P + 1) - run("digamma", P), 1 / P),
    "softmax": lambda: (run("log", run("softmax", X, 1)), run("log_softmax", X, 1)),
    "softmax, shifted": lambda: (run("softmax", X + 1000, 1), run("softmax", X, 1)),
    "cumsum": lambda: (run("cumsum", X, 1)[:, -1], np.sum(X, axis=1)),
    "logsumexp": lambda: (run("exp", run("logsumexp", X, 1, like=row[:3])),
                          np.sum(run("exp", X), axis=1)),
    "std": lambda: (run("square", run("std", X, 0, like=row)), run("var", X, 0, like=row)),
    "vector_norm": lambda: (run("square", run("vector_norm", X, 2, 1, like=row[:3])),
                            np.sum(X * X, axis=1)),
    "matmul": lambda: (run("matmul", X, Y.T, like=np.ones((3, 3))),
                       np.array([[np.sum(a * b) for b in Y] for a in X])),
    "a float is its decimal": lambda: (run("mul", ONE, 0.1), ONE / np.full((3, 4), real(10))),
}  # fmt: skip


def erf_by_series(values):
    total, term = 0 * values, values
    for k in range(1, 200):
        total, term = total + term / (2 * k - 1), -term * values * values / k
    return total * 2 / PI.sqrt()


@pytest.mark.parametrize("name", IDENTITIES)
def test_identities_hold_to_all_digits(name):
    ours, theirs = IDENTITIES[name]()
    assert is_close(ours, theirs)


def largest(array):
    return float(np.max(np.abs(floats(array))))


def test_what_sums_to_nothing_does():
    assert largest(run("softmax", X, 1).sum(axis=1) - 1) < 1e-48
    centred = X - run("mean", X, 0, keepdim=True, like=row[None])
    assert largest(centred.sum(axis=0)) < 1e-48
    assert largest(run("exp", run("log_softmax", X, 1)).sum(axis=1) - 1) < 1e-48
    node, space, _ = node_of("native_layer_norm", (x, (4,), None, None, 1e-5))
    assert largest(evaluate_exact([node], space, {})["y0"].sum(axis=1)) < 1e-47


def test_infinities_and_nan():
    odd = real_array(np.array([0.0, 1.0, -1.0, np.inf, -np.inf, np.nan]))
    expected = {
        ("reciprocal",): [np.inf, 1, -1, 0, 0, np.nan],
        ("log",): [-np.inf, 0, np.nan, np.inf, np.nan, np.nan],
        ("sqrt",): [0, 1, np.nan, np.inf, np.nan, np.nan],
        ("sin",): [0, np.sin(1), -np.sin(1), np.nan, np.nan, np.nan],
        ("exp",): [1, np.e, 1 / np.e, np.inf, 0, np.nan],
        ("tanh",): [0, np.tanh(1), -np.tanh(1), 1, -1, np.nan],
        ("relu",): [0, 1, 0, np.inf, 0, np.nan],
        ("maximum", 0.5): [0.5, 1, 0.5, np.inf, 0.5, np.nan],
        ("clamp", -2, 2): [0, 1, -1, 2, -2, np.nan],
        ("sign",): [0, 1, -1, 1, -1, 0],
        ("sub", np.inf): [-np.inf, -np.inf, -np.inf, np.nan, -np.inf, np.nan],
        ("mul", 0): [0, 0, 0, np.nan, np.nan, np.nan],
        ("div", 0): [np.nan, np.inf, -np.inf, np.inf, -np.inf, np.nan],
        ("pow", -1): [np.inf, 1, -1, 0, 0, np.nan],
        ("pow", 0): [1, 1, 1, 1, 1, 1],
        ("pow", 0.5): [0, 1, np.nan, np.inf, np.inf, np.nan],
        ("pow", 3): [0, 1, -1, np.inf, -np.inf, np.nan],
    }
    for (op, *args), truth in expected.items():
        found = floats(run(op, odd, *args))
        np.testing.assert_allclose(found, truth, rtol=1e-15, err_msg=op)
    masked = real_array(np.array([[0.0, -np.inf], [-np.inf, -np.inf]]))
    np.testing.assert_array_equal(
        floats(run("softmax", masked, 1)), [[1, 0], [np.nan, np.nan]]
    )
    assert np.isnan(floats(run("amax", odd, like=np.zeros(())))).all()
    # beyond float64, and beyond all use
    for large in (1e5, 1e300):
        assert floats(run("log", run("exp", real_array(np.array([large])))))[0] == large
    assert floats(run("exp", run("exp", real_array(np.array([1e5])))))[0] == np.inf


def test_no_elements():
    empty = np.zeros((0, 3))
    assert run("exp", empty).shape == (0, 3)
    np.testing.assert_array_equal(floats(run("sum", empty, 0, like=np.zeros(3))), np.zeros(3))
    assert np.isnan(floats(run("mean", empty, 0, like=np.zeros(3)))).all()
    product = run("matmul", empty.T, empty, like=np.zeros((3, 3)))
    np.testing.assert_array_equal(floats(product), np.zeros((3, 3)))
    ignored = run("nll", x, labels, ignore_index=1, like=np.zeros(()))
    everything = run("nll", x, np.array([1, 1, 1]), ignore_index=1, like=np.zeros(()))
    assert np.isfinite(floats(ignored))
    assert np.isnan(floats(everything))


def test_relative_distance():
    assert relative_distance(np.zeros(2), np.zeros(2)) == 0
    assert relative_distance(np.zeros((0, 2)), np.zeros((0, 2))) == 0
    assert relative_distance(np.array([1.0, -4.0]), np.array([1.0, -3.0])) == 0.25
    assert relative_distance(np.array([0.0, np.nan]), np.array([0.0, np.nan])) == 0
    assert relative_distance(np.array([0.0, np.nan]), np.array([0.0, 1.0])) == np.inf
    assert relative_distance(np.array([np.inf, 2.0]), np.array([np.inf, 1.0])) == 0.5
    assert relative_distance(np.array([np.inf]), np.array([-np.inf])) == np.inf
    third = real_array(np.array([1.0])) / 3
    assert 1e-49 < relative_distance(third, third * (1 + real(1) / real(10) ** 48)) < 2e-48
    assert 1e-17 < relative_distance(third, np.array([1 / 3])) < 1e-16
    with pytest.raises(ProgramError, match="have no distance"):
        relative_distance(np.zeros(2), np.zeros(3))


def test_a_computed_float_never_passes_for_a_real():
    with pytest.raises(ProgramError, match="computed with floats"):
        real(1) + 1 / 3
    with pytest.raises(TypeError):
        float(real(1))
    with pytest.raises(TypeError):
        np.array([real(1)], dtype=np.float64)
    assert real(0.1) * 10 == 1
    assert real_array(np.array([0.1]))[0] * 10 != 1  # an element keeps the float's own value


def test_numbers_made_of_sizes():
    n = Size(symbol("n"))
    third = Scalar("div", (1, n))
    node, space, _ = node_of("mul", (x, third), x)
    assert is_close(evaluate_exact([node], space, {"n": 3})["y0"] * 3, real_array(x))
    root, space, _ = node_of("mul", (x, Scalar("sqrt", (n,))), x)
    assert is_close(evaluate_exact([root], space, {"n": 3})["y0"] ** 2, 3 * X * X)
    shaped = Node("view", (Value("x", (3, 4), "float64"), (n, 3)), (Value("y", (n, 3), "float64"),))
    assert evaluate_exact([shaped], {"x": x}, {"n": 4})["y"].shape == (4, 3)
    with pytest.raises(ProgramError, match="no value for the size n"):
        evaluate_exact([shaped], {"x": x}, {})


def test_errors_name_the_operator_and_the_reason():
    for op, args, message in (
        ("copysign", (x, y), "copysign has no exact version: it tells signed zeros apart"),
        ("linalg_inv", (x[:, :3],), "linalg_inv has no exact version: NumPy solves"),
    ):
        node, space, _ = node_of(op, args)
        with pytest.raises(ProgramError, match=message):
            evaluate_exact([node], space, {})
    node, space, _ = node_of("exp", (x,), np.zeros((4, 3)))
    with pytest.raises(ProgramError, match=r"exp gives the shape \(3, 4\) where y0 has \(4, 3\)"):
        evaluate_exact([node], space, {})
    with pytest.raises(ProgramError, match="there is no array for x0"):
        evaluate_exact([node], {}, {})
    drawn = Node("rand_like", (Value("x0", (3, 4), "float64"),), (Value("r", (3, 4), "float64"),))
    with pytest.raises(ProgramError, match="there is no array for r"):
        evaluate_exact([drawn], {"x0": x}, {})
    given = evaluate_exact([drawn], {"x0": x, "r": unit}, {})
    assert relative_distance(given["r"], unit) == 0


def test_the_tables_speak_of_operators_that_there_are():
    assert set(EXACT) | set(NONE) <= set(table())
    assert not set(EXACT) & set(NONE)
    assert all(NONE.values())


def test_evaluating_needs_no_torch():
    code = "import sys, backhand.program.exact; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["False"], ran.stderr


def test_the_article_forward_and_backward():
    names = ["C", "Xb", "W1", "b1", "bngain", "bnbias", "W2", "b2", "Yb"]
    tensors = article.example_inputs(n=6, d=8, k=5, t=3, e=4)
    tensors = [v.double() if v.is_floating_point() else v for v in tensors]
    bp = backhand.derive(article.forward, *tensors)
    derived, sizes = bp.derived("plain"), bp.program.hints()
    arrays = {name: v.numpy() for name, v in zip(names, tensors, strict=True)}
    start = time.process_time()
    found = evaluate_exact(bp.program.nodes(), arrays, sizes)
    seeds = {up.name: np.ones(()) for up in derived.upstream}
    found = evaluate_exact(derived.program.nodes(), {**found, **seeds}, sizes)
    assert time.process_time() - start < 5
    forward = evaluate(bp.program, arrays, sizes)
    truth = evaluate(derived.program, {**forward, **seeds}, sizes)
    # zero but for rounding, because a softmax and a batch norm take away what shifts them
    nothing = {derived.gradients["b1"], "dlogit_maxes"}
    compared = 0
    for name, array in {**forward, **truth}.items():
        if array.dtype.kind == "f" and name not in nothing:
            if largest(found[name]) < 1e-45:
                assert np.abs(array).max() < 1e-15, name
                continue
            assert relative_distance(found[name], array) < 1e-9, name
            compared += 1
    assert compared > 60
    for name in nothing:
        assert largest(found[name]) < 1e-48
        assert np.abs(truth[name]).max() > 1e-20
