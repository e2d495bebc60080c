"""What is derived at one size, state or argument holds at another, or is derived anew."""

import logging
import math

import pytest
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

import backhand
from backhand.api import running
from backhand.errors import InputError, UnsupportedError
from examples.article import example_inputs
from examples.article import forward as article

R = torch.randn


@pytest.fixture
def derivations(monkeypatch):
    """A list with one entry per capture since the test began."""
    made: list[object] = []
    capture = running.capture

    def counted(*args, **kwargs):
        made.append(args[0])
        return capture(*args, **kwargs)

    monkeypatch.setattr(running, "capture", counted)
    return made


def agrees(bp, forward, inputs):
    """Run the derived passes and hold loss and gradients against autograd."""
    leaves = [
        t.clone().requires_grad_() if isinstance(t, Tensor) and t.is_floating_point() else t
        for t in inputs
    ]
    true = forward(*leaves)
    true.backward()
    loss, grads = bp(*inputs)
    expected = [
        t.grad for t in leaves if isinstance(t, Tensor) and t.requires_grad and t.grad is not None
    ]
    torch.testing.assert_close(loss, true.detach())
    assert len(grads) == len(expected)
    for ours, theirs in zip(grads.values(), expected, strict=True):
        torch.testing.assert_close(ours, theirs, equal_nan=True)


def mlp(x, w, b, y):
    return ((torch.relu(x @ w + b).sum(1) - y) ** 2).mean()


def attention(q, k, v):
    d = q.shape[-1]
    return (torch.softmax(q @ k.transpose(-2, -1) / math.sqrt(d), -1) @ v).pow(2).sum()


def attention_by_power(q, k, v):
    return (torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1) @ v).pow(2).sum()


def convolution(x, w):
    return F.relu(F.conv2d(x, w, padding=1)).mean()


def mlp_inputs(n, d=4):
    return R(n, d), R(d, 5), R(5), R(n)


SAME = [
    (article, example_inputs(), [example_inputs(n=n) for n in (7, 33, 100)]),
    (mlp, mlp_inputs(32), [mlp_inputs(7), mlp_inputs(33), mlp_inputs(100), mlp_inputs(7, 9)]),
    # equal by coincidence: four sizes of eight
    (attention, [R(8, 8, 8)] * 3, [[R(3, 5, 7)] * 3, [R(2, 8, 9)] * 3]),
    (attention_by_power, [R(8, 8, 8)] * 3, [[R(3, 5, 7)] * 3]),
    (convolution, (R(4, 3, 8, 8), R(5, 3, 3, 3)), [(R(7, 3, 9, 11), R(2, 3, 3, 3))]),
]


@pytest.mark.parametrize(
    ("forward", "base", "others"), SAME, ids=[forward.__name__ for forward, _, _ in SAME]
)
def test_other_sizes_need_no_other_derivation(derivations, forward, base, others):
    bp = backhand.derive(forward, *base)
    for inputs in others:
        agrees(bp, forward, inputs)
    assert len(derivations) == 1


def by_float(x):
    return (x * (0.1 / x.shape[0])).exp().sum()


def by_root(x):
    scale = 1 / math.sqrt(x.shape[1])
    return (x * scale).exp().sum()


def by_power(x):
    scale = x.shape[1] ** -0.5
    return (x * scale).exp().sum()


def by_whole_float(x):
    n, d = x.shape
    return (x / (2.0 * n - d) + (n - 0.5) / d).exp().sum()


@pytest.mark.parametrize("forward", [by_float, by_root, by_power, by_whole_float])
def test_floats_made_from_sizes_stay_arithmetic(derivations, forward):
    """A float over a size is made by torch's tracer, which is not the user's call."""
    bp = backhand.derive(forward, R(4, 3))
    for inputs in ([R(4, 3)], [R(7, 5)], [R(2, 9)]):
        agrees(bp, forward, inputs)
    assert bp.verify().ok
    assert len(derivations) == 1


def guarded(x):
    if x.shape[0] > 4:
        return x.exp().sum()
    return x.sin().sum()


def looped(x):
    total = 0
    for i in range(x.shape[0]):
        total = total + x[i] * i
    return (total * total).sum()


