"""Every exercise: its solution passes, its blanks are missing, its mistakes fail."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from backhand.errors import InputError
from backhand.practice import curriculum
from backhand.practice.curriculum import ORDER, exercise
from backhand.practice.exercise import FOLDER, read_exercise
from backhand.practice.sheet import exercise_worksheet

from .bank import SAME_NUMBERS, fails, is_mistake, judged, made, solution, wanted
from .mistakes import CAUSES, TYPICAL

# One review of these takes as long as ten of the others: fewer of their mutants are judged here.
LARGE = frozenset({"article", "causal_attention", "lstm", "gru", "conv2d", "conv1d", "rnn"})


def test_every_file_has_its_place_in_the_order() -> None:
    assert sorted(ORDER) == sorted(p.stem for p in FOLDER.glob("*.py"))


@pytest.mark.parametrize("name", ORDER)
def test_an_exercise(name: str) -> None:
    right = judged(name, solution(name))
    assert right.ok, str(right)
    assert {g.name for g in right.gradients if g.last} >= {b.name for b in wanted(name)}

    empty = judged(name, [str(blank) for blank in wanted(name)])
    assert {g.name: g.verdict for g in empty.gradients} == {b.name: "missing" for b in wanted(name)}

    rest = made(name)[len(TYPICAL.get(name, ())) :]
    for mutant in random.Random(name).sample(rest, min(1 if name in LARGE else 3, len(rest))):
        assert fails(name, mutant) or not is_mistake(name, mutant), mutant.line


@pytest.mark.parametrize("name", TYPICAL)
def test_typical_mistakes_fail_and_no_other_cause_is_named(name: str) -> None:
    for mutant in made(name)[: len(TYPICAL[name])]:
        assert is_mistake(name, mutant)
        found = judged(name, mutant.body)
        assert not found.ok, mutant.line
        own = [g for g in found.gradients if not g.ok and not g.verdict.startswith("inherits")]
        assert [g.name for g in own] == [mutant.gradient], mutant.line
        codes = {cause.code for g in own for cause in g.causes}
        assert codes <= CAUSES[mutant.mistake] | {"no-known-pattern"}, (mutant.line, codes)


@pytest.mark.parametrize("name", ORDER)
def test_a_worksheet_holds_the_forward_pass_and_the_blanks(name: str) -> None:
    text = exercise_worksheet(exercise(name))
    assert exercise(name).code in text
    assert text.count(" = ...  # ") == len(wanted(name))
    for line in solution(name):
        assert line.startswith("#") or not line or f"    {line}\n" not in text
    assert max(map(len, text.splitlines())) <= 100


@pytest.mark.parametrize("name", ORDER)
def test_the_numbers_can_tell_mistakes_apart(name: str) -> None:
    tensors = [t for t in exercise(name).inputs if isinstance(t, torch.Tensor)]
    for tensor in tensors:
        assert tensor.numel() == 1 or tensor.unique().numel() > 1
    assert 4 <= tensors[0].shape[0] <= 13
    matrices = [t.shape for t in tensors if t.dim() == 2]
    # a square matrix hides a transpose; a state that feeds itself has to have one
    square = [s for s in matrices if s[0] == s[1]]
    assert not square or name in ("rnn", "lstm", "gru")
    bp = exercise(name).derivation
    _, gradients = bp(*exercise(name).inputs, **_upstream(name))
    zero = {n for n, g in gradients.items() if float(g.abs().max()) < 1e-7}
    assert zero == ({"b1"} if name == "article" else set())


def _upstream(name: str) -> dict[str, torch.Tensor]:
    bp = exercise(name).derivation
    if bp.scalar:
        return {}
    with torch.no_grad():
        out = exercise(name).forward(*exercise(name).inputs)
    return {"upstream": torch.randn(out.shape, generator=torch.Generator().manual_seed(0))}


@pytest.mark.parametrize("name", ["embedding", "tied_embeddings", "article", "pick"])
def test_indices_repeat(name: str) -> None:
    indices = [t for t in exercise(name).inputs if t.dtype == torch.int64]
    assert any(t.unique().numel() < t.numel() for t in indices)


def test_closed_forms_are_one_line_in_the_authors_names() -> None:
    def line(name: str) -> str:
        return " ".join(part.partition("#")[0].strip() for part in solution(name)).strip()

    assert line("cross_entropy_fused") == (
        "dlogits = (probs - torch.nn.functional.one_hot(Yb, logits.shape[1])) / n"
    )
    assert line("softmax") == ("dlogits = probs * (dprobs - (probs * dprobs).sum(1, keepdim=True))")
    assert line("batch_norm_fused") == (
        "dhprebn = bngain * bnvar_inv * ( "
        "dhpreact - dhpreact.mean(0) - (bnraw * dhpreact).sum(0) * bnraw / (n - 1) )"
    )
    assert line("batch_norm_fused_biased") == (
        "dhprebn = ( bngain * bnvar_inv * "
        "(n * dhpreact - dhpreact.sum(0) - (bnraw * dhpreact).sum(0) * bnraw) / n )"
    )


def test_the_articles_exercise_has_its_26_gradients() -> None:
    assert " ".join(b.name for b in wanted("article")) == (
        "dlogprobs dprobs dcounts_sum_inv dcounts_sum dcounts dnorm_logits dlogit_maxes dlogits "
        "db2 dh dW2 dhpreact dbnbias dbnraw dbngain dbnvar_inv dbnvar dbndiff2 dbndiff dbnmeani "
        "dhprebn db1 dembcat dW1 demb dC"
    )


def test_mutants_cover_the_mistakes_and_known_equals_are_real() -> None:
    kinds = {m.mistake for name in ("batch_norm", "embedding", "linear") for m in made(name)}
    assert kinds >= {
        "sign",
        "use forgotten",
        "overwritten",
        "added twice",
        "aliased",
        "never written",
        "all zeros",
        "keepdim missing",
        "keepdim surplus",
        "axis not summed",
        "wrong axis",
        "repeats overwritten",
        "count missing",
        "n against n-1",
        "factor forgotten",
        "operands swapped",
        "transpose missing",
        "view for transpose",
        "wrong name",
        "statistics as constants",
    }
    mask = next(m for m in made("causal_attention") if m.mistake == "mask forgotten")
    assert mask.gradient in SAME_NUMBERS["causal_attention"]
    assert not is_mistake("causal_attention", mask)


def test_names_that_are_nearly_right() -> None:
    assert curriculum.find("17").name == ORDER[16]
    assert curriculum.find("batch-norm").name == "batch_norm"
    assert curriculum.find("Embed").name == "embedding"
    for asked, said in (
        ("conv", "may be conv1d or conv2d"),
        ("softmx", "did you mean softmax"),
        ("norm", "did you mean rms_norm"),
        ("zzz", "backhand practice lists them"),
        ("0", "there is no exercise '0'"),
        ("99", "there is no exercise '99'"),
        ("", "there is no exercise ''"),
    ):
        with pytest.raises(InputError, match=said):
            curriculum.find(asked)


def test_a_file_that_is_no_exercise_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "odd.py"
    head = '"""Odd\n\nAn idea.\n"""\n'
    body = "def forward(x):\n    return x\n\n\ndef example_inputs():\n    return 1\n"
    for text, said in (
        (head, "no function forward"),
        (f"{head}def forward(x):\n    return x\n", "no function example_inputs"),
        (f'{head}FORM = "short"\n\n\n{body}', "form 'short'"),
        (f"{head}BLANK = ()\n\n\n{body}", "sets BLANK"),
        (f'"""Only a title"""\n{body}', "no title, or no idea"),
    ):
        path.write_text(text)
        with pytest.raises(InputError, match=said):
            read_exercise(path)


def test_the_documentation_shows_the_worksheet_that_is_written() -> None:
    page = Path(__file__).parents[2].joinpath("docs", "practice.md").read_text(encoding="utf-8")
    assert f"has {len(ORDER)} exercises" in page
    shown = page.partition("writes `matmul.py`:\n\n```python\n")[2].partition("```")[0]
    parts = shown.strip().split("\n\n")
    assert len(parts) == 2
    assert all(part in exercise_worksheet(exercise("matmul")) for part in parts)
