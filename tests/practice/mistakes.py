"""Mistakes that are typical of one exercise: the wrong line, and what kind of mistake it is."""

from __future__ import annotations

TYPICAL: dict[str, tuple[tuple[str, str], ...]] = {
    "exp_log_power": (("dz = dcube * 3 * z**3", "exponent"), ("dx = de * x", "wrong point")),
    "sum_mean": (("dy = (daverage / y.shape[1]).expand(y.shape)", "wrong count"),),
    "activations": (
        ("da = dh * (1 - torch.tanh(h) ** 2)", "wrong point"),
        ("dc = ds * torch.sigmoid(s) * (1 - torch.sigmoid(s))", "wrong point"),
        ("db = dr * r", "factor for mask"),
        ("db = (r > 0).float()", "upstream forgotten"),
    ),
    "slices": (("dx = torch.cat([dhead, torch.zeros(5, 1), dtail], 1)", "overlap lost"),),
    "pick": (
        ("dlogprobs = dpicked.unsqueeze(1).expand(logprobs.shape)", "unselected entries"),
        ("dlogprobs = torch.zeros_like(logprobs); dlogprobs[:, Yb] = dpicked", "slice for entry"),
    ),
    "maximum": (("dx = dx + dtop", "unselected entries"),),
    "linear": (("db1 = dh", "axis not summed"), ("db1 = dh.sum(1)", "wrong axis")),
    "losses": (
        ("dscore = -dmargin", "factor forgotten"),
        ("dmargin = dhinges.masked_fill(hinges > 0, 0)", "mask inverted"),
        ("dsquared = (dmse / pred.shape[0]).expand(squared.shape)", "wrong count"),
    ),
    "cross_entropy_fused": (
        ("dlogits = probs - torch.nn.functional.one_hot(Yb, logits.shape[1])", "count missing"),
        ("dlogits = (torch.nn.functional.one_hot(Yb, logits.shape[1]) - probs) / n", "sign"),
        ("dlogits = probs / n", "term forgotten"),
        ("dlogits = (logits - torch.nn.functional.one_hot(Yb, logits.shape[1])) / n", "wrong name"),
    ),
    "softmax": (
        ("dlogits = probs * (1 - probs) * dprobs", "diagonal only"),
        ("dlogits = probs * dprobs", "second term forgotten"),
        ("dlogits = probs * (dprobs - (probs * dprobs).sum(0, keepdim=True))", "wrong axis"),
    ),
    "embedding": (
        ("dC = torch.zeros_like(C); dC[Xb] += demb", "repeats overwritten"),
        ("demb = dembcat.view(5, 2, 3).transpose(1, 2)", "transpose for view"),
    ),
    "batch_norm": (
        ("dhprebn = dbndiff", "statistics as constants"),
        ("dbnvar = dbnvar_inv * -0.5 * (bnvar + 1e-5) ** -0.5", "exponent"),
    ),
    "batch_norm_fused": (
        ("dhprebn = bngain * bnvar_inv * dhpreact", "statistics as constants"),
        (
            "dhprebn = bngain * bnvar_inv * (dhpreact - dhpreact.mean(0) "
            "- (bnraw * dhpreact).sum(0) * bnraw / n)",
            "n against n-1",
        ),
    ),
    "batch_norm_fused_biased": (
        (
            "dhprebn = bngain * bnvar_inv * (dhpreact - dhpreact.mean(0) "
            "- (bnraw * dhpreact).sum(0) * bnraw / (n - 1))",
            "n against n-1",
        ),
    ),
    "dropout": (
        ("dh = dkept / 0.7", "mask forgotten"),
        ("dh = dkept * mask", "scale forgotten"),
        ("dh = dkept * mask * 0.7", "scale inverted"),
    ),
    "cumulative_sum": (("dx = drunning.cumsum(1)", "wrong direction"),),
    "conv1d": (("dw = torch.einsum('nol,nclk->ock', dmixed, windows.flip(3))", "flipped"),),
    "conv2d": (
        ("dx = torch.nn.grad.conv2d_input(x.shape, w.flip(2, 3), dy, 2, 1)", "flipped"),
        ("dx = F.conv_transpose2d(dy, w, stride=2, padding=1)", "size lost"),
    ),
    "max_pool": (
        ("dx = F.interpolate(dpooled, scale_factor=2)", "unselected entries"),
        (
            "dx = torch.zeros_like(x); dx.view(-1)[places.view(-1)] = dpooled.view(-1)",
            "offset forgotten",
        ),
    ),
    "rnn": (
        ("dh1 = dtotal", "carry forgotten"),
        ("dh2 = dh2 + dh3 @ U.T", "local derivative forgotten"),
    ),
    "lstm": (
        ("dc = dc_next", "factor forgotten"),
        ("dgates = torch.cat((df, di, dg, do), 1)", "order"),
    ),
    "gru": (("dupdate = dout * h + dout * candidate", "sign"),),
    "attention": (
        ("dscores = weights * (1 - weights) * dweights", "diagonal only"),
        ("dk = dscores.T @ q", "scale forgotten"),
        ("dq = dscores @ k * math.sqrt(q.shape[1])", "scale inverted"),
    ),
    "tied_embeddings": (
        ("dC = dlogits.T @ key", "use forgotten"),
        (
            "dC = torch.zeros_like(C).index_put((Xb,), demb, accumulate=True)",
            "use forgotten",
        ),
    ),
    "selective_scan": (("ds1 = dstates[:, 0]", "carry forgotten"),),
}

# The causes that a review may name for each kind, if it names one: the catalogue's, or the single
# edit that puts the line right.
CAUSES: dict[str, set[str]] = {
    "exponent": {"exponent"},
    "wrong point": {"wrong-point"},
    "wrong count": {"wrong-count"},
    "count missing": {"wrong-count"},
    "factor for mask": {"local-forgotten", "wrong-mask"},
    "upstream forgotten": {"upstream-forgotten"},
    "overlap lost": {"wrong-index"},
    "unselected entries": {"unselected-entries"},
    "slice for entry": {"slice-for-element"},
    "axis not summed": {"axis-not-summed"},
    "wrong axis": {"wrong-axis", "constant"},
    "factor forgotten": {"factor-forgotten"},
    "mask inverted": {"wrong-mask"},
    "mask forgotten": {"wrong-mask"},
    "scale forgotten": {"wrong-scale", "wrong-mask", "wrong-factor"},
    "scale inverted": {"wrong-scale", "operator", "wrong-mask"},
    "sign": {"sign"},
    "term forgotten": {"term-forgotten", "use-forgotten", "missing-term"},
    "second term forgotten": {"term-forgotten", "softmax-diagonal", "missing-term"},
    "diagonal only": {"softmax-diagonal"},
    "wrong name": {"wrong-name"},
    "repeats overwritten": {"duplicates-overwritten"},
    "transpose for view": {"view-for-transpose"},
    "statistics as constants": {"statistics-constant", "use-forgotten", "missing-term"},
    "n against n-1": {"bessel", "wrong-count", "operator"},
    "wrong direction": {"wrong-axis"},
    "flipped": {"convolution"},
    "size lost": {"convolution"},
    "offset forgotten": {"wrong-index"},
    "carry forgotten": {"carry-forgotten", "use-forgotten"},
    "local derivative forgotten": {"local-forgotten", "wrong-name"},
    "order": {"view-for-transpose", "wrong-name"},
    "use forgotten": {"use-forgotten"},
}
