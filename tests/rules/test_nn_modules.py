"""Modules of torch.nn, from derive to verify: no gradient is wrong, and most are bit for bit."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import backhand
from backhand.errors import UnsupportedError


class ConvNet(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(36, 5)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        h = F.relu(self.bn(self.conv(x)))
        h = self.pool(h)
        logits = self.fc(h.flatten(1))
        loss = F.cross_entropy(logits, y)
        return loss


class Block(nn.Module):
    def __init__(self, width: int = 8, heads: int = 2) -> None:
        super().__init__()
        self.heads = heads
        self.ln = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        n, t, d = x.shape
        qkv = self.qkv(self.ln(x)).view(n, t, 3, self.heads, d // self.heads)
        q, k, v = qkv.permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return x + self.proj(out.transpose(1, 2).reshape(n, t, d))


class Recurrent(nn.Module):
    def __init__(self, cell: nn.Module) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Tensor) -> Tensor:
        out, _ = self.cell(x)
        loss = out.square().mean()
        return loss


def _labels(n: int) -> Tensor:
    return torch.arange(n)


EXACT: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "conv_net": lambda: (ConvNet(), (torch.randn(3, 1, 6, 6), _labels(3))),
    "conv_net_eval": lambda: (ConvNet().eval(), (torch.randn(3, 1, 6, 6), _labels(3))),
    "block": lambda: (Block(), (torch.randn(2, 5, 8),)),
    "gru": lambda: (Recurrent(nn.GRU(3, 4)), (torch.randn(3, 2, 3),)),
    "rnn": lambda: (Recurrent(nn.RNN(3, 4)), (torch.randn(3, 2, 3),)),
    "gru_cell": lambda: (nn.GRUCell(3, 4), (torch.randn(2, 3), torch.randn(2, 4))),
    "lstm_cell": lambda: (
        nn.LSTMCell(3, 4),
        (torch.randn(2, 3), (torch.randn(2, 4), torch.randn(2, 4))),
    ),
    "group_norm": lambda: (
        nn.Sequential(nn.Conv1d(4, 6, 3), nn.GroupNorm(3, 6), nn.AvgPool1d(2)),
        (torch.randn(2, 4, 8),),
    ),
    "instance_norm": lambda: (
        nn.Sequential(nn.InstanceNorm2d(2, affine=True), nn.ConvTranspose2d(2, 3, 3)),
        (torch.randn(2, 2, 5, 5),),
    ),
    "rms_norm": lambda: (nn.RMSNorm(6), (torch.randn(3, 6),)),
    "adaptive": lambda: (
        nn.Sequential(nn.Conv2d(2, 3, 3), nn.AdaptiveAvgPool2d(2), nn.Dropout(0.3)),
        (torch.randn(2, 2, 7, 7),),
    ),
    "encoder": lambda: (
        nn.TransformerEncoderLayer(8, 2, 16, batch_first=True),
        (torch.randn(2, 5, 8),),
    ),
    "attention": lambda: (
        nn.MultiheadAttention(8, 2, batch_first=True),
        tuple(torch.randn(2, 5, 8) for _ in range(3)),
    ),
    "upsample": lambda: (
        nn.Sequential(nn.Upsample(scale_factor=2, mode="bilinear"), nn.PixelUnshuffle(2)),
        (torch.randn(1, 2, 3, 3),),
    ),
}
# torch runs an LSTM layer in one kernel of oneDNN: its forward pass rounds differently.
CLOSE: dict[str, Callable[[], tuple[nn.Module, tuple[Any, ...]]]] = {
    "lstm": lambda: (Recurrent(nn.LSTM(3, 4)), (torch.randn(3, 2, 3),)),
}


@pytest.mark.parametrize("name", EXACT)
def test_gradients_are_exact(name: str) -> None:
    torch.manual_seed(0)
    module, inputs = EXACT[name]()
    report = backhand.derive(module, *inputs).verify()
    assert report.ok, str(report)
    assert all(g.verdict == "exact" for g in report.gradients), str(report)


@pytest.mark.parametrize("name", CLOSE)
def test_gradients_are_close(name: str) -> None:
    torch.manual_seed(0)
    module, inputs = CLOSE[name]()
    report = backhand.derive(module, *inputs).verify()
    assert report.ok, str(report)


def test_batch_norm_leaves_running_statistics_alone() -> None:
    net = ConvNet()
    before = net.bn.running_mean.clone()  # type: ignore[union-attr,operator]
    bp = backhand.derive(net, torch.randn(3, 1, 6, 6), _labels(3))
    bp(torch.randn(4, 1, 6, 6), _labels(4))
    assert torch.equal(net.bn.running_mean, before)  # type: ignore[arg-type]


def test_layer_norm_reads_as_people_write_it() -> None:
    bp = backhand.derive(nn.LayerNorm(4), torch.randn(3, 4))
    text = str(bp.longhand)
    assert "native_layer_norm_backward" not in text
    assert "dbias = " in text and ".mean(1, keepdim=True)" in text


def test_every_target_ignored() -> None:
    def loss(x: Tensor, y: Tensor) -> Tensor:
        return F.cross_entropy(x, y, reduction="sum")

    bp = backhand.derive(loss, torch.randn(3, 4), torch.zeros(3, dtype=torch.int64))
    _, grads = bp(torch.randn(3, 4), torch.full((3,), -100))
    assert torch.equal(grads["x"], torch.zeros(3, 4))


def test_refusals_say_what_is_missing() -> None:
    with pytest.raises(UnsupportedError, match="no gradient for its weight"):
        backhand.derive(
            lambda x, y, w: F.binary_cross_entropy_with_logits(x, y, w),
            torch.randn(3),
            torch.rand(3),
            torch.rand(3),
        )
    with pytest.raises(UnsupportedError, match="running statistics"):
        backhand.derive(
            lambda x, m, v: F.batch_norm(x, m, v), torch.randn(3, 2), torch.zeros(2), torch.ones(2)
        )
