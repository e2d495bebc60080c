"""What capture would get wrong: each trap is derived right, or refused with the user's line."""

import gc
import random
import re
import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

import backhand
from backhand.errors import BackhandError, CaptureError

X = torch.linspace(-1.5, 2.0, 12).reshape(4, 3)
OUTSIDE = torch.randn(3, requires_grad=True)
CONSTANT = torch.tensor([1.0, -2.0, 3.0])
STATE = {"calls": 0}


class Sevenfold(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 7


@torch.no_grad()
def frozen_sum(x):
    return x.sum()


def detach(x):
    return (x * x.detach()).sum()


def data(x):
    return (x * x.data).sum()


def no_grad_block(x):
    with torch.no_grad():
        s = x.sum()
    return (x * s).sum()


def no_grad_decorator(x):
    return (x * frozen_sum(x)).sum()


def no_grad_nested(x):
    with torch.no_grad():
        a = x * 2
        with torch.enable_grad():
            b = x * 3
        c = x * 4
    return (a * x + b + c * x).sum()


def set_grad_enabled(x):
    torch.set_grad_enabled(False)
    y = x * 2
    torch.set_grad_enabled(True)
    return (y * x).sum()


def in_place(x):
    y = x * 2
    y += 1
    return (y * y).sum()


def in_place_on_a_constant(x):
    m = torch.zeros(4, 3)
    with torch.no_grad():
        m[0] = 1.0
    return (m * x).sum()


def checkpointed(x):
    return checkpoint(lambda v: torch.tanh(v * v), x, use_reentrant=False).sum()


def printed(x):
    print(x, f"{x}")
    return (x * x).sum()


def dropout(x):
    return (F.dropout(x, 0.5) * x).sum()


def noise_in_a_helper(x):
    def noisy(v):
        return v * torch.rand_like(v) + torch.randn_like(v)

    return (noisy(x) * noisy(x)).sum()


def constant_from_outside(x):
    return (x * CONSTANT).sum()


def same_output_twice(x):
    y = x * 2
    return y, y


def transposed_copy(x):
    return x.t().contiguous().view(-1).pow(2).sum()


def generator_helper(x):
    def powers():
        for i in range(1, 3):
            yield x**i

    return sum(powers()).sum()


def test_no_finaliser_of_the_collectors_runs_while_tracing():
    """One that leaves ``no_grad`` would be recorded as the user's own switch."""

    def forward(x):
        return torch.tanh(x * 2 if gc.isenabled() else x).sum()

    assert gc.isenabled()
    program = backhand.derive(forward, X).program
    assert [node.op for node in program.nodes()] == ["tanh", "sum"]
    assert gc.isenabled()


RIGHT = [
    detach,
    data,
    no_grad_block,
    no_grad_decorator,
    no_grad_nested,
    set_grad_enabled,
    in_place,
    in_place_on_a_constant,
    checkpointed,
    printed,
    dropout,
    noise_in_a_helper,
    constant_from_outside,
    same_output_twice,
    transposed_copy,
    generator_helper,
]


@pytest.mark.parametrize("forward", RIGHT, ids=lambda f: f.__name__)
def test_right(forward):
    report = backhand.derive(forward, X).verify()
    assert report.ok, str(report)
    assert any(g.name == "dx" for g in report.gradients)


def custom_function(x):
    return Sevenfold.apply(x).sum()  # here


def swallowed_refusal(x):
    try:
        return Sevenfold.apply(x).sum()  # here
    except Exception:
        return x.sum()


def hook(x):
    y = x * 2
    y.register_hook(lambda g: g * 3)  # here
    return y.sum()


def retain_grad(x):
    y = x * 2
    y.retain_grad()  # here
    return y.sum()


def backward_inside(x):
    y = (x * 2).sum()
    y.backward()  # here
    return y


def grad_inside(x):
    return torch.autograd.grad((x**3).sum(), x)[0].sum()  # here


def func_grad(x):
    return torch.func.grad(lambda v: (v**3).sum())(x).sum()  # here


def vmap(x):
    return torch.vmap(lambda r: (r * r).sum())(x).sum()  # here


def branch(x):
    if x.sum() > 0:  # here
        return x.sum()
    return x.mean()


def loop(x):
    while x.sum() < 100:  # here
        x = x * 2 + 1
    return x.sum()


def assertion(x):
    assert (x < 100).all()  # here
    return x.sum()


def item(x):
    return (x * x.sum().item()).sum()  # here


def to_float(x):
    return (x * float(x.sum())).sum()  # here


def to_numpy(x):
    return (x * torch.from_numpy(np.exp(x.detach().numpy()))).sum()  # here


def equal(x):
    return x.sum() if torch.equal(x, x * 2) else x.mean()  # here


def boolean_index(x):
    return x[x > 0].sum()  # here


def nonzero(x):
    return x[x.nonzero(as_tuple=True)].sum()  # here


def inference_mode(x):
    with torch.inference_mode():  # here
        s = x.sum()
    return (x * s).sum()


def saved_hooks(x):
    with torch.autograd.graph.saved_tensors_hooks(lambda t: t * 2, lambda t: t):  # here
        y = x * x
    return y.sum()


def in_place_on_input(x):
    x.mul_(2)  # here
    return x.sum()


def transposed_in_place(x):
    y = x * 2
    y.t_()  # here
    return (y @ x).sum()


def outside_with_gradient(x):
    return (x * OUTSIDE).sum()  # here


def seeded(x):
    torch.manual_seed(5)  # here
    return (x * torch.randn(4, 3)).sum()


def python_random(x):
    return (x * random.random()).sum()  # here


def numpy_random(x):
    return (x * np.random.rand()).sum()  # here


def counting(x):  # here
    STATE["calls"] += 1
    return (x * STATE["calls"]).sum()


def reads_requires_grad(x):
    return (x * 2).sum() if x.requires_grad else x.sum()  # here


def reads_strides(x):
    return x.sum() if x.stride(0) == 3 else (x * x).sum()  # here


def parameter_inside(x):
    return (nn.Parameter(x * 2) * x).sum()  # here


def returns_an_object(x):  # here
    return x.sum(), object()


def returns_nothing(x):  # here
    x * 2


def fails_by_itself(x):
    return x @ torch.ones(7)  # here


REFUSED = [
    custom_function,
    swallowed_refusal,
    hook,
    retain_grad,
    backward_inside,
    grad_inside,
    func_grad,
    vmap,
    branch,
    loop,
    assertion,
    item,
    to_float,
    to_numpy,
    equal,
    boolean_index,
    nonzero,
    inference_mode,
    saved_hooks,
    in_place_on_input,
    transposed_in_place,
    outside_with_gradient,
    seeded,
    python_random,
    numpy_random,
    counting,
    reads_requires_grad,
    reads_strides,
    parameter_inside,
    returns_an_object,
    returns_nothing,
    fails_by_itself,
]


@pytest.mark.parametrize("forward", REFUSED, ids=lambda f: f.__name__)
def test_refused_with_the_line(forward):
    first = forward.__code__.co_firstlineno
    with open(__file__, encoding="utf-8") as file:
        lines = file.read().splitlines()
    wanted = next(i for i in range(first, first + 9) if lines[i - 1].endswith("# here"))
    with pytest.raises(BackhandError) as caught, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        backhand.derive(forward, X)
    error = caught.value
    assert error.where.line == wanted, str(error)
    assert error.hint
    assert not re.search(r"Fake|Proxy|Sym(Int|Bool)|\bs\d+\b|dispatch", str(error)), str(error)


def test_module_hooks_are_refused():
    module = nn.Linear(3, 2)
    module.register_full_backward_hook(lambda m, gi, go: None)
    with pytest.raises(CaptureError, match="backward hook"):
        backhand.derive(module, X)


def test_parameter_hooks_are_refused():
    module = nn.Linear(3, 2)
    module.weight.register_hook(lambda g: g * 2)
    with pytest.raises(CaptureError, match="weight has a hook"):
        backhand.derive(module, X)


def test_a_module_keeps_no_tensor_without_data():
    class Keeps(nn.Module):
        def forward(self, x):
            self.last = x * 2
            return self.last.sum()

    module = Keeps()
    backhand.derive(module, X)
    assert not hasattr(module, "last")


def test_the_same_tensor_twice_has_a_gradient_per_argument():
    _, grads = backhand.derive(lambda x, y: (x * y**2).sum(), X, X)(X, X)
    assert torch.equal(grads["x"], X**2) and torch.equal(grads["y"], 2 * X * X)


def test_an_unused_input_has_no_gradient():
    _, grads = backhand.derive(lambda x, w: x.sum(), X, torch.ones(2))(X, torch.ones(2))
    assert list(grads) == ["x"]


def test_state_is_as_before_after_a_refusal():
    apply, seed = torch.autograd.Function.apply, torch.manual_seed
    with pytest.raises(CaptureError):
        backhand.derive(custom_function, X)
    assert torch.autograd.Function.apply == apply and torch.manual_seed is seed
