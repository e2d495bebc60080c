"""Right ways to write a gradient otherwise: other orders, fused forms, other functions."""

from __future__ import annotations

# fmt: off
# network, what stands there, what may stand there as well
VARIANTS: tuple[tuple[str, str, str], ...] = (
    ("article", "dlogprobs[range(n), Yb] = -1.0 / n", "dlogprobs[torch.arange(n), Yb] -= 1.0 / n"),
    ("article", "dlogprobs[range(n), Yb] = -1.0 / n",
     "dlogprobs = -F.one_hot(Yb, logprobs.shape[1]).float() / n"),
    ("article", "dlogprobs[range(n), Yb] = -1.0 / n",
     "dlogprobs.scatter_(1, Yb[:, None], -1.0 / n)"),
    ("article", "dlogprobs = torch.zeros_like(logprobs)\ndlogprobs[range(n), Yb] = -1.0 / n",
     "dlogprobs = torch.zeros((n, logprobs.shape[1]))\nfor i in range(n):\n"
     "    dlogprobs[i, Yb[i]] = -1.0 / n"),
    ("article", "dprobs = dlogprobs / probs", "dprobs = (1.0 / probs) * dlogprobs"),
    ("article", "dprobs = dlogprobs / probs", "dprobs = dlogprobs * probs**-1"),
    ("article", "(counts * dprobs).sum(1, keepdim=True)", "(counts * dprobs).sum(1).unsqueeze(1)"),
    ("article", "(counts * dprobs).sum(1, keepdim=True)",
     "torch.einsum('ij,ij->i', counts, dprobs)[:, None]"),
    ("article", "-counts_sum**-2 * dcounts_sum_inv", "-dcounts_sum_inv / counts_sum**2"),
    ("article", "-counts_sum**-2 * dcounts_sum_inv", "-counts_sum_inv**2 * dcounts_sum_inv"),
    ("article", "dcounts = dcounts_sum + counts_sum_inv * dprobs",
     "dcounts = counts_sum_inv * dprobs\ndcounts += torch.ones_like(counts) * dcounts_sum"),
    ("article", "dcounts = dcounts_sum + counts_sum_inv * dprobs",
     "dcounts = counts_sum_inv * dprobs\ndcounts = dcounts + dcounts_sum"),
    ("article", "dcounts = dcounts_sum + counts_sum_inv * dprobs",
     "dcounts = torch.zeros_like(counts)\ndcounts += dcounts_sum\ndcounts += counts_sum_inv * "
     "dprobs"),
    ("article", "dnorm_logits = counts * dcounts", "dnorm_logits = norm_logits.exp() * dcounts"),
    ("article", "-dnorm_logits.sum(1, keepdim=True)", "(-dnorm_logits).sum(dim=1, keepdims=True)"),
    ("article", "-dnorm_logits.sum(1, keepdim=True)", "-1 * torch.sum(dnorm_logits, 1, True)"),
    ("article", "dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * "
     "dlogit_maxes", "dlogits = dnorm_logits.clone()\ndlogits += F.one_hot(logits.max(1).indices, "
     "num_classes=logits.shape[1]) * dlogit_maxes"),
    ("article", "dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * "
     "dlogit_maxes", "dlogits = dnorm_logits"),
    ("article", "dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * "
     "dlogit_maxes", "dlogits = F.softmax(logits, 1)\ndlogits[range(n), Yb] -= 1\ndlogits /= n"),
    ("article", "dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * "
     "dlogit_maxes", "dlogits = (F.softmax(logits, 1) - F.one_hot(Yb, logits.shape[1])) / n"),
    ("article", "dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * "
     "dlogit_maxes", "dlogits = probs.clone()\ndlogits[range(n), Yb] -= 1\ndlogits *= 1 / n"),
    ("article", "dh = dlogits @ W2.T", "dh = torch.einsum('nk,dk->nd', dlogits, W2)"),
    ("article", "dh = dlogits @ W2.T", "dh = (W2 @ dlogits.T).T"),
    ("article", "dW2 = h.T @ dlogits", "dW2 = torch.einsum('nd,nk->dk', h, dlogits)"),
    ("article", "dW2 = h.T @ dlogits", "dW2 = (dlogits.T @ h).T"),
    ("article", "dW2 = h.T @ dlogits",
     "dW2 = torch.zeros_like(W2)\nfor i in range(n):\n    dW2 += torch.outer(h[i], dlogits[i])"),
    ("article", "db2 = dlogits.sum(0)", "db2 = torch.ones(n) @ dlogits"),
    ("article", "db2 = dlogits.sum(0)", "db2 = dlogits.sum(0, keepdim=True).view(-1)"),
    ("article", "dhpreact = (1 - h**2) * dh", "dhpreact = dh - h * h * dh"),
    ("article", "dhpreact = (1 - h**2) * dh", "dhpreact = (1 - torch.tanh(hpreact)**2) * dh"),
    ("article", "dhpreact = (1 - h**2) * dh", "dhpreact = (1 - h) * (1 + h) * dh"),
    ("article", "dbnraw = bngain * dhpreact", "g = dhpreact\ndbnraw = g * bngain"),
    ("article", "-0.5 * (bnvar + 1e-5)**-1.5", "-0.5 * bnvar_inv**3"),
    ("article", "(1/(n-1) * dbnvar).expand(bndiff2.shape)",
     "torch.ones_like(bndiff2) * dbnvar / (n - 1)"),
    ("article", "dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2",
     "dbndiff = bnvar_inv * dbnraw\ndbndiff += 2 * bndiff * dbndiff2"),
    ("article", "dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2",
     "first = bnvar_inv * dbnraw\nsecond = 2 * bndiff * dbndiff2\ndbndiff = first + second"),
    ("article", "dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2",
     "dbndiff = bnraw * 0\nfor part in (bnvar_inv * dbnraw, (bndiff + bndiff) * dbndiff2):\n"
     "    dbndiff += part"),
    ("article", "dhprebn = dbndiff + 1/n * dbnmeani",
     "dhprebn = bngain * bnvar_inv / n * (n * dhpreact - dhpreact.sum(0) - n / (n - 1) * bnraw * "
     "(dhpreact * bnraw).sum(0))"),
    ("article", "dhprebn = dbndiff + 1/n * dbnmeani", "dhprebn = dbndiff - dbndiff.mean(0)"),
    ("article", "dhprebn = dbndiff + 1/n * dbnmeani",
     "dhprebn = dbndiff.clone()\ndhprebn += torch.ones_like(hprebn) / n * dbnmeani"),
    ("article", "db1 = dhprebn.sum(0)", "db1 = torch.zeros_like(b1)"),
    ("article", "demb = dembcat.view(emb.shape)", "demb = dembcat.reshape(n, emb.shape[1], -1)"),
    ("article", "demb = dembcat.view(emb.shape)",
     "demb = torch.stack(dembcat.split(emb.shape[2], 1), 1)"),
    ("article", "dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)",
     "dC = torch.zeros_like(C)\nfor k in range(Xb.shape[0]):\n    for j in range(Xb.shape[1]):\n"
     "        ix = Xb[k, j]\n        dC[ix] += demb[k, j]"),
    ("article", "dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)",
     "dC = torch.zeros_like(C).index_add_(0, Xb.view(-1), demb.view(-1, C.shape[1]))"),
    ("article", "dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)",
     "dC = torch.einsum('ntv,nte->ve', F.one_hot(Xb, C.shape[0]).float(), demb)"),
    ("attention", "2 * diff / diff.numel()", "diff * (2 / (diff.shape[0] * diff.shape[1]))"),
    ("attention", "de = dp / z + dz\ndscores = de * e",
     "dscores = p * (dp - (dp * p).sum(1, keepdim=True))"),
    ("attention", "de = dp / z + dz\ndscores = de * e",
     "dscores = p * (dp - (dout * out).sum(1, keepdim=True))"),
    ("attention", "dk = dscores.T @ q / d**0.5", "dk = (q.T @ dscores).T / d**0.5"),
    ("attention", "dk = dscores.T @ q / d**0.5", "dk = dscores.T @ (q / d**0.5)"),
    ("attention", "dy = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T",
     "dy = dv @ Wv.T\ndy += dk @ Wk.T\ndy += dq @ Wq.T"),
    ("attention", "dx = dxc + dmu / x.shape[1]",
     "dx = inv * (dxhat - dxhat.mean(1, keepdim=True) - xhat * (dxhat * xhat).mean(1, "
     "keepdim=True))"),
    ("attention", "dvar = -0.5 * (var + 1e-5)**-1.5 * dinv", "dvar = -inv**3 / 2 * dinv"),
    ("cell", "dh3 = dhs\n", "dh3 = dhs.clone()\n"),
    ("cell", "dWh = h2.T @ dz3 + h1.T @ dz2 + h0.T @ dz1",
     "dWh = torch.zeros_like(Wh)\nfor before, dz in ((h2, dz3), (h1, dz2), (h0, dz1)):\n"
     "    dWh += before.T @ dz"),
    ("cell", "db = dz3.sum(0) + dz2.sum(0) + dz1.sum(0)", "db = (dz1 + dz2 + dz3).sum(0)"),
    ("cell", "dx = torch.zeros_like(x)\ndx[:, 0] = dx1\ndx[:, 1] = dx2\ndx[:, 2] = dx3",
     "dx = torch.stack([dx1, dx2, dx3], 1)"),
    ("cell", "dhs = dr * (hs > 0)", "dhs = dr.clone()\ndhs[hs <= 0] = 0"),
    ("cell", "dhs = dr * (hs > 0)", "dhs = torch.where(r > 0, dr, 0.0)"),
    ("tokens", "dkept = dturned.transpose(1, 2).clone()\ndkept[:, -1] += dlast",
     "dkept = dturned.permute(0, 2, 1).contiguous()\nend = kept.shape[1] - 1\n"
     "dkept[:, end, :] += dlast"),
    ("tokens", "emb.flatten(0, 1).T @ dz.flatten(0, 1)", "torch.einsum('ntm,nth->mh', emb, dz)"),
    ("tokens", "dz.sum((0, 1))", "dz.sum(0).sum(0)"),
    ("tokens", "da * a * (1 - a)", "da * (a - a**2)"),
    ("convolved", "F.conv1d(dy, w.transpose(0, 1).flip(-1), padding=1)",
     "F.conv_transpose1d(dy, w, padding=1)"),
    ("pooled", "F.one_hot(y.argmax(0), y.shape[0]).T * dfirst",
     "torch.zeros_like(y).scatter_(0, y.argmax(0)[None], dfirst[None])"),
)
# fmt: on
