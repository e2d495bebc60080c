"""Normalisations to mean zero and variance one: over the batch, a row, a group, a channel."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from .record import Form, Reference

EPS = 1e-5
GROUPS = 2
IMAGES = {"n": 2, "c": 4, "h": 3, "w": 5}
MANY_IMAGES = {"n": 64, "c": 128, "h": 32, "w": 32}


def draw_columns(r, n, d):
    return r.normal(n, d), r.normal(d) * 0.1 + 1, r.normal(d)


def draw_images(r, n, c, h, w):
    return r.normal(n, c, h, w), r.normal(c) * 0.1 + 1, r.normal(c)


def batch_norm(x, gain, bias):
    n = x.shape[0]
    mean = 1 / n * x.sum(0, keepdim=True)
    diff = x - mean
    diff2 = diff**2
    var = 1 / (n - 1) * (diff2).sum(0, keepdim=True)
    var_inv = (var + EPS) ** -0.5
    raw = diff * var_inv
    y = gain * raw + bias
    return y


def batch_norm_fast(x, gain, bias):
    mean = x.mean(0, keepdim=True)
    var = x.var(0, keepdim=True, unbiased=True)
    y = gain * (x - mean) / torch.sqrt(var + EPS) + bias
    return y


def batch_norm_forward(x, gain, bias):
    var, mean = torch.var_mean(x, 0)
    inv = torch.rsqrt(var + EPS)
    return (x - mean) * (inv * gain) + bias, x, gain, mean, inv


def batch_norm_backward(dy, x, gain, mean, inv):
    n = x.shape[0]
    raw = (x - mean) * inv
    dbias, dgain = dy.sum(0), (dy * raw).sum(0)
    dx = gain * inv / n * (n * dy - dbias - n / (n - 1) * raw * dgain)
    return dx, dgain, dbias


def biased_batch_norm(x, gain, bias):
    n = x.shape[0]
    mean = x.sum(0) / n
    diff = x - mean
    var = (diff**2).sum(0) / n
    std = torch.sqrt(var + EPS)
    raw = diff / std
    y = gain * raw + bias
    return y


def biased_batch_norm_means(x, gain, bias):
    mean = x.mean(0, keepdim=True)
    var = (x - mean).pow(2).mean(0, keepdim=True)
    xhat = (x - mean) * torch.rsqrt(var + EPS)
    y = xhat * gain + bias
    return y


def biased_batch_norm_forward(x, gain, bias):
    var, mean = torch.var_mean(x, 0, correction=0)
    inv = torch.rsqrt(var + EPS)
    return (x - mean) * (inv * gain) + bias, x, gain, mean, inv


def biased_batch_norm_backward(dy, x, gain, mean, inv):
    n = x.shape[0]
    raw = (x - mean) * inv
    dbias, dgain = dy.sum(0), (dy * raw).sum(0)
    dx = gain * inv * (dy - dbias / n - raw * (dgain / n))
    return dx, dgain, dbias


def layer_norm(x, gain, bias):
    mean = x.mean(-1, keepdim=True)
    diff = x - mean
    var = (diff**2).mean(-1, keepdim=True)
    xhat = diff / torch.sqrt(var + EPS)
    y = gain * xhat + bias
    return y


def layer_norm_var(x, gain, bias):
    mean = x.mean(-1, keepdim=True)
    var = x.var(-1, unbiased=False, keepdim=True)
    y = (x - mean) * torch.rsqrt(var + EPS) * gain + bias
    return y


def layer_norm_forward(x, gain, bias):
    var, mean = torch.var_mean(x, 1, correction=0, keepdim=True)
    rstd = torch.rsqrt(var + EPS)
    return (x - mean) * rstd * gain + bias, x, gain, mean, rstd


def layer_norm_backward(dy, x, gain, mean, rstd):
    xhat, dxhat = (x - mean) * rstd, dy * gain
    inner = dxhat.mean(1, keepdim=True), (dxhat * xhat).mean(1, keepdim=True)
    dx = rstd * (dxhat - inner[0] - xhat * inner[1])
    return dx, (dy * xhat).sum(0), dy.sum(0)


def layer_norm_2d(x, gain, bias):
    mean = x.mean((1, 2), keepdim=True)
    diff = x - mean
    var = (diff * diff).mean((1, 2), keepdim=True)
    rstd = (var + EPS) ** -0.5
    xhat = diff * rstd
    y = xhat * gain + bias
    return y


def layer_norm_2d_flat(x, gain, bias):
    flat = x.flatten(1)
    mean = flat.mean(1, keepdim=True)
    var = ((flat - mean) ** 2).mean(1, keepdim=True)
    xhat = ((flat - mean) / torch.sqrt(var + EPS)).view(x.shape)
    y = gain * xhat + bias
    return y


def layer_norm_2d_forward(x, gain, bias):
    var, mean = torch.var_mean(x, (1, 2), correction=0, keepdim=True)
    rstd = torch.rsqrt(var + EPS)
    return (x - mean) * rstd * gain + bias, x, gain, mean, rstd


def layer_norm_2d_backward(dy, x, gain, mean, rstd):
    xhat, dxhat = (x - mean) * rstd, dy * gain
    first = dxhat.mean((1, 2), keepdim=True)
    second = (dxhat * xhat).mean((1, 2), keepdim=True)
    return rstd * (dxhat - first - xhat * second), (dy * xhat).sum(0), dy.sum(0)


def rms_norm(x, gain):
    ms = (x**2).mean(-1, keepdim=True)
    xhat = x * torch.rsqrt(ms + EPS)
    y = xhat * gain
    return y


def rms_norm_sqrt(x, gain):
    d = x.shape[-1]
    rms = ((x * x).sum(-1, keepdim=True) / d + EPS).sqrt()
    y = gain * (x / rms)
    return y


def rms_norm_forward(x, gain):
    r = torch.rsqrt((x * x).mean(1, keepdim=True) + EPS)
    return x * r * gain, x, gain, r


def rms_norm_backward(dy, x, gain, r):
    xhat, dxhat = x * r, dy * gain
    dx = r * (dxhat - xhat * (dxhat * xhat).mean(1, keepdim=True))
    return dx, (dy * xhat).sum(0)


def group_norm(x, gain, bias):
    n, c, h, w = x.shape
    grouped = x.reshape(n, GROUPS, c // GROUPS, h, w)
    mean = grouped.mean((2, 3, 4), keepdim=True)
    diff = grouped - mean
    var = (diff**2).mean((2, 3, 4), keepdim=True)
    xhat = (diff / torch.sqrt(var + EPS)).reshape(n, c, h, w)
    y = gain[:, None, None] * xhat + bias[:, None, None]
    return y


def group_norm_flat(x, gain, bias):
    n, c = x.shape[:2]
    rows = x.view(n, GROUPS, -1)
    mean = rows.mean(-1, keepdim=True)
    var = rows.var(-1, unbiased=False, keepdim=True)
    xhat = ((rows - mean) * torch.rsqrt(var + EPS)).view(x.shape)
    y = xhat * gain.view(1, c, 1, 1) + bias.view(1, c, 1, 1)
    return y


def group_norm_forward(x, gain, bias):
    n, c = x.shape[:2]
    var, mean = torch.var_mean(x.reshape(n, GROUPS, -1), 2, correction=0)
    rstd = torch.rsqrt(var + EPS)
    scale = rstd.repeat_interleave(c // GROUPS, 1) * gain
    shift = bias - mean.repeat_interleave(c // GROUPS, 1) * scale
    return x * scale[:, :, None, None] + shift[:, :, None, None], x, gain, mean, rstd


def group_norm_backward(dy, x, gain, mean, rstd):
    n, c, h, w = x.shape
    per = c // GROUPS
    size = per * h * w
    ds, db = (dy * x).sum((2, 3)), dy.sum((2, 3))  # [n, c], all that is summed over positions
    group_ds = (ds * gain).view(n, GROUPS, per).sum(2)
    group_db = (db * gain).view(n, GROUPS, per).sum(2)
    slope = (group_db * mean - group_ds) * rstd**3 / size
    shift = -slope * mean - group_db * rstd / size
    scale = rstd[:, :, None] * gain.view(1, GROUPS, per)
    dx = (
        dy.view(n, GROUPS, per, h, w) * scale[..., None, None]
        + x.view(n, GROUPS, per, h, w) * slope[:, :, None, None, None]
        + shift[:, :, None, None, None]
    ).view(n, c, h, w)
    centred = ds.view(n, GROUPS, per) - db.view(n, GROUPS, per) * mean[:, :, None]
    dgain = (centred * rstd[:, :, None]).sum(0).view(c)
    return dx, dgain, db.sum(0)


def instance_norm(x, gain, bias):
    mean = x.mean((2, 3), keepdim=True)
    diff = x - mean
    var = (diff**2).mean((2, 3), keepdim=True)
    xhat = diff * (var + EPS) ** -0.5
    y = gain[:, None, None] * xhat + bias[:, None, None]
    return y


def instance_norm_var(x, gain, bias):
    mean = x.mean((2, 3), keepdim=True)
    var = x.var((2, 3), unbiased=False, keepdim=True)
    xhat = (x - mean) / torch.sqrt(var + EPS)
    y = xhat * gain.view(-1, 1, 1) + bias.view(-1, 1, 1)
    return y


def instance_norm_forward(x, gain, bias):
    var, mean = torch.var_mean(x, (2, 3), correction=0, keepdim=True)
    rstd = torch.rsqrt(var + EPS)
    y = (x - mean) * (rstd * gain[:, None, None]) + bias[:, None, None]
    return y, x, gain, mean, rstd


def instance_norm_backward(dy, x, gain, mean, rstd):
    size = x.shape[2] * x.shape[3]
    xhat = (x - mean) * rstd
    first, second = dy.sum((2, 3), keepdim=True), (dy * xhat).sum((2, 3), keepdim=True)
    dx = gain[:, None, None] * rstd * (dy - first / size - xhat * (second / size))
    return dx, second.sum((0, 2, 3)), first.sum((0, 2, 3))


def weight_standardisation(w):
    mean = w.mean(1, keepdim=True)
    centred = w - mean
    var = (centred**2).mean(1, keepdim=True)
    y = centred / torch.sqrt(var + EPS)
    return y


def weight_standardisation_var(w):
    mean = w.mean(1, keepdim=True)
    var = w.var(1, unbiased=False, keepdim=True)
    y = (w - mean) * torch.rsqrt(var + EPS)
    return y


def weight_standardisation_forward(w):
    var, mean = torch.var_mean(w, 1, correction=0, keepdim=True)
    rstd = torch.rsqrt(var + EPS)
    y = (w - mean) * rstd
    return y, y, rstd


def weight_standardisation_backward(dy, y, rstd):
    return (rstd * (dy - dy.mean(1, keepdim=True) - y * (dy * y).mean(1, keepdim=True)),)


ALL = ("x", "gain", "bias")
ROWS, MANY_ROWS = {"n": 6, "d": 5}, {"n": 8192, "d": 1024}

# In every one of them dy and x are read for the sums, and read again for dx, which is written.
FORMS = (
    Form(
        "batch norm, variance over n - 1",
        (batch_norm, batch_norm_fast),
        draw_columns,
        ALL,
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "the article's Exercise 3",
            batch_norm_forward,
            batch_norm_backward,
            5,
            lambda b, n, d: b * (n * d + 3 * d),
        ),
    ),
    Form(
        "batch norm, variance over n",
        (biased_batch_norm, biased_batch_norm_means),
        draw_columns,
        ALL,
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "Ioffe and Szegedy 2015; PyTorch's native_batch_norm_backward",
            biased_batch_norm_forward,
            biased_batch_norm_backward,
            5,
            lambda b, n, d: b * (n * d + 3 * d),
        ),
        lambda x, gain, bias: F.batch_norm(x, None, None, gain, bias, training=True, eps=EPS),
    ),
    Form(
        "layer norm",
        (layer_norm, layer_norm_var),
        draw_columns,
        ALL,
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "PyTorch's native_layer_norm_backward",
            layer_norm_forward,
            layer_norm_backward,
            5,
            lambda b, n, d: b * (n * d + 2 * n + d),
        ),
        lambda x, gain, bias: F.layer_norm(x, x.shape[1:], gain, bias, EPS),
    ),
    Form(
        "layer norm over two axes",
        (layer_norm_2d, layer_norm_2d_flat),
        lambda r, n, c, d: (r.normal(n, c, d), r.normal(c, d) * 0.1 + 1, r.normal(c, d)),
        ALL,
        "y",
        {"n": 4, "c": 3, "d": 5},
        {"n": 4096, "c": 16, "d": 128},
        Reference(
            "PyTorch's native_layer_norm_backward",
            layer_norm_2d_forward,
            layer_norm_2d_backward,
            5,
            lambda b, n, c, d: b * (n * c * d + 2 * n + c * d),
        ),
        lambda x, gain, bias: F.layer_norm(x, x.shape[1:], gain, bias, EPS),
    ),
    Form(
        "RMS norm",
        (rms_norm, rms_norm_sqrt),
        lambda r, n, d: (r.normal(n, d), r.normal(d) * 0.1 + 1),
        ("x", "gain"),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "Zhang and Sennrich 2019, as in llm.c and PyTorch's _fused_rms_norm_backward",
            rms_norm_forward,
            rms_norm_backward,
            5,
            lambda b, n, d: b * (n * d + n + d),
        ),
        lambda x, gain: F.rms_norm(x, x.shape[1:], gain, EPS),
    ),
    Form(
        "group norm",
        (group_norm, group_norm_flat),
        draw_images,
        ALL,
        "y",
        IMAGES,
        MANY_IMAGES,
        Reference(
            "PyTorch's native_group_norm_backward",
            group_norm_forward,
            group_norm_backward,
            5,
            lambda b, n, c, h, w: b * (n * c * h * w + 2 * n * GROUPS + c),
        ),
        lambda x, gain, bias: F.group_norm(x, GROUPS, gain, bias, EPS),
    ),
    Form(
        "instance norm",
        (instance_norm, instance_norm_var),
        draw_images,
        ALL,
        "y",
        IMAGES,
        MANY_IMAGES,
        Reference(
            "PyTorch's native_batch_norm_backward on [1, n c, h w]",
            instance_norm_forward,
            instance_norm_backward,
            5,
            lambda b, n, c, h, w: b * (n * c * h * w + 2 * n * c + c),
        ),
        lambda x, gain, bias: F.instance_norm(x, weight=gain, bias=bias, eps=EPS),
    ),
    Form(
        "weight standardisation",
        (weight_standardisation, weight_standardisation_var),
        lambda r, n, d: (r.normal(n, d),),
        ("w",),
        "y",
        ROWS,
        MANY_ROWS,
        Reference(
            "Qiao et al. 2019; layer norm's backward without gain and bias",
            weight_standardisation_forward,
            weight_standardisation_backward,
            5,
            lambda b, n, d: b * (n * d + n),
        ),
        lambda w: F.layer_norm(w, w.shape[1:], eps=EPS),
    ),
)
