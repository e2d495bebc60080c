"""The catalogue's mistakes, each planted in several networks, with the cause that names it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Case:
    """A mistake: its row, its code, the network, what is replaced, and the gradient to blame."""

    row: int
    code: str
    network: str
    old: str
    new: str
    blamed: str


_BN = "dbndiff = bnvar_inv * dbnraw + 2 * bndiff * dbndiff2"
_HP = "dhprebn = dbndiff + 1/n * dbnmeani"
_DC = "dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)"
_DT = "dtable.index_put_((ids,), dx, accumulate=True)"
_ET = "dtable.index_put_((ids,), demb, accumulate=True)"
_DL = "dlogits = dnorm_logits + F.one_hot(logits.argmax(1), logits.shape[1]) * dlogit_maxes"
_WH = "dWh = h2.T @ dz3 + h1.T @ dz2 + h0.T @ dz1"
_DY = "dy = dq @ Wq.T + dk @ Wk.T + dv @ Wv.T"
_XC = "dxc = dxhat * inv + 2 * xc * dvar / xc.shape[1]"
_PICK = "dlogprobs[range(n), Yb] = -1.0 / n"
_SP = "dscores = p * (dp - (dp * p).sum(1, keepdim=True))"

# fmt: off
CASES = (
    Case(1, "sign", "article", "= -counts_sum**-2", "= counts_sum**-2", "dcounts_sum"),
    Case(1, "sign", "attention", "dmu = -dxc", "dmu = dxc", "dmu"),
    Case(1, "sign", "cell", "dbest = -ds", "dbest = ds", "dbest"),
    Case(1, "sign", "article", _BN, _BN.replace("+", "-"), "dbndiff"),
    Case(1, "sign", "tokens", "dp - (dp * p)", "dp + (dp * p)", "dscores"),
    Case(2, "missing-keepdim", "article", "dbnbias = dhpreact.sum(0, keepdim=True)",
         "dbnbias = dhpreact.sum(0)", "dbnbias"),
    Case(2, "missing-keepdim", "attention", "-dxc.sum(1, keepdim=True)", "-dxc.sum(1)", "dmu"),
    Case(2, "missing-keepdim", "cell", "-ds.sum(1, keepdim=True)", "-ds.sum(1)", "dbest"),
    Case(3, "extra-keepdim", "article", "db2 = dlogits.sum(0)",
         "db2 = dlogits.sum(0, keepdim=True)", "db2"),
    Case(3, "extra-keepdim", "attention", "dbias = dy.sum(0)",
         "dbias = dy.sum(0, keepdim=True)", "dbias"),
    Case(3, "extra-keepdim", "convolved", "db = dy.sum((0, 2))",
         "db = dy.sum((0, 2), keepdim=True)", "db"),
    Case(4, "axis-not-summed", "article", "db1 = dhprebn.sum(0)", "db1 = dhprebn", "db1"),
    Case(4, "axis-not-summed", "attention", "dgain = (dy * xhat).sum(0)", "dgain = dy * xhat",
         "dgain"),
    Case(4, "axis-not-summed", "cell", "dbest = -ds.sum(1, keepdim=True)", "dbest = -ds", "dbest"),
    Case(5, "wrong-axis", "article", "db2 = dlogits.sum(0)", "db2 = dlogits.sum(1)", "db2"),
    Case(5, "wrong-axis", "attention", "dbias = dy.sum(0)", "dbias = dy.sum()", "dbias"),
    Case(5, "wrong-axis", "cell", "-ds.sum(1, keepdim=True)", "-ds.sum(0, keepdim=True)", "dbest"),
    Case(6, "use-forgotten", "article", _BN, "dbndiff = bnvar_inv * dbnraw", "dbndiff"),
    Case(6, "use-forgotten", "attention", _DY, "dy = dq @ Wq.T + dk @ Wk.T", "dy"),
    Case(6, "use-forgotten", "cell", "dy = ds + (y == best) * dbest", "dy = ds", "dy"),
    Case(6, "use-forgotten", "tokens", "dkept[:, -1] += dlast\n", "", "dkept"),
    Case(7, "overwritten", "article", _BN,
         "dbndiff = bnvar_inv * dbnraw\ndbndiff = 2 * bndiff * dbndiff2", "dbndiff"),
    Case(7, "overwritten", "attention", _XC,
         "dxc = dxhat * inv\ndxc = 2 * xc * dvar / xc.shape[1]", "dxc"),
    Case(7, "overwritten", "cell", _WH,
         "dWh = h2.T @ dz3\ndWh = h1.T @ dz2 + h0.T @ dz1", "dWh"),
    Case(8, "duplicates-overwritten", "article", _DC, "dC = torch.zeros_like(C)\ndC[Xb] += demb",
         "dC"),
    Case(8, "duplicates-overwritten", "cell", _DT, "dtable[ids] += dx", "dtable"),
    Case(8, "duplicates-overwritten", "tokens", _ET, "dtable[ids] = demb", "dtable"),
    Case(8, "duplicates-overwritten", "article", _DC,
         "dC = torch.zeros_like(C).index_put((Xb,), demb)", "dC"),
    Case(9, "aliasing", "article", _HP, "dhprebn = dbndiff\ndhprebn += 1/n * dbnmeani", "dbndiff"),
    Case(9, "aliasing", "attention", "dx = dxc + dmu / x.shape[1]",
         "dx = dxc\ndx += dmu / x.shape[1]", "dxc"),
    Case(9, "aliasing", "cell", "dy = ds + (y == best) * dbest",
         "dy = ds\ndy += (y == best) * dbest", "ds"),
    Case(9, "aliasing", "article", _DL,
         "dlogits = dnorm_logits\ndlogits += F.one_hot(logits.argmax(1), logits.shape[1])"
         " * dlogit_maxes", "dnorm_logits"),
    Case(10, "wrong-count", "article", _HP, "dhprebn = dbndiff + dbnmeani", "dhprebn"),
    Case(10, "wrong-count", "attention", "2 * diff / diff.numel()", "2 * diff / diff.shape[0]",
         "ddiff"),
    Case(10, "wrong-count", "cell", "2 * (s - target) / s.numel()", "2 * (s - target)", "ds"),
    Case(10, "wrong-count", "article", _PICK, "dlogprobs[range(n), Yb] = -1.0", "dlogprobs"),
    Case(11, "bessel", "article", "(1/(n-1) * dbnvar)", "(1/n * dbnvar)", "dbndiff2"),
    Case(11, "bessel", "attention", "dvar / xc.shape[1]", "dvar / (xc.shape[1] - 1)", "dxc"),
    Case(11, "bessel", "attention", "dmu / x.shape[1]", "dmu / (x.shape[1] - 1)", "dx"),
    Case(12, "statistics-constant", "article", _HP, "dhprebn = bngain * bnvar_inv * dhpreact",
         "dhprebn"),
    Case(12, "statistics-constant", "attention", "dx = dxc + dmu / x.shape[1]",
         "dx = dy * gain * inv", "dx"),
    Case(12, "statistics-constant", "attention", "dx = dxc + dmu / x.shape[1]",
         "dx = dxhat * inv", "dx"),
    Case(13, "added-twice", "article", "db2 = dlogits.sum(0)",
         "db2 = dlogits.sum(0)\ndb2 += dlogits.sum(0)", "db2"),
    Case(13, "added-twice", "attention", "dv = p.T @ dout", "dv = p.T @ dout\ndv = dv + p.T @ dout",
         "dv"),
    Case(13, "added-twice", "cell", "dh1 = dhs + dz2 @ Wh.T",
         "dh1 = dhs + dz2 @ Wh.T\ndh1 = dh1 + dz2 @ Wh.T", "dh1"),
    Case(14, "upstream-forgotten", "article", "(1 - h**2) * dh", "1 - h**2", "dhpreact"),
    Case(14, "upstream-forgotten", "attention", "dscores = de * e", "dscores = e", "dscores"),
    Case(14, "upstream-forgotten", "cell", "dz3 = dh3 * (1 - h3**2)", "dz3 = 1 - h3**2", "dz3"),
    Case(15, "local-forgotten", "article", "dhpreact = (1 - h**2) * dh", "dhpreact = dh",
         "dhpreact"),
    Case(15, "local-forgotten", "attention", "dscores = de * e", "dscores = de", "dscores"),
    Case(15, "local-forgotten", "cell", "dz2 = dh2 * (1 - h2**2)", "dz2 = dh2", "dz2"),
    Case(16, "factor-forgotten", "article", "dbnraw = bngain * dhpreact", "dbnraw = dhpreact",
         "dbnraw"),
    Case(16, "factor-forgotten", "attention", "dxhat = dy * gain", "dxhat = dy", "dxhat"),
    Case(16, "factor-forgotten", "pooled", "dx = dy * gain", "dx = dy", "dx"),
    Case(17, "wrong-point", "article", "1 - h**2", "1 - torch.tanh(h)**2", "dhpreact"),
    Case(17, "wrong-point", "attention", "dscores = de * e", "dscores = de * scores", "dscores"),
    Case(17, "wrong-point", "cell", "dz1 = dh1 * (1 - h1**2)", "dz1 = dh1 * (1 - z1**2)", "dz1"),
    Case(18, "precedence", "article", "(1 - h**2) * dh", "1 - h**2 * dh", "dhpreact"),
    Case(18, "precedence", "attention", "(var + 1e-5)**-1.5", "var + 1e-5**-1.5", "dvar"),
    Case(18, "precedence", "cell", "dz3 = dh3 * (1 - h3**2)", "dz3 = dh3 * 1 - h3**2", "dz3"),
    Case(19, "matmul-order", "article", "dW2 = h.T @ dlogits", "dW2 = dlogits.T @ h", "dW2"),
    Case(19, "matmul-order", "attention", "dWq = y.T @ dq", "dWq = y @ dq", "dWq"),
    Case(19, "matmul-order", "cell", "dh0 = dz1 @ Wh.T", "dh0 = dz1 @ Wh", "dh0"),
    Case(20, "row-for-column", "article", "* dlogit_maxes", "* -dnorm_logits.sum(1)", "dlogits"),
    Case(20, "row-for-column", "attention", _XC, "dxc = dxhat * inv + 2 * xc * (-0.5 * "
         "(var + 1e-5)**-1.5 * (dxhat * xc).sum(1)) / xc.shape[1]", "dxc"),
    Case(20, "row-for-column", "cell", "(y == best) * dbest", "(y == best) * -ds.sum(1)", "dy"),
    Case(20, "row-for-column", "tokens", "(dp * p).sum(1, keepdim=True)", "(dp * p).sum(1)",
         "dscores"),
    Case(21, "view-for-transpose", "article", "dembcat.view(emb.shape)",
         "dembcat.view(emb.shape[0], emb.shape[2], emb.shape[1]).transpose(1, 2)", "demb"),
    Case(21, "view-for-transpose", "tokens", "dturned.transpose(1, 2)",
         "dturned.reshape(kept.shape)", "dkept"),
    Case(21, "view-for-transpose", "tokens", "dflat.view(turned.shape)",
         "dflat.view(kept.shape).transpose(1, 2)", "dturned"),
    Case(22, "softmax-diagonal", "tokens", _SP, "dscores = p * (1 - p) * dp", "dscores"),
    Case(22, "softmax-diagonal", "attention", "dscores = de * e", "dscores = p * (1 - p) * dp",
         "dscores"),
    Case(22, "softmax-diagonal", "article", _DL, "dlogits = probs * (1 - probs) * dprobs",
         "dlogits"),
    Case(23, "unselected-entries", "article", _PICK, "dlogprobs[:] = -1.0 / n", "dlogprobs"),
    Case(23, "unselected-entries", "pooled", "F.one_hot(y.argmax(0), y.shape[0]).T * dfirst",
         "dfirst", "dy"),
    Case(23, "unselected-entries", "cell", "(y == best) * dbest", "dbest", "dy"),
    Case(25, "wrong-mask", "tokens", "dkept * mask / keep", "dkept * mask", "da"),
    Case(25, "wrong-mask", "tokens", "dkept * mask / keep", "dkept / keep", "da"),
    Case(25, "wrong-mask", "cell", "dhs = dr * (hs > 0)", "dhs = dr", "dhs"),
    Case(25, "wrong-mask", "convolved", "dy = dr * (y > 0)", "dy = dr * (y < 0)", "dy"),
    Case(26, "convolution", "convolved", ".flip(-1)", "", "dx"),
    Case(26, "convolution", "convolved", "flip(-1), padding=1", "flip(-1), padding=0", "dx"),
    Case(27, "slice-for-element", "article", _PICK, "dlogprobs[:, Yb] = -1.0 / n", "dlogprobs"),
    Case(27, "slice-for-element", "tokens", "dkept[:, -1] += dlast",
         "dkept[:, 1:] += dlast.unsqueeze(1)", "dkept"),
    Case(27, "slice-for-element", "tokens", "dkept[:, -1] += dlast",
         "dkept[:, 0:] += dlast.unsqueeze(1)", "dkept"),
    Case(28, "wrong-name", "article", "dbnvar_inv = (bndiff * dbnraw)",
         "dbnvar_inv = (bndiff * dhpreact)", "dbnvar_inv"),
    Case(28, "wrong-name", "attention", "dWk = y.T @ dk", "dWk = y.T @ dq", "dWk"),
    Case(28, "wrong-name", "cell", "dx2 = dz2 @ Wx.T", "dx2 = dz3 @ Wx.T", "dx2"),
    Case(29, "never-written", "article", _DC, "dC = torch.zeros_like(C)", "dC"),
    Case(29, "never-written", "attention", "dWv = y.T @ dv", "dWv = None", "dWv"),
    Case(29, "never-written", "cell", _DT + "\n", "", "dtable"),
    Case(29, "missing", "cell", "dh1 = dhs + dz2 @ Wh.T\n", "", "dh1"),
    Case(30, "rank-two-only", "tokens", "dz.sum((0, 1))", "dz.sum(0)", "db"),
    Case(30, "rank-two-only", "tokens", "emb.flatten(0, 1).T @ dz.flatten(0, 1)", "emb.mT @ dz",
         "dW"),
    Case(30, "rank-two-only", "convolved", "dy.sum((0, 2))", "dy.sum(0)", "db"),
    Case(31, "mutated", "article", _DL,
         "dlogits = probs\ndlogits[range(n), Yb] -= 1\ndlogits /= n", "dlogits"),
    Case(31, "mutated", "attention", "dscores = de * e", "dscores = e\ndscores *= de", "dscores"),
    Case(31, "mutated", "cell", "dhs = dr * (hs > 0)", "dhs = r\ndhs[:] = dr * (hs > 0)", "dhs"),
    Case(32, "carry-forgotten", "cell", "dh2 = dhs + dz3 @ Wh.T", "dh2 = dhs", "dh2"),
    Case(32, "carry-forgotten", "cell", "dh1 = dhs + dz2 @ Wh.T", "dh1 = dhs", "dh1"),
    Case(32, "order", "cell", "dh2 = dhs + dz3 @ Wh.T\ndz2 = dh2 * (1 - h2**2)",
         "dh2 = dhs\ndz2 = dh2 * (1 - h2**2)\ndh2 = dh2 + dz3 @ Wh.T", "dz2"),
    Case(33, "wrong-scale", "attention", "dq = dscores @ k / d**0.5", "dq = dscores @ k", "dq"),
    Case(33, "wrong-scale", "attention", "dk = dscores.T @ q / d**0.5",
         "dk = dscores.T @ q / d", "dk"),
    Case(33, "wrong-scale", "tokens", "dV = flat.T @ dscores / d**0.5", "dV = flat.T @ dscores",
         "dV"),
    Case(34, "jacobian", "article", "db2 = dlogits.sum(0)",
         "db2 = torch.eye(dlogits.shape[1]).expand(dlogits.shape[0], -1, -1)", "db2"),
    Case(34, "jacobian", "attention", "dbias = dy.sum(0)",
         "dbias = torch.eye(dy.shape[1]).expand(dy.shape[0], -1, -1)", "dbias"),
    Case(34, "jacobian", "pooled", "dgain = (dy * x).sum(0)", "dgain = torch.diag_embed(x)",
         "dgain"),
    Case(35, "false-comment", "article", "db2 = dlogits.sum(0)", "db2 = dlogits.sum(0)  # [5]",
         "db2"),
    Case(35, "false-comment", "attention", "dbias = dy.sum(0)", "dbias = dy.sum(0)  # [1, 5]",
         "dbias"),
    Case(35, "false-comment", "cell", "dWo = r.T @ dy", "dWo = r.T @ dy  # [3, 5]", "dWo"),
)

# Beyond the catalogue: what the smallest edit of the line says, and what nothing explains.
OTHERS = (
    Case(0, "operator", "article", "dprobs = dlogprobs / probs", "dprobs = dlogprobs * probs",
         "dprobs"),
    Case(0, "exponent", "article", "-counts_sum**-2", "-counts_sum**-1", "dcounts_sum"),
    Case(0, "constant", "article", "dbnvar = -0.5 *", "dbnvar = -1.5 *", "dbnvar"),
    Case(0, "wrong-index", "tokens", "dkept[:, -1]", "dkept[:, 0]", "dkept"),
    Case(0, "surplus-factor", "article", "(1 - h**2) * dh", "(1 - h**2) * dh * h", "dhpreact"),
    Case(0, "surplus-term", "article", "db2 = dlogits.sum(0)", "db2 = dlogits.sum(0) + b2", "db2"),
    Case(0, "term-forgotten", "article", "(bnvar + 1e-5)", "(bnvar)", "dbnvar"),
    Case(0, "wrong-dtype", "attention", "dWq = y.T @ dq", "dWq = (y.T @ dq).double()", "dWq"),
    Case(0, "cannot-run", "article", "dW2 = h.T @ dlogits", "dW2 = h @ h @ dlogits", "dW2"),
    Case(0, "no-known-pattern", "article", "dW2 = h.T @ dlogits",
         "dW2 = (h.T @ dlogits).sin() + h.sum()", "dW2"),
)
# fmt: on
