"""In-place updates and chains of views: the gradients are autograd's."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import backhand


def setitem_int(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[1] = w[0] * 3
    return (h * h).sum()


def setitem_slice(x: Tensor, w: Tensor) -> Tensor:
    h = torch.tanh(x) * 2
    h[1:3, ::2] = w[:2, :2]
    return (h * h).sum()


def one_column_into_another(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[:, 0] += h[:, 2]
    h[:, 1:2] = h[:, 3:]
    return (h * h).sum()


def itself_into_itself(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h.add_(h)
    h[1:] += h[1:]
    return (h * h).sum()


def whole_of_itself_through_a_view(x: Tensor, w: Tensor) -> Tensor:
    """What is left of the views is two transposes that cancel, and a value that is read twice."""
    h = torch.sin(x[:1, 0] * w[0, :1])
    h.transpose(0, -1)[:1] += h
    return h.sum()


def setitem_negative(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[-1, 1:-1] = 0.5
    h[:, -1] = w[:, 0]
    return (h * h).sum()


def setitem_tensor(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[torch.tensor([0, 2, 0])] = w[:3]
    return (h * h).sum()


def setitem_two_tensors(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[torch.tensor([0, 2]), torch.tensor([1, 1])] = w[0, :2]
    return (h * h).sum()


def setitem_column_tensor(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[:, torch.tensor([0, 2])] = w[:, :2]
    return (h * h).sum()


def setitem_ellipsis(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[..., 0] = w[..., 1]
    return (h * h).sum()


def setitem_whole(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[:] = w * x
    return (h * h).sum()


def setitem_mask_number(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[x > 0] = 0.25
    return (h * h).sum()


def setitem_mask_rows(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[x[:, 0] > 0] = 0.25
    return (h * h).sum()


def setitem_mask_tensor(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[x > 0] = w[0, 0]
    return (h * h).sum()


def setitem_mask_rows_vector(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[x[:, 0] > 0] = w[0] * 2
    return (h * h).sum()


def setitem_mask_elements(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    h[torch.eye(*x.shape, dtype=torch.bool)] = w[:, 1]
    return (h * h).sum()


def setitem_broadcast(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[1:] = w[0]
    return (h * h).sum()


def item_plus_equals(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[0] += w[1]
    h[:, 1] *= w[:, 2]
    return (h * h).sum()


def indexed_plus_equals(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[torch.tensor([0, 2])] += w[:2]
    return (h * h).sum()


def through_view(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    flat = h.view(-1)
    flat[3:7] = w[0]
    return (h * h).sum()


def base_changes_view(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    row = h[1]
    before = row + 3
    h.mul_(w)
    return (row * before).sum()


def sibling_views(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    a, b = h[:3], h[1:]
    a.mul_(w[:3])
    return (b * b).sum() + a.sum()


def through_transpose(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.t()[1] = w[:, 0]
    h.transpose(0, 1)[2].mul_(w[:, 1])
    h.mT[0] = 1.0
    return (h * h).sum()


def through_permute(x: Tensor, w: Tensor) -> Tensor:
    h = (x * 2).reshape(2, 2, 4)
    h.permute(2, 0, 1)[1] = w[:2, :2]
    h.movedim(0, 2)[0, 1].mul_(w[0, :2])
    return (h * h).sum()


def through_diagonal(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.diagonal().mul_(w[0])
    h.diagonal(1).copy_(w[1, :3])
    return (h * h).sum()


def through_squeeze(x: Tensor, w: Tensor) -> Tensor:
    h = (x * 2).unsqueeze(0)
    h.squeeze(0)[1] = w[0]
    h.squeeze()[0].add_(w[1])
    h.unsqueeze(-1)[0, 2, :, 0].mul_(w[2])
    return (h * h).sum()


def through_chain(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    inner = h.t()[1:].reshape(-1)  # a copy: torch cannot view it
    view = h.t()[1:].t()[::2].narrow(1, 1, 2)
    view.mul_(w[:2, :2])
    return (h * h).sum() + inner.sum()


def through_flatten_and_unflatten(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.flatten().unflatten(0, (2, 8))[0].mul_(w.flatten()[:8])
    return (h * h).sum()


def split_of_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[0] = w[0]
    a, b = h.split(2)
    c, d = h.chunk(2, 1)
    rows = h.unbind(0)
    return (a * b).sum() + (c * d).sum() + (rows[0] * rows[3]).sum()


def expand_after_base_changed(x: Tensor, w: Tensor) -> Tensor:
    h = x[0] * 2
    wide = h.expand(4, 4)
    h.mul_(w[0])
    return (wide * x).sum()


def augmented(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h += w
    h *= x
    h -= 1.0
    h /= 3
    return (h * h).sum()


def activations_in_place(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.masked_fill_(w > 1, 0.0).clamp_(max=1.5).relu_()
    return (h * h).sum()


def fills(x: Tensor, w: Tensor) -> Tensor:
    h = x * w
    g = x * 3
    h[0].zero_()
    h[1].fill_(2.0)
    g[2].copy_(w[0])
    return (h * g).sum()


def scatters_in_place(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    i = torch.tensor([[0, 1, 1, 3], [2, 2, 0, 1]])
    h.scatter_add_(0, i, w[:2])
    h.index_add_(0, torch.tensor([1, 1]), w[2:])
    h.index_copy_(1, torch.tensor([2]), w[:, :1])
    h.index_fill_(0, torch.tensor([3]), 0.5)
    return (h * h).sum()


def buffer_filled_in_a_loop(x: Tensor, w: Tensor) -> Tensor:
    out = torch.zeros(4, 4)
    state = x[0]
    for i in range(4):
        state = torch.tanh(state * w[i])
        out[i] = state
    return (out * x).sum()


def clone_then_change(x: Tensor, w: Tensor) -> Tensor:
    h = x.clone()
    h[0] = w[0]
    k = h.clone()
    k.mul_(2)
    return (h * k).sum()


def casts(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[0] = w[0].double()
    return (h * h).sum()


def same_storage_casts(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    same = h.float().contiguous().to(torch.float32)  # all of them h itself
    same.mul_(w)
    return (h * h).sum()


def detach_sees_the_update(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    d = h.detach()
    h.mul_(w)
    return (h * d).sum()


def no_grad_fills_a_buffer(x: Tensor, w: Tensor) -> Tensor:
    buffer = torch.zeros(4, 4)
    row = buffer[2]
    with torch.no_grad():
        buffer[0] = x[0] * 2
        buffer[1].copy_(w[0])
        buffer.add_(x)
    return (buffer * w).sum() + (row * x[0]).sum()


def no_grad_view_of_constants(x: Tensor, w: Tensor) -> Tensor:
    h = torch.ones(4, 4)
    with torch.no_grad():
        row = h[0]
        h.mul_(x)
    return (row * w[0]).sum() + (h * x).sum()


def no_grad_value_changed_through_a_view(x: Tensor, w: Tensor) -> Tensor:
    with torch.no_grad():
        h = x * 2
    row = h[0]
    column = h[:, 1]
    row.add_(w[0])
    return (h * w).sum() + column.sum()


def returned_after_update(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    kept = h
    h.add_(w)
    return kept


RIGHT = [
    setitem_int,
    setitem_slice,
    setitem_negative,
    setitem_tensor,
    setitem_two_tensors,
    setitem_column_tensor,
    setitem_ellipsis,
    setitem_whole,
    setitem_mask_number,
    setitem_mask_rows,
    setitem_mask_tensor,
    setitem_mask_rows_vector,
    setitem_mask_elements,
    setitem_broadcast,
    item_plus_equals,
    indexed_plus_equals,
    through_view,
    base_changes_view,
    sibling_views,
    through_transpose,
    through_permute,
    through_diagonal,
    through_squeeze,
    through_chain,
    through_flatten_and_unflatten,
    split_of_changed,
    expand_after_base_changed,
    augmented,
    activations_in_place,
    fills,
    scatters_in_place,
    buffer_filled_in_a_loop,
    clone_then_change,
    casts,
    same_storage_casts,
    detach_sees_the_update,
    no_grad_fills_a_buffer,
    no_grad_view_of_constants,
    no_grad_value_changed_through_a_view,
    returned_after_update,
    one_column_into_another,
    itself_into_itself,
    whole_of_itself_through_a_view,
]


def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(5)
    return torch.randn(4, 4, generator=generator), torch.randn(4, 4, generator=generator)


@pytest.mark.parametrize("symbolic", [True, False])
@pytest.mark.parametrize("forward", RIGHT, ids=lambda f: f.__name__)
def test_gradients_are_autograds(forward: Callable[..., Tensor], symbolic: bool) -> None:
    x, w = inputs()
    bp = backhand.derive(forward, x, w, symbolic=symbolic)
    report = bp.verify()
    assert report.ok, report
    upstream = None if bp.scalar else torch.randn(4, 4)
    out, grads = bp(x, w, upstream=upstream)
    leaves = [t.clone().requires_grad_() for t in (x, w)]
    true = forward(*leaves)
    assert torch.equal(out, true.detach())
    true.backward(upstream)
    for name, leaf in zip("xw", leaves, strict=True):
        if leaf.grad is None:
            assert name not in grads
        else:
            torch.testing.assert_close(grads[name], leaf.grad, rtol=1e-6, atol=1e-6)


class Counting(torch.nn.Module):
    """A module that changes a buffer and reads it in the same forward pass."""

    scale: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("scale", torch.ones(4))

    def forward(self, x: Tensor) -> Tensor:
        self.scale += 1
        with torch.no_grad():
            self.scale.mul_(x.mean(0))
        return (x * self.scale).sum()


def test_a_changed_buffer_is_read_as_changed() -> None:
    x, _ = inputs()
    bp = backhand.derive(Counting(), x)
    out, grads = bp(x)
    leaf = x.clone().requires_grad_()
    true = Counting()(leaf)
    true.backward()
    assert torch.equal(out, true.detach())
    assert torch.equal(grads["x"], leaf.grad)


def mixed_add(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.add_(w[:1], alpha=2)
    return h


def mixed_product(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h *= w[:1]
    return h


def mixed_quotient_of_a_row(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[0] /= w[0]
    return h


def mixed_copy(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h.copy_(w[:1])
    return h


def mixed_assignment(x: Tensor, w: Tensor) -> Tensor:
    h = x * 2
    h[1:] = w[:1]
    return h


MIXED = [mixed_add, mixed_product, mixed_quotient_of_a_row, mixed_copy, mixed_assignment]


@pytest.mark.parametrize("forward", MIXED, ids=lambda f: f.__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_an_update_has_the_dtype_of_what_it_updates(
    forward: Callable[..., Tensor], dtype: torch.dtype
) -> None:
    """Its gradient is computed in that dtype, whatever the other operand's is."""
    other = torch.float64 if dtype is torch.float32 else torch.float32
    x, w = (v.to(d) for v, d in zip(inputs(), (dtype, other), strict=True))
    bp = backhand.derive(forward, x, w)
    upstream = torch.randn(4, 4, dtype=dtype, generator=torch.Generator().manual_seed(1))
    out, grads = bp(x, w, upstream=upstream)
    leaves = [t.clone().requires_grad_() for t in (x, w)]
    true = forward(*leaves)
    assert torch.equal(out, true.detach())
    for ours, theirs in zip(
        grads.values(), torch.autograd.grad(true, leaves, upstream), strict=True
    ):
        assert ours.dtype is theirs.dtype
        assert torch.equal(ours, theirs)
