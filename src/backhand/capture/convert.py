"""From torch's graph to a program: operators of the op table, in-place updates made values."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node as FxNode
from torch.fx.experimental.symbolic_shapes import GuardOnDataDependentSymNode

from ..errors import CaptureError, InternalError, LocatedError, Location, UnsupportedError
from ..program.build import Builder, SizeContext, Var, op, vars_in
from ..program.invoke import dtype_name
from ..program.ir import Node, Value
from ..program.ops import get_op
from . import alias
from .adapt import adapt, bind, op_name, overload_name, supported
from .adapt_random import FILLS
from .devices import Homes
from .inplace import covers, functional, reshaped, written_over
from .numbers import number
from .overlap import refuse_overlap
from .refuse import SIZE_HINT
from .special_nodes import ASSERTIONS, CONTEXTS, DATA_SIZED, MOVES, UNSAFE
from .trace import Call, CallKey, Trace


@dataclass
class Converted:
    """The nodes in order, each with the call that made it, and where values came from."""

    nodes: list[tuple[Node, Call | None]] = field(default_factory=list)
    outputs: list[Var | None] = field(default_factory=list)
    # For every call, the values it gave back to the user's code ("" for one it did not make).
    results: dict[CallKey, list[str]] = field(default_factory=dict)
    constants: dict[str, torch.Tensor] = field(default_factory=dict)


class Converter:
    """Walks the graph once. ``inputs`` are variables for its placeholders (None: not a tensor)."""

    def __init__(
        self, trace: Trace, builder: Builder, inputs: list[Var | None], origins: list[str]
    ) -> None:
        self.trace = trace
        self.b = builder
        self.context: SizeContext = builder.context
        self.inputs = inputs
        self.origins = origins
        self.out = Converted()
        self.members: dict[FxNode, Any] = {}
        # pieces of an unsafe split, each with the whole that it came from
        self.pieces: list[tuple[alias.Family, alias.Family]] = []
        self.storages: dict[int, alias.Member] = {}
        self.call_of = {node: call for call in trace.calls for node in call.nodes}
        self.result_of: dict[FxNode, list[tuple[Call, int]]] = {}
        for call in trace.calls:
            self.out.results[call.key] = [""] * len(call.results)
            for i, node in enumerate(call.results):
                if node is not None:
                    self.result_of.setdefault(node, []).append((call, i))
        self.grad = True
        self.frozen: set[str] = set()  # values computed under no_grad
        self.inert: set[str] = set()  # values through which no gradient can flow
        self.homes = Homes()
        self.stopped: dict[str, Var] = {}

    def run(self) -> Converted:
        placeholders = iter(zip(self.inputs, self.origins, strict=True))
        call: Call | None = None
        views: list[tuple[Any, int, alias.Family, int]] = []
        for node in self.trace.graph.graph.nodes:
            call = self.call_of.get(node, call)
            before = len(self.b.nodes)
            try:
                self._convert(node, placeholders)
            except LocatedError as error:
                if error.where is None:
                    hint = error.hint or _unsupported_hint(error)
                    error = type(error)(error.message, self._where(self._next_call(node)), hint)
                raise error from None
            except GuardOnDataDependentSymNode as error:
                raise CaptureError(
                    "what this line does depends on the values in a tensor",
                    self._where(self._next_call(node)),
                    SIZE_HINT,
                ) from error
            except Exception as error:
                where = self._where(self._next_call(node))
                raise InternalError("capturing this line", error, where) from error
            self.out.nodes.extend((made, call) for made in self.b.nodes[before:])
            for owner, i in self.result_of.get(node, ()):
                member = self.members.get(node)
                if isinstance(member, alias.Member):
                    self.out.results[owner.key][i] = member.value.value.name
                    mutated = getattr(node.target, "_schema", None) is not None and (
                        node.target._schema.is_mutable
                    )
                    if member.parent is not None:
                        seen = -1 if mutated else member.version
                        views.append((owner.key, i, member.family, seen))
        for key, i, family, version in views:
            if version < family.tracked:
                # autograd gives the gradient to the storage's owner, not to the old view
                self.out.results[key][i] = ""
        return self.out

    def _where(self, call: Call | None) -> Location | None:
        return call.frames[0].owner.where if call is not None and call.frames else None

    def _next_call(self, node: FxNode) -> Call | None:
        """The call that made a node; for one that no call made, the next that made any."""
        current = node
        while current.op != "root":
            if current in self.call_of:
                return self.call_of[current]
            current = current.next
        return None

    def _convert(self, node: FxNode, placeholders: Any) -> None:
        if node.op == "placeholder":
            var, origin = next(placeholders)
            if var is not None:
                self._bind_root(node, var, origin)
        elif node.op == "get_attr":
            self._constant(node)
        elif node.op == "output":
            self._outputs(node)
        elif node.op == "call_function":
            self._call(node)
        else:
            raise CaptureError(f"the captured graph has a {node.op} node")

    def _bind_root(self, node: FxNode, var: Var, origin: str) -> None:
        member = alias.root(origin, var)
        self.members[node] = member
        self.homes.put(var, None if origin == "constant" else var)
        value = node.meta.get("val")
        if isinstance(value, torch.Tensor):
            self.storages[_storage(value)] = member
        if origin == "buffer":
            self.inert.add(var.value.name)

    def _constant(self, node: FxNode) -> None:
        found: Any = self.trace.graph
        for part in str(node.target).split("."):
            found = getattr(found, part)
        if not isinstance(found, torch.Tensor):
            raise CaptureError(f"the captured graph uses a {type(found).__name__} constant")
        if _is_fake(found):
            raise CaptureError(
                "this line uses a tensor that was made where capture cannot see it (in another "
                "thread, or by a C extension)",
                None,
                "make it in the forward pass itself, with torch's operators",
            )
        if found.requires_grad:
            raise CaptureError(
                "the forward pass uses a tensor that requires a gradient and is not an argument",
                None,
                "pass it as an argument, so that its gradient is written out too",
            )
        name = self.trace.constant_names.get(id(found)) or self.b.fresh("constant")
        with self.context.active():
            fake = (
                self.context.fake_mode.from_tensor(found, static_shapes=True)
                if self.context.fake_mode is not None
                else found
            )
        var = Var(self.b, Value(name, tuple(found.shape), dtype_name(found.dtype), name), fake)
        self.b.register(var)
        self.b.taken.add(name)
        self.inert.add(name)
        self.out.constants[name] = found
        self._bind_root(node, var, "constant")

    def _outputs(self, node: FxNode) -> None:
        results = node.args[0]
        flat = results if isinstance(results, (tuple, list)) else (results,)
        for item in flat:
            if isinstance(item, FxNode) and item in self.members:
                self.out.outputs.append(self._read(item, grad=True))
            else:
                self.out.outputs.append(None)

    def _call(self, node: FxNode) -> None:
        target = node.target
        if target is operator.getitem:
            parent = self.members.get(node.args[0])  # type: ignore[arg-type]
            # an adapter may leave out trailing outputs that only autograd reads
            if isinstance(parent, tuple) and node.args[1] < len(parent):  # type: ignore[operator]
                self.members[node] = parent[node.args[1]]  # type: ignore[index]
            return
        if getattr(target, "__name__", "") == "_set_grad_enabled":
            self.grad = bool(node.args[0])
            return
        if not isinstance(target, torch._ops.OpOverload):
            if _is_scalar(node.meta.get("val")):
                return
            name = getattr(target, "__name__", str(target))
            what, hint = CONTEXTS.get(name, (name, ""))
            raise UnsupportedError(f"{what} cannot be captured", None, hint)
        if _is_scalar(node.meta.get("val")):
            return  # sizes: read from the node that uses them
        if overload_name(target) in ASSERTIONS:
            return
        if target._schema.is_mutable:
            self._mutate(node, target)
        else:
            self._compute(node, target)

    def _compute(self, node: FxNode, target: Any) -> None:
        if overload_name(target).partition(".")[0] in DATA_SIZED or self._unbacked(node):
            raise CaptureError("the size of this result depends on values", None, SIZE_HINT)
        if not supported(target):
            raise UnsupportedError(f"the operator {op_name(target)} is not supported")
        bound = bind(
            target, self._args(node.args), {k: self._args(v) for k, v in node.kwargs.items()}
        )
        value = node.meta.get("val")
        self._place(node, target, bound)
        result = adapt(self.b, target, bound, value)
        if isinstance(result, tuple):
            vals = value if isinstance(value, (tuple, list)) else (value,) * len(result)
            self.members[node] = tuple(
                self._member(node, target, bound, r, v, i)
                for i, (r, v) in enumerate(zip(result, vals, strict=False))
            )
        else:
            self._check(node, target, result, value)
            self.members[node] = self._member(node, target, bound, result, value, 0)

    def _place(self, node: FxNode, target: Any, bound: dict[str, Any]) -> None:
        """Say in ``device`` where the result lies, if the operator can say it."""
        moved = op_name(target) in MOVES
        if "device" not in bound and not moved:
            return
        call = self.call_of.get(node)
        there: Any = None if call is None else call.device
        if isinstance(there, FxNode):
            there = self.homes.of(self.members.get(there))
        if moved:
            home = self.homes.of(self.members.get(node.all_input_nodes[0]))
            asked = call is not None and call.moves
            if there is home or (home is not None and not asked):
                there = None  # it stays where it lies
        bound["device"] = there

    def _member(self, node: FxNode, target: Any, bound: Any, result: Var, val: Any, i: int) -> Any:
        if not self.grad:
            self.frozen.add(result.value.name)
        self._note_inert(result, bound)
        known = self.storages.get(_storage(val)) if isinstance(val, torch.Tensor) else None
        if known is not None and overload_name(target) in UNSAFE:
            # autograd takes the pieces for tensors of their own: once one is written to, the whole
            # must not be read again, nor the pieces once the whole is written to
            piece = alias.root("", result)
            self.pieces.append((piece.family, known.family))
            return piece
        if known is None:
            member = alias.root("", result)
            if isinstance(val, torch.Tensor):
                self.storages[_storage(val)] = member
            return member
        parent = next(
            (
                self.members[a]
                for a in node.all_input_nodes
                if isinstance(self.members.get(a), alias.Member)
                and self.members[a].family is known.family
            ),
            None,
        )
        if parent is None:
            return alias.root("", result)
        name = op_name(target)

        def view(new_parent: Var) -> Var:
            first = next(k for k, v in bound.items() if isinstance(v, Var))
            again = adapt(self.b, target, {**bound, first: self._cut(new_parent)})
            out: Var = again[i] if isinstance(again, tuple) else again
            if new_parent.value.name in self.inert:
                self.inert.add(out.value.name)
            return out

        inverse = alias.inverse_of_view(name, bound, i)
        return alias.viewed(
            parent,
            result,
            view,
            None if inverse is None else lambda old, new: inverse(self._cut(old), new),
            detached=(name == "stop_gradient" or not self.grad)
            and parent.value.value.name not in self.inert,
            fragile=self._fragile(name),
        )

    def _fragile(self, view: str) -> str:
        if view in ("split", "split_with_sizes", "chunk", "unbind"):
            return f"this is one of several views that {view} made"
        return "" if self.grad else "this view was made under no_grad"

    def _note_inert(self, result: Var, bound: dict[str, Any]) -> None:
        operands = [v for k, arg in bound.items() if k != "device" for v in vars_in(arg)]
        self.homes.settle(result, bound.get("device"), operands)
        flows = result.value.floating and any(v.value.name not in self.inert for v in operands)
        made = self.b.nodes[-1] if self.b.nodes else None
        if made is not None and result.value in made.outs and get_op(made.op).kind == "creation":
            flows = False
        if not self.grad or not flows:
            self.inert.add(result.value.name)

    def _unbacked(self, node: FxNode) -> bool:
        """Whether torch gave the result a size that only the data can tell."""
        env = self.context.shape_env
        value = node.meta.get("val")
        sizes: list[Any] = [
            size
            for tensor in (value if isinstance(value, (tuple, list)) else (value,))
            if isinstance(tensor, torch.Tensor)
            for size in tensor.shape
            if isinstance(size, torch.SymInt)
        ]
        return env is not None and any(
            env.is_unbacked_symint(symbol)
            for size in sizes
            for symbol in size.node.expr.free_symbols
        )

    def _check(self, node: FxNode, target: Any, result: Var, value: Any) -> None:
        """The program must agree with torch's own trace, node by node."""
        if isinstance(value, torch.Tensor):
            shape = self.context.shape(value)
            if shape != result.shape or str(value.dtype) != f"torch.{result.dtype}":
                raise UnsupportedError(
                    f"the operator {op_name(target)} was captured as {result!r}, but gives "
                    f"{value.dtype} {list(map(str, shape))}"
                )

    def _mutate(self, node: FxNode, target: Any) -> None:
        name = overload_name(target)
        base, _, overload = name.partition(".")
        if not base.endswith("_") or base.startswith("_foreach"):
            raise UnsupportedError(
                f"the operator {base} writes into an argument",
                None,
                "use the form that returns a new tensor (no out=…)",
            )
        if name == "detach_.default" and self._read(node.args[0]).value.name in self.inert:
            self.members[node] = self.members[node.args[0]]  # type: ignore[index]
            return
        if base == "detach_":
            raise CaptureError(
                "detach_ cuts a tensor's history in place",
                None,
                "use x.detach(), which gives a new tensor; torch.tensor(x) is x.detach().clone()",
            )
        if torch.Tag.inplace_view in target.tags:
            view = reshaped(target)
            if view is not None and isinstance(node.args[0], FxNode):
                self._compute(node, view)
                self.members[node.args[0]] = self.members[node]  # the tensor is the view now
                return
            raise CaptureError(
                f"{base} changes a tensor's shape in place",
                None,
                f"use x = x.{base.removesuffix('_')}(…), which gives a new tensor",
            )
        call = self.call_of.get(node)
        first = node.args[0]
        member = self.members.get(first)  # type: ignore[arg-type]
        if not isinstance(member, alias.Member) or not isinstance(first, FxNode):
            raise CaptureError("an in-place update of a value that is not a tensor")
        for piece, whole in self.pieces:
            if member.family is piece:
                whole.unknown = "a tensor is read after one of its pieces changed"
            elif member.family is whole:
                piece.unknown = "a piece of a tensor is read after the tensor changed"
        if member.family.origin in ("input", "constant"):
            what = "an input" if member.family.origin == "input" else "a tensor from outside"
            raise CaptureError(
                f"the forward pass changes {what} in place",
                self._where(call),
                "autograd refuses this for leaves too: work on a copy (x = x.clone()) instead",
            )
        if base == "copy_" or torch.Tag.pointwise in target.tags:
            refuse_overlap(node, self.members, self.context)
        args = self._args(node.args)
        kwargs = {k: self._args(v) for k, v in node.kwargs.items()}
        old: Var = args[0]
        if not self.grad and old.value.floating and old.value.name not in self.inert:
            raise CaptureError(
                "an in-place update under no_grad of a tensor that has a gradient",
                self._where(call),
                "compute a new tensor instead of updating this one",
            )
        bound = bind(target, args, kwargs)
        self.members[node] = member
        try:
            kind = base.removesuffix("_")
            over = None if old.value.name in self.inert else written_over(kind, member, bound)
            new = over or functional(self.b, kind, overload, bound, first.meta["val"])
            if kind in FILLS and old.value.name not in self.inert and covers(member, old):
                new = op.copy(old, new)
        except UnsupportedError as error:
            if member.family.origin != "buffer":
                raise
            # the state of a module that this forward pass may never read again
            member.family.unknown = error.message
            return
        if new.shape != old.shape:
            new = op.expand(new, old.shape)
        if new.dtype != old.dtype:
            new = op.to(new, old.dtype) if kind == "copy" else op.stored(new, old.dtype)
        operands = [v.value.name for v in vars_in((old, *bound.values()))]
        flows = any(v not in self.inert or v in self.frozen for v in operands)
        self._note_inert(new, {"old": old, **bound})
        if not self.grad and new.value.floating and flows:
            new = op.stop_gradient(new)  # so that nothing made from the storage lets it through
            self.inert.add(new.value.name)
        replaced = alias.write(member, new, self._where(call), self.grad)
        for before, after in replaced:
            if before.value.name in self.inert and new.value.name in self.inert:
                self.inert.add(after.value.name)

    def _args(self, arg: Any) -> Any:
        if isinstance(arg, FxNode):
            if arg in self.members:
                member = self.members[arg]
                if isinstance(member, tuple):
                    return tuple(self._read(m) for m in member)
                return self._read(arg)
            return number(self.context, arg)
        if isinstance(arg, (list, tuple)):
            return tuple(self._args(a) for a in arg)
        return arg

    def _read(self, node: Any, grad: bool | None = None) -> Var:
        member = self.members[node] if isinstance(node, FxNode) else node
        if isinstance(member, tuple):
            raise CaptureError("a tuple of tensors where one was expected")
        var = alias.read(member)
        return self._cut(var) if (self.grad if grad is None else grad) else var

    def _cut(self, var: Var) -> Var:
        """The value as autograd sees it: without a history if it was computed under no_grad."""
        name = var.value.name
        if name not in self.frozen or not var.value.floating:
            return var
        if name not in self.stopped:
            self.stopped[name] = op.stop_gradient(var)
        return self.stopped[name]


def _unsupported_hint(error: LocatedError) -> str:
    if isinstance(error, UnsupportedError):
        return "`backhand ops` lists what is; write this line with those operators"
    return ""


def _is_scalar(value: Any) -> bool:
    return isinstance(value, (torch.SymInt, torch.SymFloat, torch.SymBool, int, float, bool))


def _is_fake(tensor: torch.Tensor) -> bool:
    from torch._subclasses.fake_tensor import FakeTensor

    return isinstance(tensor, FakeTensor)


def _storage(tensor: torch.Tensor) -> int:
    handle: int = tensor.untyped_storage()._cdata
    return handle


__all__ = ["Converted", "Converter"]
