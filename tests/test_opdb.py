"""Torch's own operator samples, a part of them; `benchmarks/opdb.py` goes over all."""

from __future__ import annotations

from typing import Any

import pytest

from backhand.errors import ProgramError, UnsupportedError
from backhand.program.build import op
from benchmarks import opdb

SAMPLES = 4
# fmt: off
ENTRIES = {
    "arithmetic": [
        "add", "sub", "mul", "__rdiv__", "true_divide", "remainder", "pow", "__rpow__",
        "addcmul", "addcdiv", "lerp", "hypot",
    ],
    "functions": [
        "exp", "log1p", "sqrt", "rsqrt", "reciprocal", "sin", "atan2", "tanh", "sigmoid", "erf",
        "lgamma", "xlogy", "logaddexp", "sinc", "abs", "sign", "round",
    ],
    "choices": [
        "clamp", "maximum", "where", "masked_fill", "nan_to_num", "amax", "aminmax",
        "max.reduction_with_dim", "topk", "sort",
    ],
    "reductions": [
        "sum", "mean", "nansum", "prod", "var", "var_mean", "logsumexp", "linalg.vector_norm",
        "cumsum", "cumprod",
    ],
    "products": [
        "matmul", "mm", "bmm", "addmm", "addr", "einsum", "kron", "linalg.cross",
        "nn.functional.linear", "nn.functional.bilinear", "cdist",
    ],
    "factors": [
        "linalg.cholesky", "linalg.det", "linalg.slogdet", "logdet", "linalg.eigh",
        "linalg.eigvalsh", "linalg.inv", "linalg.solve", "linalg.svd", "svd", "linalg.svdvals",
        "linalg.qr", "linalg.pinv", "linalg.pinv.hermitian", "linalg.cond",
    ],
    "views": [
        "view", "reshape", "permute", "transpose", "expand", "squeeze", "unsqueeze", "flatten",
        "diagonal", "unfold", "split", "unbind",
    ],
    "movement": [
        "cat", "stack", "flip", "roll", "repeat", "tril", "diag_embed",
        "nn.functional.pad.reflect",
    ],
    "indexing": [
        "__getitem__", "index_put", "index_select", "index_add", "gather", "scatter",
        "scatter_add", "masked_scatter", "nn.functional.embedding", "select_scatter",
    ],
    "composites": [
        "cov", "corrcoef", "combinations", "quantile", "nanquantile", "masked.var", "masked.std",
        "narrow_copy", "linalg.matrix_power", "native_dropout_backward", "_unsafe_masked_index",
        "_unsafe_masked_index_put_accumulate", "nn.functional.instance_norm",
        "masked.logsumexp", "max_pool2d_with_indices_backward", "nn.functional.gaussian_nll_loss",
    ],
    "activations": [
        "nn.functional.relu", "nn.functional.gelu", "nn.functional.silu",
        "nn.functional.softplus", "nn.functional.leaky_relu", "nn.functional.hardtanh",
        "nn.functional.prelu", "softmax", "log_softmax",
    ],
    "layers": [
        "nn.functional.layer_norm", "nn.functional.group_norm", "nn.functional.batch_norm",
        "nn.functional.dropout", "nn.functional.conv2d", "nn.functional.conv_transpose2d",
        "nn.functional.max_pool2d", "nn.functional.avg_pool2d",
        "nn.functional.adaptive_avg_pool2d", "nn.functional.scaled_dot_product_attention",
    ],
    "losses": [
        "nn.functional.cross_entropy", "nn.functional.nll_loss", "nn.functional.mse_loss",
        "nn.functional.huber_loss", "nn.functional.binary_cross_entropy",
        "nn.functional.binary_cross_entropy_with_logits", "nn.functional.kl_div",
    ],
}
# fmt: on


@pytest.fixture(scope="module")
def database() -> dict[str, object]:
    return opdb.entries()


@pytest.mark.parametrize("topic", ENTRIES)
def test_gradients_are_autograds_or_refused(topic: str, database: dict[str, object]) -> None:
    judged = [opdb.judge(name, database[name], SAMPLES) for name in ENTRIES[topic]]
    assert [fault for entry in judged for fault in entry.faults] == []
    assert all(entry.counted for entry in judged), "an entry without a sample tests nothing"
    counted = sum(entry.counted for entry in judged)
    assert sum(entry.matching for entry in judged) >= 0.9 * counted


def test_a_wrong_gradient_is_a_mismatch(
    database: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from backhand.rules import RULES

    wrong = replace(RULES["sin"], vjp=lambda c: {"x": -c.g})
    monkeypatch.setitem(RULES, "sin", wrong)
    entry = opdb.judge("sin", database["sin"], 1)
    assert entry.counts["MISMATCH"] == 1 and "dtensors_0" in entry.faults[0]


def test_a_missing_rule_is_a_refusal_and_a_broken_one_a_crash(
    database: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    from backhand.rules import RULES

    def refuse(c: object) -> dict[str, object]:
        raise UnsupportedError("not today")

    monkeypatch.setitem(RULES, "sin", replace(RULES["sin"], vjp=refuse))
    refused = opdb.judge("sin", database["sin"], 1)
    assert refused.counts["unsupported"] == 1 and list(refused.reasons) == ["not today"]
    monkeypatch.setitem(RULES, "sin", replace(RULES["sin"], vjp=lambda c: 1 / 0))
    broken = opdb.judge("sin", database["sin"], 1)
    assert broken.counts["CRASH"] == 1 and "ZeroDivisionError" in broken.faults[0]

    def stumble(c: object) -> dict[str, object]:
        raise ProgramError("not well formed")

    monkeypatch.setitem(RULES, "sin", replace(RULES["sin"], vjp=stumble))
    assert opdb.judge("sin", database["sin"], 1).counts["CRASH"] == 1


def test_an_error_of_ours_in_the_words_of_a_refusal_is_a_crash(
    database: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    from backhand.capture import convert

    def stumble(*args: object) -> None:
        raise TypeError("a slip in an adapter")

    def differ(b: object, target: object, bound: dict[str, Any], known: object) -> Any:
        return op.sum(bound["x"])

    for slip, words in ((stumble, "a slip in an adapter"), (differ, "sin was captured as")):
        monkeypatch.setattr(convert, "adapt", slip)
        entry = opdb.judge("sin", database["sin"], 1)
        assert entry.counts["CRASH"] == 1 and words in entry.faults[0]
