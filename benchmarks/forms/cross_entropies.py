"""Cross-entropy: hard, soft, smoothed and weighted targets, a teacher's, and a batch's own."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .record import Form, Reference

SMALL, LARGE = {"n": 6, "k": 5}, {"n": 8192, "k": 1024}
SMOOTHING = 0.1
T = 4.0  # temperature of the distillation
GAMMA = 2
TAU = 0.07  # temperature of the contrastive loss


def draw(r, n, k):
    return r.normal(n, k), r.integers(k, n)


def cross_entropy(logits, Yb):
    n = logits.shape[0]
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    counts_sum = counts.sum(1, keepdims=True)
    counts_sum_inv = counts_sum**-1
    probs = counts * counts_sum_inv
    logprobs = probs.log()
    loss = -logprobs[range(n), Yb].mean()
    return loss


def cross_entropy_of_logs(logits, Yb):
    logprobs = logits - torch.logsumexp(logits, 1, keepdim=True)
    nll = -logprobs.gather(1, Yb[:, None]).squeeze(1)
    loss = nll.mean()
    return loss


def cross_entropy_shifted(logits, Yb):
    n = logits.shape[0]
    shifted = logits - logits.max(1, keepdim=True)[0]
    lse = torch.log(torch.sum(torch.exp(shifted), 1))
    loss = (lse - shifted[torch.arange(n), Yb]).sum() / n
    return loss


def cross_entropy_forward(logits, Yb):
    n = logits.shape[0]
    lse = torch.logsumexp(logits, 1)
    loss = (lse - logits[torch.arange(n), Yb]).mean()
    return loss, logits, lse, Yb


def cross_entropy_backward(dloss, logits, lse, Yb):
    n = logits.shape[0]
    scale = dloss / n
    dlogits = torch.exp(logits - lse[:, None]) * scale
    return (dlogits.scatter_add_(1, Yb[:, None], -scale.expand(n, 1)),)


def cross_entropy_rows(logits, Yb):
    n = logits.shape[0]
    logit_maxes = logits.max(1, keepdim=True).values
    norm_logits = logits - logit_maxes
    counts = norm_logits.exp()
    probs = counts / counts.sum(1, keepdim=True)
    logprobs = probs.log()
    losses = -logprobs[range(n), Yb]
    return losses


def cross_entropy_rows_of_logs(logits, Yb):
    logprobs = logits - torch.logsumexp(logits, 1, keepdim=True)
    losses = -logprobs.gather(1, Yb[:, None])[:, 0]
    return losses


def cross_entropy_rows_forward(logits, Yb):
    lse = torch.logsumexp(logits, 1)
    losses = lse - logits[torch.arange(logits.shape[0]), Yb]
    return losses, logits, lse, Yb


def cross_entropy_rows_backward(dlosses, logits, lse, Yb):
    dlogits = torch.exp(logits - lse[:, None]) * dlosses[:, None]
    return (dlogits.scatter_add_(1, Yb[:, None], -dlosses[:, None]),)


def label_smoothing(logits, Yb):
    n = logits.shape[0]
    norm_logits = logits - logits.max(1, keepdim=True).values
    logprobs = norm_logits - norm_logits.exp().sum(1, keepdim=True).log()
    nll = -logprobs[range(n), Yb]
    smooth = -logprobs.mean(1)
    loss = ((1 - SMOOTHING) * nll + SMOOTHING * smooth).mean()
    return loss


def label_smoothing_targets(logits, Yb):
    k = logits.shape[1]
    hot = F.one_hot(Yb, k).to(logits.dtype)
    targets = (1 - SMOOTHING) * hot + SMOOTHING / k
    logprobs = logits - torch.logsumexp(logits, 1, keepdim=True)
    loss = -(targets * logprobs).sum(1).mean()
    return loss


def label_smoothing_forward(logits, Yb):
    n = logits.shape[0]
    lse = torch.logsumexp(logits, 1)
    picked, mean = logits[torch.arange(n), Yb], logits.mean(1)
    loss = (lse - (1 - SMOOTHING) * picked - SMOOTHING * mean).mean()
    return loss, logits, lse, Yb


def label_smoothing_backward(dloss, logits, lse, Yb):
    n, k = logits.shape
    scale = dloss / n
    dlogits = (torch.exp(logits - lse[:, None]) - SMOOTHING / k) * scale
    true = (SMOOTHING - 1) * scale.expand(n, 1)
    return (dlogits.scatter_add_(1, Yb[:, None], true),)


def soft_targets(logits, q):
    norm_logits = logits - logits.max(1, keepdim=True).values
    counts = norm_logits.exp()
    probs = counts / counts.sum(1, keepdim=True)
    logprobs = probs.log()
    loss = -(q * logprobs).sum(1).mean()
    return loss


def soft_targets_of_logs(logits, q):
    n = logits.shape[0]
    logprobs = logits - torch.logsumexp(logits, 1, keepdim=True)
    loss = -1 / n * (q * logprobs).sum()
    return loss


def soft_targets_forward(logits, q):
    lse = torch.logsumexp(logits, 1, keepdim=True)
    mass = q.sum(1, keepdim=True)
    loss = (mass * lse).mean() - (q * logits).sum(1).mean()
    return loss, logits, lse, q, mass


def soft_targets_backward(dloss, logits, lse, q, mass):
    return ((torch.exp(logits - lse) * mass - q) * (dloss / logits.shape[0]),)


def distillation(s, t):
    ps = (s / T - (s / T).max(1, keepdim=True).values).exp()
    ps = ps / ps.sum(1, keepdim=True)
    pt = (t / T - (t / T).max(1, keepdim=True).values).exp()
    pt = pt / pt.sum(1, keepdim=True)
    kl = (pt * (pt.log() - ps.log())).sum(1)
    loss = T**2 * kl.mean()
    return loss


def distillation_of_logs(s, t):
    log_ps = s / T - torch.logsumexp(s / T, 1, keepdim=True)
    log_pt = t / T - torch.logsumexp(t / T, 1, keepdim=True)
    kl = (log_pt.exp() * (log_pt - log_ps)).sum(1)
    loss = kl.mean() * T * T
    return loss


def distillation_forward(s, t):
    lse_s = torch.logsumexp(s / T, 1, keepdim=True)
    lse_t = torch.logsumexp(t / T, 1, keepdim=True)
    log_pt = t / T - lse_t
    loss = T**2 * (log_pt.exp() * (log_pt - (s / T - lse_s))).sum(1).mean()
    return loss, s, t, lse_s, lse_t


def distillation_backward(dloss, s, t, lse_s, lse_t):
    ps, pt = torch.exp(s / T - lse_s), torch.exp(t / T - lse_t)
    return ((ps - pt) * (T * dloss / s.shape[0]),)


def focal(logits, Yb):
    n = logits.shape[0]
    counts = (logits - logits.max(1, keepdim=True).values).exp()
    probs = counts / counts.sum(1, keepdim=True)
    pt = probs[range(n), Yb]
    loss = (-((1 - pt) ** GAMMA) * pt.log()).mean()
    return loss


def focal_of_logs(logits, Yb):
    logprobs = logits - torch.logsumexp(logits, 1, keepdim=True)
    logpt = logprobs.gather(1, Yb[:, None]).squeeze(1)
    pt = logpt.exp()
    loss = -((1 - pt) ** GAMMA * logpt).mean()
    return loss


def focal_forward(logits, Yb):
    lse = torch.logsumexp(logits, 1)
    logpt = logits[torch.arange(logits.shape[0]), Yb] - lse
    loss = -((1 - logpt.exp()) ** GAMMA * logpt).mean()
    return loss, logits, lse, Yb


def focal_backward(dloss, logits, lse, Yb):
    logpt = logits.gather(1, Yb[:, None]) - lse[:, None]
    pt = logpt.exp()
    slope = GAMMA * (1 - pt) ** (GAMMA - 1) * pt * logpt - (1 - pt) ** GAMMA
    slope = slope * dloss / logits.shape[0]
    dlogits = torch.exp(logits - lse[:, None]) * -slope
    return (dlogits.scatter_add_(1, Yb[:, None], slope),)


def info_nce(a, b):
    n = a.shape[0]
    scores = a @ b.T / TAU
    norm = scores - scores.max(1, keepdim=True).values
    counts = norm.exp()
    probs = counts / counts.sum(1, keepdim=True)
    loss = -probs.log()[range(n), range(n)].mean()
    return loss


def info_nce_diagonal(a, b):
    scores = a @ b.T / TAU
    positives = (a * b).sum(1) / TAU
    loss = (torch.logsumexp(scores, 1) - positives).mean()
    return loss


def info_nce_forward(a, b):
    scores = a @ b.T / TAU
    lse = torch.logsumexp(scores, 1, keepdim=True)
    loss = (lse[:, 0] - scores.diagonal()).mean()
    return loss, a, b, scores, lse


def info_nce_backward(dloss, a, b, scores, lse):
    probs = torch.exp(scores - lse)
    scale = dloss / (TAU * a.shape[0])
    return scale * (probs @ b - b), scale * (probs.T @ a - a)


FORMS = (
    Form(
        "cross-entropy",
        (cross_entropy, cross_entropy_of_logs, cross_entropy_shifted),
        draw,
        ("logits",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "the article's Exercise 2; the softmax is made again from the row's log-sum-exp",
            cross_entropy_forward,
            cross_entropy_backward,
            2,
            lambda b, n, k: b * (n * k + n) + 8 * n,
        ),
        F.cross_entropy,
    ),
    Form(
        "cross-entropy, one loss a row",
        (cross_entropy_rows, cross_entropy_rows_of_logs),
        draw,
        ("logits",),
        "losses",
        SMALL,
        LARGE,
        Reference(
            "the article's Exercise 2, times the upstream",
            cross_entropy_rows_forward,
            cross_entropy_rows_backward,
            2,
            lambda b, n, k: b * (n * k + n) + 8 * n,
        ),
        lambda logits, Yb: F.cross_entropy(logits, Yb, reduction="none"),
    ),
    Form(
        "label-smoothed cross-entropy",
        (label_smoothing, label_smoothing_targets),
        draw,
        ("logits",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "Szegedy et al. 2016, section 7",
            label_smoothing_forward,
            label_smoothing_backward,
            2,
            lambda b, n, k: b * (n * k + n) + 8 * n,
        ),
        lambda logits, Yb: F.cross_entropy(logits, Yb, label_smoothing=SMOOTHING),
    ),
    Form(
        "cross-entropy on soft targets",
        (soft_targets, soft_targets_of_logs),
        lambda r, n, k: (r.normal(n, k), torch.softmax(r.normal(n, k), 1)),
        ("logits",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "Hinton et al. 2015, equation 2, for targets of any sum",
            soft_targets_forward,
            soft_targets_backward,
            3,
            lambda b, n, k: b * (2 * n * k + 2 * n),
        ),
        F.cross_entropy,
    ),
    Form(
        "distillation with a temperature",
        (distillation, distillation_of_logs),
        lambda r, n, k: (r.normal(n, k), r.normal(n, k)),
        ("s",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "Hinton et al. 2015, equation 2",
            distillation_forward,
            distillation_backward,
            3,
            lambda b, n, k: b * (2 * n * k + 2 * n),
        ),
        lambda s, t: T**2 * F.kl_div(
            torch.log_softmax(s / T, 1), torch.log_softmax(t / T, 1),
            reduction="batchmean", log_target=True,
        ),
    ),
    Form(
        "focal loss",
        (focal, focal_of_logs),
        draw,
        ("logits",),
        "loss",
        SMALL,
        LARGE,
        Reference(
            "Lin et al. 2017, appendix B, for a softmax",
            focal_forward,
            focal_backward,
            2,
            lambda b, n, k: b * (n * k + n) + 8 * n,
        ),
    ),
    Form(
        "contrastive loss (InfoNCE)",
        (info_nce, info_nce_diagonal),
        lambda r, n, d: (
            F.normalize(r.normal(n, d), dim=1), F.normalize(r.normal(n, d), dim=1)
        ),
        ("a", "b"),
        "loss",
        {"n": 6, "d": 4},
        {"n": 3072, "d": 64},
        Reference(
            "Exercise 2 between two products; a row's own pair leaves the products",
            info_nce_forward,
            info_nce_backward,
            4,  # scores, then the softmax is written, and read by two products
            lambda b, n, d: b * (n * n + 2 * n * d + n),
        ),
        lambda a, b: F.cross_entropy(a @ b.T / TAU, torch.arange(a.shape[0])),
    ),
)  # fmt: skip
