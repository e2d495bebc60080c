"""A review for the terminal: the line, squiggles under what is to blame, verdict, sentence."""

from __future__ import annotations

import textwrap

from .result import CLOSE, Cause, Gradient, Review

WIDTH = 100
COLUMN = 64


def review_text(review: Review) -> str:
    """Every gradient; the causes under those that are not right."""
    lines: list[str] = []
    for gradient in review.gradients:
        lines += gradient_lines(gradient)
    if lines and lines[-1]:
        lines.append("")
    lines.append(summary(review))
    lines += [f"note: {note}" for note in review.notes]
    return "\n".join(lines)


def gradient_lines(gradient: Gradient) -> list[str]:
    text = textwrap.dedent(gradient.text).strip("\n") or f"{gradient.name} = …"
    first, *more = text.splitlines()
    verdict = gradient.verdict if gradient.last else f"{gradient.verdict} (replaced later)"
    out = [f"{first.ljust(COLUMN)}  {verdict}", *more]
    for cause in gradient.causes:
        mark = squiggle(cause, text)
        if mark:
            out.append(mark)
        out += textwrap.wrap(cause.message, WIDTH - 4, initial_indent="  ", subsequent_indent="  ")
    if gradient.why and gradient.verdict == CLOSE:
        out += textwrap.wrap(gradient.why, WIDTH - 4, initial_indent="  ", subsequent_indent="  ")
    if gradient.causes:
        out.append("")
    return out


def squiggle(cause: Cause, text: str) -> str:
    """``~`` under the part of a one-line statement that is to blame."""
    if cause.span is None or "\n" in text:
        return ""
    start, end = cause.span
    return " " * start + "~" * max(1, end - start)


def summary(review: Review) -> str:
    """One sentence: nothing to celebrate while anything is wrong."""
    counted = [g for g in review.gradients if g.last]
    wrong = [g for g in counted if not g.ok]
    exact = sum(g.verdict == "exact" for g in counted)
    close = sum(g.verdict == "close" for g in counted)
    parts = [f"{exact} exact" + (f", {close} close" if close else "")]
    own = [g for g in wrong if not g.verdict.startswith("inherits")]
    if own:
        parts.append(f"{len(own)} wrong: {', '.join(g.name for g in own)}")
    if len(wrong) > len(own):
        heirs = len(wrong) - len(own)
        parts.append(f"{heirs} inherit{'s' if heirs == 1 else ''} an error")
    return f"{len(counted)} gradients: {'; '.join(parts)}"
