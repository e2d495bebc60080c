"""Steps and names: which statement of the author's a node belongs to, what to call its value."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from ..errors import Location
from ..program.ir import Node, Step, Value, map_arg
from ..program.ops import RESULT_NAMES
from .inputs import identifier
from .source import Owner
from .trace import Call, FrameNote


@dataclass
class _Group:
    """The nodes of one run of one part of a statement."""

    owner: Owner
    prefix: str
    function: str
    nodes: list[int] = field(default_factory=list)
    # A return's value goes by the caller's name for it, qualified as the caller's names are.
    claimed_by: str = ""
    claim_prefix: str = ""
    # The run of the statement whose targets this group's last value may be.
    run: tuple[int, int, tuple[str, int, int, int, int]] | None = None
    named: bool = True


class Namer:
    """Groups nodes into steps and names their last values as the author did."""

    def __init__(self, nodes: list[tuple[Node, Call | None]], taken: set[str]) -> None:
        self.nodes = nodes
        self.taken = set(taken)
        self.used = {v.name for node, _ in nodes for v in node.operands()}
        self.groups: list[_Group] = []
        # Per frame: where it is in which statement, calling whom; the groups of that run by owner.
        self._runs: dict[int, tuple[tuple[str, int, int], int, int | None]] = {}
        self._open: dict[int, dict[tuple[str, int, int, int, int], _Group]] = {}
        self._prefixes: dict[tuple[int, int], str] = {}
        self._helper_calls: dict[str, int] = {}
        self._run_serial: dict[int, int] = {}
        # What a variable of the function itself was bound to, value by value, where more than once.
        self._bound: dict[str, list[str]] = {}
        self.versions: dict[str, tuple[str, ...]] = {}

    def steps(
        self, outputs: dict[str, str], latest: bool = False
    ) -> tuple[tuple[Step, ...], dict[str, Value]]:
        """The steps in order, and for every value's old name the value with its final name.

        ``outputs`` suggests a name for values that the function returns without naming them. Of the
        values of a variable that is bound again the first has its name, or the last (``latest``);
        ``versions`` has all of them.
        """
        inputs = frozenset(self.taken)
        order: dict[int, _Group] = {}
        last_call: Call | None = None
        current: _Group | None = None
        for i, (_, call) in enumerate(self.nodes):
            if call is None or not call.frames:
                if current is None:
                    current = _Group(_NOWHERE, "", "")
                    order[id(current)] = current
                current.nodes.append(i)
                continue
            if call is not last_call or current is None:
                current, last_call = self._group(call), call
                order[id(current)] = current
            current.nodes.append(i)
        groups = list(order.values())
        self._settle(groups)
        names: dict[str, str] = {}
        for group in groups:
            self._name(group, names, outputs)
        # what one statement returns together with others: only its last value is named above
        made = {out.name for node, _ in self.nodes for out in node.outs}
        for value, suggestion in outputs.items():
            if value in made and value not in names:
                names[value] = self._unique("", suggestion)
        if latest:
            self._name_latest(names)
        for variable, values in self._bound.items():
            first = (variable,) if variable in inputs else ()
            found = (*first, *(names[v] for v in values))
            if len(found) > 1:
                self.versions[variable] = found
        return self._build(groups, names)

    def _name_latest(self, names: dict[str, str]) -> None:
        """Hand each variable's name to its last value, and names with a number to those before."""
        for variable, values in self._bound.items():
            if len(values) > 1 and names[values[0]] == variable:
                self.taken -= {names[v] for v in values[1:]}
                for i, value in enumerate(values[:-1], 1):
                    names[value] = self._unique("", f"{variable}_{i}")
                names[values[-1]] = variable

    def _group(self, call: Call) -> _Group:
        for frame in reversed(call.frames):
            self._enter(frame)
        inner = call.frames[0]
        opened = self._open[inner.serial]
        group = opened.get(inner.owner.key)
        if group is None:
            prefix = self._prefix(call.frames)
            group = opened[inner.owner.key] = _Group(inner.owner, prefix, inner.function)
            group.run = self._run_of(inner)
        # A value that leaves its function takes the caller's name, if the caller has one for it.
        if inner.owner.returns and not inner.owner.targets:
            for outer in call.frames[1:]:
                if outer.owner.targets:
                    single = len(outer.owner.targets) == 1
                    group.claimed_by = outer.owner.targets[0] if single else ""
                    group.claim_prefix = self._prefix(call.frames[call.frames.index(outer) :])
                    group.run = self._run_of(outer)
                    break
                if not outer.owner.returns:
                    break
        return group

    def _run_of(self, frame: FrameNote) -> tuple[int, int, tuple[str, int, int, int, int]]:
        return frame.serial, self._run_serial.get(frame.serial, 0), frame.owner.key

    def _settle(self, groups: list[_Group]) -> None:
        """Let the last value of a run of a statement have its name, and no value before it.

        In ``x = x + act(x)`` the sum is ``x``; in ``x = act(x + 1)`` what ``act`` returns is.
        """
        last: dict[object, _Group] = {}
        for group in groups:
            if group.run is not None and (group.owner.targets or group.claimed_by):
                known = last.get(group.run)
                if known is None or known.nodes[-1] < group.nodes[-1]:
                    last[group.run] = group
        for group in groups:
            winner = last.get(group.run)
            if winner is not None and winner is not group:
                group.claimed_by = ""
                group.named = not group.owner.targets

    def _enter(self, frame: FrameNote) -> None:
        """Start a new run of the statement when the frame left it or came back to it."""
        known = self._runs.get(frame.serial)
        statement = frame.owner.statement
        # The same instruction again is a loop's next turn, unless it is still in the same call.
        again = known is not None and (
            frame.lasti < known[1]
            or (frame.lasti == known[1] and (frame.callee is None or frame.callee != known[2]))
        )
        if known is None or known[0] != statement or again:
            self._open[frame.serial] = {}
            self._run_serial[frame.serial] = self._run_serial.get(frame.serial, 0) + 1
        self._runs[frame.serial] = (statement, frame.lasti, frame.callee)

    def _prefix(self, frames: tuple[FrameNote, ...]) -> str:
        """How names of the innermost frame are qualified: by module path, or the call's target."""
        inner = frames[0]
        if len(frames) == 1:
            return ""
        if inner.module:
            return identifier(inner.module.replace(".", "_"))
        if inner.function in ("<listcomp>", "<genexpr>", "<dictcomp>", "<setcomp>"):
            return self._prefix(frames[1:])
        caller = frames[1]
        outer = self._prefix(frames[1:])
        key = (inner.serial, 0)
        if key not in self._prefixes:
            single = len(caller.owner.targets) == 1
            stem = caller.owner.targets[0] if single else inner.function.strip("<>")
            if inner.module == "" and inner.function == "forward":
                stem = ""
            self._prefixes[key] = "_".join(p for p in (outer, stem) if p)
        return self._prefixes[key]

    def _name(self, group: _Group, names: dict[str, str], outputs: dict[str, str]) -> None:
        last = self.nodes[group.nodes[-1]][0]
        if not group.named:
            return
        targets, prefix = group.owner.targets, group.prefix
        if not targets and group.claimed_by:
            targets, prefix = (group.claimed_by,), group.claim_prefix
        outs = last.outs
        if len(outs) > 1 and len(targets) == len(outs):
            for out, target in zip(outs, targets, strict=True):
                if target != "_":
                    names[out.name] = self._target(out.name, prefix, target)
            return
        if len(outs) > 1 and len(targets) == 1:
            # one of several outputs was picked (`.values`), or the list as a whole was named
            used = [o for o in outs if o.name in self.used]
            fields = RESULT_NAMES.get(last.op, tuple(map(str, range(len(outs)))))
            for out, part in zip(outs, fields, strict=True):
                picked = not part or (len(used) == 1 and out is used[0])
                if picked:
                    names[out.name] = self._target(out.name, prefix, targets[0])
                else:
                    names[out.name] = self._unique(prefix, f"{targets[0]}_{part}")
            return
        if len(outs) == 1 and len(targets) > 1:
            # several results were named by one expression that is not a single operator
            recent = [self.nodes[i][0].outs[0].name for i in group.nodes[-len(targets) :]]
            for name, target in zip(recent, targets, strict=False):
                if target != "_":
                    names[name] = self._target(name, prefix, target)
            return
        suggestion = outputs.get(outs[0].name, "")
        if targets:
            names[outs[0].name] = self._target(outs[0].name, prefix, targets[0])
        elif suggestion:
            names[outs[0].name] = self._unique("", suggestion)
        elif len(outs) == 1:
            stem = group.prefix or group.function.strip("<>")
            names[outs[0].name] = self._unique("", f"{stem}_out" if stem else last.op)

    def _target(self, value: str, prefix: str, target: str) -> str:
        """The name of a value that the author's variable ``target`` was bound to."""
        if not prefix:
            self._bound.setdefault(identifier(target), []).append(value)
        return self._unique(prefix, target)

    def _unique(self, prefix: str, name: str) -> str:
        full = identifier(f"{prefix}_{name}" if prefix else name)
        out, i = full, 2
        while out in self.taken:
            out, i = f"{full}_{i}", i + 1
        self.taken.add(out)
        return out

    def _build(
        self, groups: list[_Group], names: dict[str, str]
    ) -> tuple[tuple[Step, ...], dict[str, Value]]:
        renamed: dict[str, Value] = {}
        anonymous: dict[str, int] = {}
        steps: list[Step] = []
        placed = sorted(((i, g) for g in groups for i in g.nodes), key=lambda item: item[0])
        # Nodes stay in the order they were run: a group that is interrupted by a helper's own
        # statements becomes two steps, the second of which carries the name.
        runs: list[tuple[_Group, list[int]]] = []
        for i, group in placed:
            if runs and runs[-1][0] is group:
                runs[-1][1].append(i)
            else:
                runs.append((group, [i]))
        for group, indices in runs:
            stem = self._stem(group, names)
            nodes = []
            for i in indices:
                node = self.nodes[i][0]
                outs = []
                for out in node.outs:
                    given = names.get(out.name)
                    if given is None:
                        anonymous[stem] = anonymous.get(stem, 0) + 1
                        unique = self._unique("", f"{stem}_{anonymous[stem]}")
                        value = replace(out, name=unique, var=None)
                    else:
                        value = replace(out, name=given, var=given)
                    renamed[out.name] = value
                    outs.append(value)
                args = tuple(map_arg(a, lambda v: renamed.get(v.name, v)) for a in node.args)
                nodes.append(replace(node, args=args, outs=tuple(outs)))
            owner = group.owner
            steps.append(Step(stem, tuple(nodes), owner.where.text, owner.where))
        return tuple(steps), renamed

    def _stem(self, group: _Group, names: dict[str, str]) -> str:
        last = self.nodes[group.nodes[-1]][0]
        for out in last.outs:
            if out.name in names:
                return names[out.name]
        return group.owner.targets[0] if group.owner.targets else "t"


# What printed code reads besides the program's own values.
RESERVED = frozenset({"torch", "math", "float", "int", "min", "max", "range", "print", "len"})

_NOWHERE = Owner(("", 0, 0, 0, 0), ("", 0, 0), (), False, Location("", 0))
