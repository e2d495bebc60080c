"""Networks with a right backward pass each: the article's, a cell, attention, and smaller ones."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F

ROOT = Path(__file__).resolve().parents[2]


def load_article() -> ModuleType:
    if "article_example" in sys.modules:
        return sys.modules["article_example"]
    path = ROOT / "examples" / "article.py"
    spec = importlib.util.spec_from_file_location("article_example", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["article_example"] = module
    spec.loader.exec_module(module)
    return module


def article_lines(fused: bool = False) -> str:
    """The gradient lines of ``backward_by_hand``, without what comes before and after."""
    source = inspect.getsource(load_article().backward_by_hand)
    start = source.index("    dlogprobs = torch.zeros_like")
    end = source.index("    # Exercise 2" if not fused else "    return {")
    lines = [line[4:].split("  # [")[0] for line in source[start:end].splitlines()]
    return "\n".join(line for line in lines if not line.lstrip().startswith("#")) + "\n"


def article_inputs() -> tuple[Any, ...]:
    values = load_article().example_inputs(n=7, d=5, k=11, t=3, e=2)
    values[1][0, 0] = values[1][1, 2]  # one letter twice at least
    return values


# fmt: off
def attention(x, gain, bias, Wq, Wk, Wv, target):
    d = Wq.shape[1]
    mu = x.mean(1, keepdim=True)
    xc = x - mu
    var = (xc**2).mean(1, keepdim=True)
    inv = (var + 1e-5)**-0.5
    xhat = xc * inv
    y = xhat * gain + bias
    q = y @ Wq
    k = y @ Wk
    v = y @ Wv
    scores = q @ k.T / d**0.5
    e = scores.exp()
    z = e.sum(1, keepdim=True)
    p = e / z
    out = p @ v
    diff = out - target
    loss = (diff**2).mean()
    return loss


ATTENTION = """
ddiff = 2 * diff / diff.numel()
dout = ddiff
dp = dout @ v.T
dv = p.T @ dout
dz = -(dp * e / z**2).sum(1, keepdim=True)
de = dp / z + dz
dscores = de * e
dq = dscores @ k / d**0.5
dk = dscores.T @ q / d**0.5
dWq = y.T @ dq
dWk = y.T @ dk
dWv = y.T @ dv
dy = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T
dgain = (dy * xhat).sum(0)
dbias = dy.sum(0)
dxhat = dy * gain
dinv = (dxhat * xc).sum(1, keepdim=True)
dvar = -0.5 * (var + 1e-5)**-1.5 * dinv
dxc = dxhat * inv + 2 * xc * dvar / xc.shape[1]
dmu = -dxc.sum(1, keepdim=True)
dx = dxc + dmu / x.shape[1]
"""


def attention_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(3)
    n, m, d, c = 7, 5, 3, 2
    return (
        torch.randn(n, m, generator=g), torch.randn(m, generator=g) * 0.3 + 1.2,
        torch.randn(m, generator=g), torch.randn(m, d, generator=g) * 0.4,
        torch.randn(m, d, generator=g) * 0.4, torch.randn(m, c, generator=g),
        torch.randn(n, c, generator=g),
    )


def cell(table, ids, h0, Wx, Wh, b, Wo, target):
    x = table[ids]
    x1 = x[:, 0]
    x2 = x[:, 1]
    x3 = x[:, 2]
    z1 = x1 @ Wx + h0 @ Wh + b
    h1 = torch.tanh(z1)
    z2 = x2 @ Wx + h1 @ Wh + b
    h2 = torch.tanh(z2)
    z3 = x3 @ Wx + h2 @ Wh + b
    h3 = torch.tanh(z3)
    hs = h1 + h2 + h3
    r = torch.relu(hs)
    y = r @ Wo
    best = y.amax(1, keepdim=True)
    s = y - best
    loss = ((s - target)**2).mean()
    return loss


CELL = """
ds = 2 * (s - target) / s.numel()
dbest = -ds.sum(1, keepdim=True)
dy = ds + (y == best) * dbest
dWo = r.T @ dy
dr = dy @ Wo.T
dhs = dr * (hs > 0)
dh3 = dhs
dz3 = dh3 * (1 - h3**2)
dh2 = dhs + dz3 @ Wh.T
dz2 = dh2 * (1 - h2**2)
dh1 = dhs + dz2 @ Wh.T
dz1 = dh1 * (1 - h1**2)
dh0 = dz1 @ Wh.T
dWh = h2.T @ dz3 + h1.T @ dz2 + h0.T @ dz1
dWx = x3.T @ dz3 + x2.T @ dz2 + x1.T @ dz1
db = dz3.sum(0) + dz2.sum(0) + dz1.sum(0)
dx3 = dz3 @ Wx.T
dx2 = dz2 @ Wx.T
dx1 = dz1 @ Wx.T
dx = torch.zeros_like(x)
dx[:, 0] = dx1
dx[:, 1] = dx2
dx[:, 2] = dx3
dtable = torch.zeros_like(table)
dtable.index_put_((ids,), dx, accumulate=True)
"""


def cell_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(5)
    n, v, m, d, c = 7, 11, 2, 5, 3
    return (
        torch.randn(v, m, generator=g), torch.randint(0, v, (n, 3), generator=g),
        torch.randn(n, d, generator=g), torch.randn(m, d, generator=g),
        torch.randn(d, d, generator=g) * 0.5, torch.randn(d, generator=g),
        torch.randn(d, c, generator=g), torch.randn(n, c, generator=g),
    )


def tokens(table, ids, W, b, mask, V, target):
    keep = 0.8
    d = V.shape[0]
    emb = table[ids]
    z = emb @ W + b
    a = torch.sigmoid(z)
    kept = a * mask / keep
    last = kept[:, -1]
    turned = kept.transpose(1, 2)
    flat = turned.reshape(turned.shape[0], -1)
    scores = flat @ V / d**0.5 + (last**2).sum(1, keepdim=True) * target
    p = F.softmax(scores, 1)
    best = p.amax(1, keepdim=True)
    loss = ((p - target)**2).mean() + best.sum()
    return loss


TOKENS = """
dp = 2 * (p - target) / p.numel() + (p == best)
dscores = p * (dp - (dp * p).sum(1, keepdim=True))
dlast = 2 * last * (dscores * target).sum(1, keepdim=True)
dflat = dscores @ V.T / d**0.5
dV = flat.T @ dscores / d**0.5
dturned = dflat.view(turned.shape)
dkept = dturned.transpose(1, 2).clone()
dkept[:, -1] += dlast
da = dkept * mask / keep
dz = da * a * (1 - a)
demb = dz @ W.T
dW = emb.flatten(0, 1).T @ dz.flatten(0, 1)
db = dz.sum((0, 1))
dtable = torch.zeros_like(table)
dtable.index_put_((ids,), demb, accumulate=True)
"""


def tokens_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(11)
    n, t, m, h, v, c = 7, 3, 2, 5, 11, 13
    ids = torch.randint(0, v, (n, t), generator=g)
    ids[0, 0] = ids[1, 1]
    return (
        torch.randn(v, m, generator=g), ids, torch.randn(m, h, generator=g),
        torch.randn(h, generator=g), (torch.rand(n, t, h, generator=g) < 0.8).float(),
        torch.randn(h * t, c, generator=g), torch.randn(n, c, generator=g),
    )


def convolved(x, w, b, u, target):
    y = F.conv1d(x, w, b, padding=1)
    r = torch.relu(y)
    f = r.flatten(1)
    s = f @ u
    loss = ((s - target)**2).mean()
    return loss


CONVOLVED = """
ds = 2 * (s - target) / s.numel()
du = f.T @ ds
df = ds @ u.T
dr = df.view(r.shape)
dy = dr * (y > 0)
db = dy.sum((0, 2))
dx = F.conv1d(dy, w.transpose(0, 1).flip(-1), padding=1)
dw = F.conv1d(x.transpose(0, 1), dy.transpose(0, 1), padding=1).transpose(0, 1)
"""


def convolved_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(13)
    n, i, o, length, c = 5, 2, 7, 11, 3
    return (
        torch.randn(n, i, length, generator=g), torch.randn(o, i, 3, generator=g),
        torch.randn(o, generator=g), torch.randn(o * length, c, generator=g),
        torch.randn(n, c, generator=g),
    )


def pooled(x, gain, target):
    y = x * gain
    top = y.amax(1, keepdim=True)
    first = y.max(0).values
    loss = ((top - target)**2).mean() + (first**3).sum()
    return loss


POOLED = """
dtop = 2 * (top - target) / top.numel()
dfirst = 3 * first**2
dy = (y == top) * dtop + F.one_hot(y.argmax(0), y.shape[0]).T * dfirst
dgain = (dy * x).sum(0)
dx = dy * gain
"""


def pooled_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(17)
    return torch.randn(5, 7, generator=g), torch.rand(7, generator=g) + 0.5, torch.zeros(5, 1)


def heads(x, gain, W, target):
    d = W.shape[2]
    mu = x.mean(2, keepdim=True)
    xc = x - mu
    var = (xc**2).sum(2, keepdim=True) / (xc.shape[2] - 1)
    inv = (var + 1e-5)**-0.5
    xhat = xc * inv
    y = xhat * gain
    q = y.unsqueeze(1) @ W
    turned = q.transpose(1, 2)
    flat = turned.reshape(turned.shape[0], turned.shape[1], -1)
    scores = flat @ flat.mT / d**0.5
    first = scores[:, 0]
    loss = ((first - target)**2).mean()
    return loss


HEADS = """
dfirst = 2 * (first - target) / first.numel()
dscores = torch.zeros_like(scores)
dscores[:, 0] = dfirst
dflat = (dscores + dscores.mT) @ flat / d**0.5
dturned = dflat.view(turned.shape)
dq = dturned.transpose(1, 2)
dW = (y.unsqueeze(1).mT @ dq).sum(0)
dy = (dq @ W.mT).sum(1)
dgain = (dy * xhat).sum((0, 1))
dxhat = dy * gain
dinv = (dxhat * xc).sum(2, keepdim=True)
dvar = -0.5 * (var + 1e-5)**-1.5 * dinv
dxc = dxhat * inv + 2 * xc * dvar / (xc.shape[2] - 1)
dmu = -dxc.sum(2, keepdim=True)
dx = dxc + dmu / x.shape[2]
"""


def heads_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(19)
    n, t, m, h, d = 3, 5, 7, 2, 11
    return (
        torch.randn(n, t, m, generator=g), torch.rand(m, generator=g) + 0.5,
        torch.randn(h, m, d, generator=g) * 0.3, torch.randn(n, t, generator=g),
    )


def scan(image, k, a, target):
    u = F.conv2d(image, k, padding=1)
    s1 = u[:, :, 0]
    s2 = a * s1 + u[:, :, 1]
    s3 = a * s2 + u[:, :, 2]
    out = s1 + s2 + s3
    loss = ((out - target)**2).mean()
    return loss


SCAN = """
dout = 2 * (out - target) / out.numel()
ds3 = dout
ds2 = dout + a * ds3
ds1 = dout + a * ds2
da = (ds3 * s2 + ds2 * s1).sum((0, 1))
du = torch.stack([ds1, ds2, ds3], 2)
dimage = F.conv2d(du, k.transpose(0, 1).flip((-1, -2)), padding=1)
dk = F.conv2d(image.transpose(0, 1), du.transpose(0, 1), padding=1).transpose(0, 1)
"""


def scan_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(23)
    n, c, o, w = 5, 2, 11, 7
    return (
        torch.randn(n, c, 3, w, generator=g), torch.randn(o, c, 3, 3, generator=g),
        torch.randn(w, generator=g), torch.randn(n, o, w, generator=g),
    )


def echo(x, w, Wh, target):
    y = F.conv1d(x, w)
    z1 = y[:, :, 0]
    r1 = torch.sigmoid(z1)
    z2 = y[:, :, 1] + r1 @ Wh
    r2 = torch.sigmoid(z2)
    z3 = y[:, :, 2] + r2 @ Wh
    r3 = torch.sigmoid(z3)
    total = r1 + r2 + r3
    loss = ((total - target)**2).mean()
    return loss


ECHO = """
dtotal = 2 * (total - target) / total.numel()
dr3 = dtotal
dz3 = dr3 * r3 * (1 - r3)
dr2 = dtotal + dz3 @ Wh.T
dz2 = dr2 * r2 * (1 - r2)
dr1 = dtotal + dz2 @ Wh.T
dz1 = dr1 * r1 * (1 - r1)
dWh = r2.T @ dz3 + r1.T @ dz2
dy = torch.stack([dz1, dz2, dz3], 2)
dx = F.conv1d(dy, w.transpose(0, 1).flip(-1), padding=2)
dw = F.conv1d(x.transpose(0, 1), dy.transpose(0, 1)).transpose(0, 1)
"""


def echo_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(29)
    n, i, o = 7, 2, 11
    return (
        torch.randn(n, i, 5, generator=g), torch.randn(o, i, 3, generator=g),
        torch.randn(o, o, generator=g) * 0.4, torch.randn(n, o, generator=g),
    )


def swish(x, gain, bias, W, Yb):
    y = F.layer_norm(x, (x.shape[1],), gain, bias)
    a = F.silu(y)
    logits = a @ W
    loss = F.cross_entropy(logits, Yb)
    return loss


SWISH = """
dlogits = (F.softmax(logits, 1) - F.one_hot(Yb, logits.shape[1])) / x.shape[0]
dW = a.T @ dlogits
da = dlogits @ W.T
s = torch.sigmoid(y)
dy = da * s + da * y * s * (1 - s)
mean = x.mean(1, keepdim=True)
inv = (x.var(1, correction=0, keepdim=True) + 1e-5)**-0.5
xhat = (x - mean) * inv
dgain = (dy * xhat).sum(0)
dbias = dy.sum(0)
dxhat = dy * gain
dx = inv * (dxhat - dxhat.mean(1, keepdim=True) - xhat * (dxhat * xhat).mean(1, keepdim=True))
"""


def swish_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(31)
    n, m, k = 7, 5, 3
    return (
        torch.randn(n, m, generator=g), torch.rand(m, generator=g) + 0.5,
        torch.randn(m, generator=g), torch.randn(m, k, generator=g),
        torch.randint(0, k, (n,), generator=g),
    )


def entropy(x, W, target):
    logits = x @ W
    logp = F.log_softmax(logits, 1)
    p = logp.exp()
    loss = -(target * logp).sum() + (p * logp).mean()
    return loss


ENTROPY = """
dp = logp / p.numel()
dlogp = -target + p / p.numel() + p * dp
dlogits = dlogp - p * dlogp.sum(1, keepdim=True)
dW = x.T @ dlogits
dx = dlogits @ W.T
"""


def entropy_inputs() -> tuple[Any, ...]:
    g = torch.Generator().manual_seed(37)
    n, m, k = 7, 5, 3
    return (
        torch.randn(n, m, generator=g), torch.randn(m, k, generator=g),
        torch.rand(n, k, generator=g),
    )
# fmt: on


@dataclass(frozen=True)
class Network:
    """A forward pass, the statements that go back through it, and example inputs."""

    forward: Callable[..., Any]
    text: str
    inputs: tuple[Any, ...]


NETWORKS = {
    "article": Network(load_article().forward, article_lines(), article_inputs()),
    "attention": Network(attention, ATTENTION, attention_inputs()),
    "tokens": Network(tokens, TOKENS, tokens_inputs()),
    "convolved": Network(convolved, CONVOLVED, convolved_inputs()),
    "pooled": Network(pooled, POOLED, pooled_inputs()),
    "heads": Network(heads, HEADS, heads_inputs()),
    "scan": Network(scan, SCAN, scan_inputs()),
    "echo": Network(echo, ECHO, echo_inputs()),
    "cell": Network(cell, CELL, cell_inputs()),
    "swish": Network(swish, SWISH, swish_inputs()),
    "entropy": Network(entropy, ENTROPY, entropy_inputs()),
}