def broadcast(x, w):
    return (x * w).sum()


def by_type(x):
    return x.sum() if x.dtype == torch.float32 else x.exp().sum()


def scaled(x, a):
    return (x * a).exp().sum()


def chosen(x, which):
    return x.exp().sum() if which == "exp" else x.sin().sum()


def grouped(x, n):
    return (x.reshape(n, -1).sum(0) ** 2).sum() / n


@pytest.mark.parametrize(
    ("forward", "base", "other", "anew"),
    [
        (guarded, (R(6, 3),), (R(5, 3),), 0),
        (guarded, (R(6, 3),), (R(3, 3),), 1),
        (looped, (R(4, 3),), (R(4, 7),), 0),
        (looped, (R(4, 3),), (R(6, 3),), 1),
        (broadcast, (R(4, 1), R(4, 3)), (R(7, 1), R(7, 2)), 0),
        (broadcast, (R(4, 1), R(4, 3)), (R(4, 3), R(4, 3)), 1),
        (by_type, (R(3),), (R(3).double(),), 1),
        (mlp, mlp_inputs(8), mlp_inputs(1), 1),
        (scaled, (R(3), 0.5), (R(4), 0.5), 0),
        (scaled, (R(3), 0.5), (R(3), 0.25), 1),
        (chosen, (R(3), "exp"), (R(3), "sin"), 1),
        (grouped, (R(12), 3), (R(20), 5), 0),
        (grouped, (R(12), 3), (R(12), 1), 1),
        (broadcast, (R(4), R(4)), (R(0), R(0)), 1),
    ],
)
def test_what_does_not_hold_is_derived_anew(derivations, forward, base, other, anew):
    bp = backhand.derive(forward, *base)
    agrees(bp, forward, other)
    agrees(bp, forward, base)
    assert len(derivations) == 1 + anew


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc = nn.Linear(3, 2)
        self.bn = nn.BatchNorm1d(2)
        self.drop = nn.Dropout(0.5)
        self.scale = 2.0

    def forward(self, x):
        return (self.drop(self.bn(self.fc(x))) ** 2).sum() * self.scale


def module_agrees(bp, module, x):
    module.zero_grad()
    torch.manual_seed(3)
    loss, grads = bp(x)
    torch.manual_seed(3)
    true = module(x)
    true.backward()
    torch.testing.assert_close(loss, true.detach())
    for name, parameter in module.named_parameters():
        ours = grads[name.replace(".", "_")]
        torch.testing.assert_close(ours, parameter.grad, atol=1e-5, rtol=1e-5)


def replace_layer(m):
    m.fc = nn.Linear(3, 2, bias=False)


@pytest.mark.parametrize(
    "change",
    [
        lambda m: m.eval(),
        lambda m: m.bn.eval(),
        lambda m: setattr(m, "scale", 5.0),
        lambda m: setattr(m.drop, "p", 0.1),
        replace_layer,
    ],
    ids=["eval", "part in eval", "attribute", "dropout rate", "another layer"],
)
def test_a_module_that_changed_is_derived_anew(derivations, change):
    module, x = Net(), R(6, 3)
    bp = backhand.derive(module, x)
    module_agrees(bp, module, x)
    change(module)
    module_agrees(bp, module, x)
    module_agrees(bp, module, x)
    assert len(derivations) == 2
    assert bp.verify().ok


def test_train_and_eval_in_turns_are_derived_once_each(derivations):
    module, x = Net(), R(6, 3)
    bp = backhand.derive(module, x)
    for training in (False, True, False, True):
        module_agrees(bp, module.train(training), x)
    assert len(derivations) == 2


def test_updated_parameters_are_used(derivations):
    module, x = Net(), R(6, 3)
    bp = backhand.derive(module, x)
    with torch.no_grad():
        module.fc.weight.add_(1.0)
    module_agrees(bp, module, x)
    assert len(derivations) == 1


def orthogonal(x):
    q, r = torch.linalg.qr(x)
    return q.sin().sum() + r.cos().sum()


def singular(x):
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    return (u * u).sin().sum() + s.sum() + (v * v).cos().sum()


