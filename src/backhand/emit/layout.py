"""Breaking long statements: inside brackets, at commas and before operators."""

from __future__ import annotations

WIDTH = 100
INDENT = 4
_OPEN, _CLOSE = "([{", ")]}"
# Binary operators as the printer writes them, from the loosest to the tightest.
_LEVELS = (
    (" == ", " != ", " < ", " <= ", " > ", " >= "),
    (" | ",),
    (" & ",),
    (" + ", " - "),
    (" * ", " / ", " @ ", " % "),
)
_SIGNS = tuple(sign.lstrip() for level in _LEVELS for sign in level)


def broken(text: str, width: int = WIDTH, suffix: str = "") -> list[str]:
    """A statement in lines of at most ``width`` columns, as far as it can be broken.

    ``suffix`` (a comment) goes to the end of the last line.

    >>> print(*broken("y = torch.where(mask, first, second)", 24), sep="\\n")
    y = torch.where(
        mask, first, second
    )
    """
    if len(text) + len(suffix) <= width:
        return [text + suffix]
    target, equals, value = _assignment(text)
    if len(target) > width // 2 and commas(target):
        first, *rest = broken(f") = {value}", width, suffix) if value else [")"]
        return ["(", *_body(target, width, INDENT), first, *rest]
    lines = _bracketed(value, width, 0, len(target + equals), len(suffix))
    lines[0] = target + equals + lines[0]
    lines[-1] += suffix
    return lines


def _assignment(text: str) -> tuple[str, str, str]:
    """``target = value`` in its three parts; a statement without a target is all value."""
    for keyword in ("return ",):
        if text.startswith(keyword):
            return "", keyword, text[len(keyword) :]
    for i in _outside(text):
        if text.startswith(" = ", i):
            return text[:i], " = ", text[i + 3 :]
    return "", "", text


def _bracketed(value: str, width: int, indent: int, used: int, after: int) -> list[str]:
    """An expression whose first line begins ``used`` columns in, broken inside its brackets.

    ``after`` columns stay free at the end of its last line. Continuation lines carry their own
    indentation, the first line does not.
    """
    inner = indent + INDENT
    start, end = _widest(value)
    if used + start + 1 > width and not _operators(value):
        # of a chain of calls, x.at[…].set(…), one that begins on this line
        start, end = _widest(value, width - used - 1)
    # one operand may hold nearly everything: scale * (first - second)
    operators = _operators(value)
    last = end == len(value) - 1 and (len(operators) == 1 or start < width // 3)
    if last or not operators:
        if start >= 0 and used + start + 1 <= width:
            body = _body(value[start + 1 : end], width, inner)
            close, rest = " " * indent + value[end], value[end + 1 :]
            tail = [rest]
            if len(close) + len(rest) + after > width:
                tail = _bracketed(rest, width, indent, len(close), after)
            return [value[: start + 1], *body, close + tail[0], *tail[1:]]
        if not operators:
            return [value]
    return ["(", *_body(value, width, inner), " " * indent + ")"]


def _body(body: str, width: int, indent: int) -> list[str]:
    """What stands between two brackets, on lines of its own."""
    margin = " " * indent
    if indent + len(body) <= width:
        return [margin + body]
    parts = _pieces(body, commas(body), 2)
    if len(parts) > 1:
        out: list[str] = []
        for part in parts:
            out += _part(part, width, indent, ",")
        return out
    operators = _operators(body)
    if not operators:
        return _part(body, width, indent, "")
    out = []
    for part in _pieces(body, [i + 1 for i in operators], 0):
        out += _part(part.strip(), width, indent, "")
    return out


def _part(part: str, width: int, indent: int, after: str) -> list[str]:
    margin = " " * indent
    if indent + len(part) + len(after) <= width:
        return [margin + part + after]
    # the operator that begins the line, and no name or number of one character
    sign = next((s for s in _SIGNS if part.startswith(s)), "")
    lines = _bracketed(part[len(sign) :], width, indent, indent + len(sign), len(after))
    lines[0] = margin + sign + lines[0]
    lines[-1] += after
    return lines


def _outside(text: str) -> list[int]:
    """Positions of ``text`` outside all brackets and strings."""
    found: list[int] = []
    depth, quote = 0, ""
    for i, ch in enumerate(text):
        if quote:
            quote = "" if ch == quote else quote
        elif ch in "'\"":
            quote = ch
        elif ch in _OPEN:
            depth += 1
        elif ch in _CLOSE:
            depth -= 1
        elif not depth:
            found.append(i)
    return found


def commas(text: str) -> list[int]:
    """Positions of the commas outside brackets."""
    return [i for i in _outside(text) if text[i] == ","]


def _operators(text: str) -> list[int]:
    """Positions (of the blank before them) of the loosest operators outside brackets."""
    outside = _outside(text)
    for level in _LEVELS:
        found = [i for i in outside if any(text.startswith(sign, i) for sign in level)]
        if found:
            return found
    return []


def _pieces(text: str, cuts: list[int], skip: int) -> list[str]:
    starts = [0, *(cut + skip for cut in cuts)]
    ends = [*cuts, len(text)]
    return [text[a:b] for a, b in zip(starts, ends, strict=True) if text[a:b]]


def _widest(text: str, before: int | None = None) -> tuple[int, int]:
    """Where the longest outermost pair of brackets opens and closes; -1 if there is none.

    ``before``: only pairs that open at this place or earlier.
    """
    best, start, depth, quote = (-1, -1), 0, 0, ""
    for i, ch in enumerate(text):
        if quote:
            quote = "" if ch == quote else quote
        elif ch in "'\"":
            quote = ch
        elif ch in _OPEN:
            start = start if depth else i
            depth += 1
        elif ch in _CLOSE:
            depth -= 1
            if before is not None and start > before:
                continue
            if not depth and i - start > max(best[1] - best[0], 1):
                best = start, i
    return best
