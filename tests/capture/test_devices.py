"""What the forward pass makes lies where its inputs lie, whatever device the examples were on."""

import pytest
import torch
from torch import Tensor

import backhand

TABLE = torch.tensor([1.0, -2.0, 0.5])


def zeros_at_the_input(x: Tensor) -> Tensor:
    total = torch.zeros(x.shape[0], 3, device=x.device)
    return ((total + x) ** 2).sum()


def positions(x: Tensor) -> Tensor:
    device = x.device
    places = torch.arange(x.shape[0], device=device)
    return (x[places.flip(0)] * places.unsqueeze(1) * torch.eye(3, device=device)[0]).sum()


def likenesses(x: Tensor) -> Tensor:
    h = torch.tanh(x)
    mask = torch.ones_like(h, dtype=torch.bool).triu(1)
    start = torch.zeros_like(x) + torch.full_like(h, 0.5) + h.new_ones(3) + x.new_zeros(1)
    return (h.masked_fill(mask, 0.0) * start).sum()


def random_numbers(x: Tensor) -> Tensor:
    noise = torch.rand(x.shape, device=x.device) + torch.randn(3, device=x.device)
    rows = torch.randperm(x.shape[0], device=x.device)
    more = torch.empty_like(x).uniform_() + torch.empty(3, device=x.device).normal_()
    picked = x[torch.randint(0, 3, (5,), device=x.device)]
    return (x[rows] * noise * more).sum() + picked.sum() + torch.nn.functional.dropout(x).sum()


def moved(x: Tensor) -> Tensor:
    table = TABLE.to(x.device) * torch.arange(3).to(x)
    return (x * table * torch.tensor([1.0, 2.0, 3.0], device=x.device)).sum()


def moved_like(x: Tensor) -> Tensor:
    return (x * TABLE.type_as(x) * x.new_tensor([1.0, 2.0, 3.0])).sum()


def inside_composites(x: Tensor) -> Tensor:
    windows = x.unfold(0, 2, 1)
    attended = torch.nn.functional.scaled_dot_product_attention(x, x, x, is_causal=True)
    classes = torch.nn.functional.one_hot(x.argmax(1), 3)
    rest = torch.cov(x).sum() + torch.mvlgamma(x.exp() + 2, 2).sum()
    return windows.sum() + (classes * attended).sum() + rest


FOLLOWING = [
    zeros_at_the_input,
    positions,
    likenesses,
    random_numbers,
    moved,
    moved_like,
    inside_composites,
]


def emitted(forward, *inputs, spelling="plain"):
    space: dict = {}
    exec(backhand.derive(forward, *inputs).emit(spelling=spelling), space)
    return space["forward"], space["backward"]


@pytest.mark.parametrize("spelling", ["plain", "exact"])
@pytest.mark.parametrize("forward", FOLLOWING, ids=lambda f: f.__name__)
def test_text_from_cpu_examples_runs_on_another_device(forward, spelling):
    x = torch.linspace(-1.5, 2.0, 12).reshape(4, 3)
    report = backhand.derive(forward, x).verify()
    assert report.ok, str(report)
    run, back = emitted(forward, x, spelling=spelling)
    loss, saved = run(x.to("meta"))
    assert loss.is_meta
    assert all(value.is_meta for value in saved.values() if isinstance(value, Tensor))
    assert back(saved)["x"].is_meta


def by_default(x: Tensor) -> Tensor:
    return (x * torch.ones(3) * torch.arange(3)).sum()


def by_name(x: Tensor) -> Tensor:
    return (x * torch.ones(3, device="cpu")).sum()


def test_the_default_stays_the_default_and_a_name_a_name():
    x = torch.randn(4, 3)
    assert "device" not in backhand.derive(by_default, x).emit()
    assert "device='cpu'" in backhand.derive(by_name, x).emit()
    run, _ = emitted(by_default, x)
    with torch.device("meta"):
        assert run(x.to("meta"))[0].is_meta


def two_inputs(x: Tensor, y: Tensor) -> Tensor:
    return (x * y.to(x.device)).sum()


def test_a_gradient_goes_back_to_where_its_operand_lies():
    x, y = torch.randn(4, 3), torch.randn(4, 3)
    bp = backhand.derive(two_inputs, x, y)
    assert bp.verify().ok
    assert ".to(x.device)" in bp.emit() and ".to(y.device)" in bp.emit()


def test_what_a_name_is_read_for_needs_no_gradient():
    x = torch.randn(4, 3)
    report = backhand.derive(moved, x).verify()
    assert report.ok and not any(g.name == "dtable" for g in report.gradients)


def test_operands_with_homes_of_their_own_stay_there() -> None:
    """torch brings the number to the tensor's dtype with a call that could move it as well."""

    def forward(x: Tensor, mask: Tensor) -> Tensor:
        return torch.where(mask, x * 2, float("-inf")).exp().sum()

    x = torch.randn(3, 4)
    bp = backhand.derive(forward, x, x > 0)
    assert "device" not in str(bp.longhand) and "to(" not in str(bp.longhand)
