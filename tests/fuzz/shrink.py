"""A failing program made small: statements dropped, sizes, arguments and data made plain."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from .program import Input, Program, Sizes, Statement

Fails = Callable[[Program], bool]


def shrink(program: Program, fails: Fails, budget: int = 400) -> Program:
    """The smallest program found for which ``fails`` still holds, in at most ``budget`` trials."""
    tried = {program}
    while True:
        for smaller in _smaller(program):
            if smaller in tried or not smaller.sound:
                continue
            tried.add(smaller)
            budget -= 1
            if fails(smaller):
                program = smaller
                break
            if budget <= 0:
                return program
        else:
            return program


def _smaller(program: Program) -> Iterator[Program]:
    """Programs that are one step simpler, the largest steps first."""
    yield from _fewer_outputs(program)
    yield from _half(program)
    yield from _without_statements(program)
    yield from _without_inputs(program)
    if program.form == "dict":
        yield replace(program, form="tuple")
    yield from _plain_inputs(program)
    yield from _small_sizes(program)
    yield from _plain_arguments(program)


def _fewer_outputs(program: Program) -> Iterator[Program]:
    if len(program.outputs) > 1:
        for name in program.outputs:
            yield replace(program, outputs=(name,))
        for i in range(len(program.outputs)):
            yield replace(program, outputs=program.outputs[:i] + program.outputs[i + 1 :])


def _half(program: Program) -> Iterator[Program]:
    """What the outputs need, and nothing else; updates in place of it are kept."""
    needed = set(program.outputs)
    kept: list[Statement] = []
    for statement in reversed(program.statements):
        if needed & {
            *statement.targets,
            *(statement.operands[:1] if not statement.targets else ()),
        }:
            kept.append(statement)
            needed |= set(statement.operands)
    if len(kept) < len(program.statements):
        yield replace(program, statements=tuple(reversed(kept)))


def _without_statements(program: Program) -> Iterator[Program]:
    """One statement less; whoever read its result reads one of its operands instead."""
    for i in reversed(range(len(program.statements))):
        gone = program.statements[i]
        rest = program.statements[:i] + program.statements[i + 1 :]
        instead = [o for o in dict.fromkeys(gone.operands)]
        if not gone.targets or set(gone.targets) <= set(gone.operands):
            yield replace(program, statements=rest)
            continue
        for name in instead:
            yield _renamed(replace(program, statements=rest), gone.targets, name)


def _renamed(program: Program, old: tuple[str, ...], new: str) -> Program:
    def name(one: str) -> str:
        return new if one in old else one

    statements = tuple(
        replace(s, operands=tuple(map(name, s.operands))) for s in program.statements
    )
    outputs = tuple(dict.fromkeys(map(name, program.outputs)))
    return replace(program, statements=statements, outputs=outputs)


def _without_inputs(program: Program) -> Iterator[Program]:
    for x in program.inputs:
        others = tuple(y for y in program.inputs if y is not x)
        if others:
            yield replace(program, inputs=others)
        for y in others:
            if y.dtype == x.dtype:
                yield _renamed(replace(program, inputs=others), (x.name,), y.name)


def _plain_inputs(program: Program) -> Iterator[Program]:
    for i, x in enumerate(program.inputs):
        if x.dtype is torch.float32:
            yield _with_input(program, i, replace(x, dtype=torch.float64))
        if x.kind not in ("normal", "index", "bool"):
            yield _with_input(program, i, replace(x, kind="normal"))
        for dim in range(len(x.shape)):
            yield _with_input(program, i, replace(x, shape=x.shape[:dim] + x.shape[dim + 1 :]))


def _with_input(program: Program, i: int, x: Input) -> Program:
    return replace(program, inputs=(*program.inputs[:i], x, *program.inputs[i + 1 :]))


def _small_sizes(program: Program) -> Iterator[Program]:
    """One size, everywhere that it occurs, made smaller."""
    sizes = sorted({s for x in program.inputs for s in x.shape if s != program.batch}, reverse=True)
    for size in sizes:
        for less in range(1, min(size, 3)):
            yield _resized(program, size, less)
    for i, x in enumerate(program.inputs):
        for dim, size in enumerate(x.shape):
            if size > 1 and size != program.batch:
                shape = (*x.shape[:dim], size - 1, *x.shape[dim + 1 :])
                yield _with_input(program, i, replace(x, shape=shape))


def _resized(program: Program, size: int, less: int) -> Program:
    def changed(value: object) -> object:
        if isinstance(value, Sizes):
            return Sizes(less if s == size else s for s in value)
        return value

    inputs = tuple(
        replace(x, shape=tuple(less if s == size else s for s in x.shape)) for x in program.inputs
    )
    statements = tuple(
        replace(s, arguments=tuple(map(changed, s.arguments))) for s in program.statements
    )
    return replace(program, inputs=inputs, statements=statements)


def _plain_arguments(program: Program) -> Iterator[Program]:
    for i, statement in enumerate(program.statements):
        for j, argument in enumerate(statement.arguments):
            if f"{{{'abcdef'[j]}}}" not in statement.text:
                continue
            for plain in _plainer(argument):
                arguments = (*statement.arguments[:j], plain, *statement.arguments[j + 1 :])
                yield replace(
                    program,
                    statements=(
                        *program.statements[:i],
                        replace(statement, arguments=arguments),
                        *program.statements[i + 1 :],
                    ),
                )


def _plainer(argument: object) -> Iterator[object]:
    if isinstance(argument, bool):
        if argument:
            yield False
    elif isinstance(argument, int):
        yield from {0, 1, abs(argument)} - {argument} if argument not in (0, 1) else ()
    elif isinstance(argument, float):
        if argument not in (2.0, 0.5):
            yield 2.0
    elif isinstance(argument, tuple) and not isinstance(argument, Sizes) and len(argument) > 1:
        for k in range(len(argument)):
            yield type(argument)(v for i, v in enumerate(argument) if i != k)