def pseudoinverse(x):
    return torch.linalg.pinv(x).sin().sum()


@pytest.mark.parametrize("forward", [orthogonal, singular, pseudoinverse])
@pytest.mark.parametrize("base", [(5, 3), (3, 5), (4, 4)])
def test_matrices_that_are_tall_and_wide_and_square_have_a_derivation_each(
    derivations, forward, base
):
    bp = backhand.derive(forward, R(base))
    for shape in ((6, 2), (2, 6), (3, 3)):
        x = R(shape, dtype=torch.float64)
        leaf = x.clone().requires_grad_()
        (true,) = torch.autograd.grad(forward(leaf), leaf)
        assert torch.equal(bp(x)[1]["x"], true)
    for shape in ((7, 3), (3, 7), (5, 5)):
        bp(R(shape, dtype=torch.float64))
    assert len(derivations) <= 4  # one for each relation, and the example's dtype


FACTOR = 2.0


def test_a_changed_global_is_derived_anew(derivations, monkeypatch):
    def forward(x):
        return (x * FACTOR).exp().sum()

    bp = backhand.derive(forward, R(3))
    agrees(bp, forward, (R(3),))
    monkeypatch.setitem(globals(), "FACTOR", 3.0)
    agrees(bp, forward, (R(3),))
    assert len(derivations) == 2


def test_an_operand_whose_open_size_comes_to_one_is_broadcast(derivations):
    def forward(x):
        half = x[1:, ::2]
        return torch.fmax(half[..., 1:], half).sum()

    bp = backhand.derive(forward, R(5, 3))
    for shape in ((5, 3), (7, 3), (7, 4)):
        agrees(bp, forward, (R(shape),))
    assert len(derivations) == 1


def test_torch_logs_nothing_of_what_is_handled():
    """A kernel without a symbolic version is refused in our words, not with torch's traceback."""
    said: list[logging.LogRecord] = []
    listener = logging.Handler()
    listener.emit = said.append
    log = logging.getLogger("torch._subclasses.fake_tensor")
    log.addHandler(listener)
    try:
        with pytest.raises(UnsupportedError, match="cdist_backward"):
            backhand.derive(lambda x: torch.cdist(x, x[0]).sum(-1), R(4, 3, 2))
    finally:
        log.removeHandler(listener)
    assert not said


def annotated(
    x: Float[Tensor, "n d"], w: Float[Tensor, "d k"], y: Int[Tensor, " n"], m: Bool[Tensor, "n k"]
):
    return F.cross_entropy((x @ w).masked_fill(m, -1.0), y)


def arithmetic(x: Float[Tensor, "n 3"], y: Float[Tensor, "n 2*n"], z: Float[Tensor, " n+1"]):
    return x.sum() * y.sum() * z.sum()


def batched(x: Float[Tensor, "*batch d"], n: int = 3):
    return (x * x).sum() * n


@pytest.mark.parametrize("forward", [annotated, arithmetic, batched], ids=lambda f: f.__name__)
def test_annotations_make_inputs(forward):
    assert backhand.derive(forward).verify().ok


def test_annotations_name_sizes():
    program = backhand.derive(annotated).program
    shapes = {v.name: tuple(map(str, v.shape)) for v in program.inputs}
    assert shapes == {"x": ("n", "d"), "w": ("d", "k"), "y": ("n",), "m": ("n", "k")}


def test_no_annotation_says_what_to_do():
    with pytest.raises(InputError, match="example_inputs"):
        backhand.derive(lambda x: x.sum())


def test_parameters_without_data():
    with torch.device("meta"):
        module = nn.Sequential(nn.Linear(512, 4096), nn.GELU(), nn.Linear(4096, 512))
    bp = backhand.derive(module, torch.empty(8, 512, device="meta"))
    assert len(bp.gradient_names) == 5  # x, two weights, two biases


def test_tensors_made_beside_inputs_without_data():
    def forward(x):
        return (x + torch.arange(x.shape[0], device=x.device)).exp().sum()

    assert backhand.derive(forward, torch.empty(4, device="meta")).gradient_names == ("x",)
