"""Names are the author's own, recovered from the statements that computed the values."""

import linecache

import pytest
import torch
from torch import nn

import backhand

X = torch.linspace(-1.0, 1.5, 24).reshape(4, 6)


def names(forward, *inputs):
    """The names of the values that statements assigned, in order; the gradients are checked."""
    bp = backhand.derive(forward, *(inputs or (X,)))
    report = bp.verify()
    assert report.ok, str(report)
    return [v.var for node in bp.captured.program.nodes() for v in node.outs if v.var]


def several_lines(x):
    y = x.exp().sum(1)
    z = y * y
    return z.sum()


def tuples(x):
    q, k, v = x.split(2, dim=1)
    a, b = q + 1, k * 2
    (c, d), e = (a * b, a - b), v
    return (c * d * e).sum()


def augmented(x):
    y = x * 2
    y += 1
    y *= x
    return y.sum()


def walrus(x):
    z = (y := x * 2) + (w := y.exp())
    return (z * w).sum()


def comprehension(x):
    layers = [x * i for i in range(1, 4)]
    return torch.stack(layers).pow(2).sum()


def loop(x):
    for _ in range(3):
        x = x.sin()
    return x.sum()


def act(v):
    inner = v * v
    return inner.exp()


def twice(v):
    d = act(v)
    return d * 2


def helpers(x):
    a = act(x)
    b = act(a * 0.1)
    c = a + act(b * 0.1)
    return (a * b * c).sum()


def nested_helpers(x):
    r = twice(x)
    return r.sum()


def subscripts(x):
    out = {}
    out["hidden"] = x * 2
    out["q"] = out["hidden"].exp()
    rows = [0, 0]
    rows[0] = x + 1
    return (out["q"] * rows[0]).sum()


def attributes(x):
    class Holder:
        pass

    o = Holder()
    o.h = x * 2
    return o.h.exp().sum()


def matrix(x):
    return x @ x.t()


def shadowed(x):
    x = x * 2
    y = x.exp()
    x = y * x
    return x.sum()


def gradient_names(x):
    dx = x.exp()
    ddx = dx * x
    return ddx.sum()


def module_names(x):
    n = x.shape[0]
    y = x / n
    n = y.exp()
    float = n * 2
    math = float * n
    torch = math.sin()
    return torch.sum()


def other_letters(x):
    α = x * 2
    β_1 = α.exp()
    return (α * β_1).sum()


def fields(x):
    maxes = x.max(1, keepdim=True).values
    ordered = x.sort(1)
    top, _ = x.topk(2, dim=1)
    return (maxes * top).sum() + ordered.values[:, 0].sum()


@pytest.mark.parametrize(
    ("forward", "expected"),
    [
        (several_lines, "y z loss"),
        (tuples, "q k v a b c d loss"),
        (augmented, "y y_2 y_3 loss"),
        (walrus, "y w z loss"),
        (comprehension, "layers layers_2 layers_3 loss"),
        (loop, "x_2 x_3 x_4 loss"),
        (helpers, "a_inner a b_inner b c_inner c_out c loss"),
        (nested_helpers, "r_d_inner r_d r loss"),
        (subscripts, "out_hidden out_q rows_0 loss"),
        (attributes, "h loss"),
        (matrix, "out"),
        (shadowed, "x_2 y x_3 loss"),
        (gradient_names, "dx ddx loss"),
        (module_names, "y n_2 float_2 math_2 torch_2 loss"),
        (other_letters, "α β_1 loss"),
        (fields, "maxes maxes_indices ordered ordered_indices top loss"),
        (lambda x: (x.exp() * (lambda v: v * v)(x)).sum(), "lambda_out loss"),
    ],
    ids=lambda p: getattr(p, "__name__", ""),
)
def test_names(forward, expected):
    assert names(forward) == expected.split()


def test_one_statement_is_one_step():
    steps = backhand.derive(lambda x: (x.exp().log() + 1).tanh().sum(), X).program.steps
    assert len(steps) == 1


def test_a_gradient_of_x_beside_a_variable_called_dx():
    text = str(backhand.derive(gradient_names, X).longhand)
    assert "dx_2 = " in text and "ddx_2 = " in text


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q = nn.Linear(6, 6)

    def forward(self, x):
        q = self.q(x)
        scores = q @ x.t()
        return torch.softmax(scores, 1) @ x


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 6))

    def forward(self, x):
        x = x + self.attn(x)
        h = self.mlp(x)
        return x + h


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(), Block()])
        self.fc1 = nn.Linear(6, 1)

    def forward(self, x):
        for block in self.blocks:
            x = block(x)
        return self.fc1(x).sum()


class Tripled(Net):
    def forward(self, x):
        y = super().forward(x)
        return y * 3


def test_modules_name_by_path():
    found = names(Net())
    for name in ("blocks_0_attn_q", "blocks_1_attn_scores", "blocks_0_attn_out", "blocks_1_h"):
        assert name in found
    # what the blocks return is the loop's x
    assert [n for n in found if "blocks" not in n] == ["x_2", "x_3", "loss"]


def test_parameters_name_by_path():
    bp = backhand.derive(Net(), X)
    assert {"fc1_weight", "blocks_0_mlp_0_bias", "blocks_1_attn_q_weight"} <= {*bp.gradient_names}


def test_a_subclass_that_calls_super():
    assert names(Tripled())[-2:] == ["y", "loss"]


SOURCE = "def cell(x):\n    y = x * 2\n    z = y.exp()\n    return (z * y).sum()\n"


def test_a_notebook_cell():
    name, space = "<ipython-input-7-0123456789ab>", {}
    linecache.cache[name] = (len(SOURCE), None, SOURCE.splitlines(True), name)
    exec(compile(SOURCE, name, "exec"), space)
    assert names(space["cell"]) == ["y", "z", "loss"]


def test_a_copy_of_a_file_is_a_file_of_its_own():
    for name in ("<first>", "<copy>"):
        space = {}
        linecache.cache[name] = (len(SOURCE), None, SOURCE.splitlines(True), name)
        exec(compile(SOURCE, name, "exec"), space)
        bp = backhand.derive(space["cell"], torch.ones(3))
        assert {s.where.file for s in bp.captured.program.steps if s.where} == {name}


def test_a_function_without_source():
    space: dict = {}
    exec(SOURCE, space)
    found = names(space["cell"])
    assert len(found) == len(set(found)) and all(n.isidentifier() for n in found)
