"""What a statement reads and writes, told from its text.

Writing is binding a name as well as changing what it holds: ``dC[ix] += g``, ``x.add_(y)``,
``words.append(w)``. A name that a statement binds before it reads it is not among its reads.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Methods that leave their object as it was. Another call that stands alone as a statement is there
# for its effect, on the object or on the arguments.
_QUIET_METHODS = frozenset(
    {"backward", "retain_grad", "item", "size", "show", "register_hook", "eval", "train"}
)
_QUIET_FUNCTIONS = frozenset({"print", "display", "len", "repr", "str", "type", "id", "help"})
# Functions of these modules change their arguments: `random.shuffle(words)`.
_CHANGING_MODULES = frozenset({"random", "heapq", "bisect", "init"})


@dataclass(frozen=True)
class Effects:
    """The names that a statement needs, those it binds anew, and all that it writes, in order."""

    reads: tuple[str, ...]
    binds: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass
class _Walk(ast.NodeVisitor):
    """Goes through a statement in the order in which it runs."""

    functions: Mapping[str, Function]
    reads: dict[str, None] = field(default_factory=dict)
    binds: dict[str, None] = field(default_factory=dict)
    changes: dict[str, None] = field(default_factory=dict)
    # names bound inside a comprehension or a lambda: nobody else sees them
    inner: list[frozenset[str]] = field(default_factory=list)
    depth: int = 0

    def read(self, name: str) -> None:
        if name not in self.binds and not any(name in names for names in self.inner):
            self.reads.setdefault(name)

    def write(self, name: str) -> None:
        self.changes.setdefault(name)

    def bind(self, target: ast.expr) -> None:
        if isinstance(target, ast.Name):
            self.binds.setdefault(target.id)
            self.write(target.id)
        elif isinstance(target, (ast.Tuple, ast.List)):
            for element in target.elts:
                self.bind(element)
        elif isinstance(target, ast.Starred):
            self.bind(target.value)
        else:
            self.change(target)

    def change(self, target: ast.expr) -> None:
        """An element, a slice or an attribute is written: its owner changes, and is needed."""
        self.visit(target)
        name = root(target)
        if name is not None:
            self.write(name)

    def visit_Name(self, node: ast.Name) -> None:
        self.read(node.id)

    def visit_NamedExpr(self, node: ast.NamedExpr) -> None:
        self.visit(node.value)
        self.bind(node.target)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.visit(node.value)
        for target in node.targets:
            self.bind(target)

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.visit(node.annotation)
        if node.value is not None:
            self.visit(node.value)
            self.bind(node.target)

    def visit_AugAssign(self, node: ast.AugAssign) -> None:
        self.visit(node.value)
        self.change(node.target)

    def visit_Delete(self, node: ast.Delete) -> None:
        for target in node.targets:
            self.change(target)

    def visit_For(self, node: ast.For) -> None:
        self.visit(node.iter)
        self.bind(node.target)
        for part in (*node.body, *node.orelse):
            self.visit(part)

    def visit_With(self, node: ast.With) -> None:
        for item in node.items:
            self.visit(item.context_expr)
            if item.optional_vars is not None:
                self.bind(item.optional_vars)
        for part in node.body:
            self.visit(part)

    def visit_If(self, node: ast.If) -> None:
        """What one branch binds is not there for sure: it counts as bound only if both do."""
        self.visit(node.test)
        before = dict(self.binds)
        seen: list[dict[str, None]] = []
        for branch in (node.body, node.orelse):
            self.binds = dict(before)
            for part in branch:
                self.visit(part)
            seen.append(self.binds)
        self.binds = {name: None for name in seen[0] if name in seen[1]}

    def visit_Import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            name = alias.asname or alias.name.partition(".")[0]
            self.binds.setdefault(name)
            self.write(name)

    visit_ImportFrom = visit_Import

    def visit_FunctionDef(self, node: Function) -> None:
        annotations = (n.annotation for n in ast.walk(node.args) if isinstance(n, ast.arg))
        defaults = (*node.args.defaults, *node.args.kw_defaults)
        for part in (*node.decorator_list, *defaults, *annotations, node.returns):
            if part is not None:
                self.visit(part)
        for name in free_names(node):
            self.read(name)
        self.binds.setdefault(node.name)
        self.write(node.name)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for value in (*node.decorator_list, *node.bases, *(k.value for k in node.keywords)):
            self.visit(value)
        names: set[str] = set()
        for part in node.body:
            inside = effects(part, self.functions)
            for name in inside.reads:
                if name not in names:
                    self.read(name)
            names.update(inside.binds)
        self.binds.setdefault(node.name)
        self.write(node.name)

    def visit_Lambda(self, node: ast.Lambda) -> None:
        self.inner.append(frozenset(parameters(node.args)))
        self.visit(node.body)
        self.inner.pop()

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> None:
        names: set[str] = set()
        for generator in node.generators:
            self.visit(generator.iter)
            names.update(_bound(generator.target))
        self.inner.append(frozenset(names))
        for generator in node.generators:
            for test in generator.ifs:
                self.visit(test)
        for part in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.visit(part)
        self.inner.pop()

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        for keyword in node.keywords:
            if keyword.arg == "out" and (name := root(keyword.value)) is not None:
                self.write(name)
        called = node.func
        if isinstance(called, ast.Attribute) and _in_place(called.attr):
            name = root(called.value)
            if name is not None:
                self.write(name)
        if isinstance(called, ast.Name) and called.id in self.functions and self.depth < 8:
            # a helper: what it changes of its arguments, and what it needs from outside
            function = self.functions[called.id]
            for name in _needs(called.id, self.functions):
                self.read(name)
            for name in _changed_arguments(node, function, self.functions, self.depth):
                self.write(name)

    def visit_Expr(self, node: ast.Expr) -> None:
        self.generic_visit(node)
        call = node.value
        if not isinstance(call, ast.Call):
            return
        called = call.func
        if isinstance(called, ast.Attribute):
            name = root(called.value)
            if name is not None and called.attr not in _QUIET_METHODS:
                self.write(name)
            owner = called.value
            module = owner.attr if isinstance(owner, ast.Attribute) else name
            if module in _CHANGING_MODULES:
                for argument in call.args:
                    if (changed := root(argument)) is not None:
                        self.write(changed)


def effects(node: ast.stmt, functions: Mapping[str, Function] | None = None) -> Effects:
    """What a statement reads and writes; ``functions`` are the helpers that it may call."""
    walk = _Walk(functions or {})
    walk.visit(node)
    return Effects(tuple(walk.reads), tuple(walk.binds), tuple(walk.changes))


def root(node: ast.expr) -> str | None:
    """The variable that an expression such as ``x.data[0]`` or ``x.view(-1)`` belongs to."""
    while True:
        if isinstance(node, ast.Name):
            return node.id
        if isinstance(node, (ast.Attribute, ast.Subscript, ast.Starred)):
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            node = node.func
        else:
            return None


def free_names(function: Function) -> tuple[str, ...]:
    """The names that a function takes from outside."""
    bound = set(parameters(function.args))
    everywhere: set[str] = set()
    found: dict[str, None] = {}
    for node in (n for part in function.body for n in ast.walk(part)):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            bound.add(node.id)
        elif isinstance(node, ast.Name):
            found.setdefault(node.id)
        elif isinstance(node, Function | ast.ClassDef):
            bound.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            bound.update(a.asname or a.name.partition(".")[0] for a in node.names)
        elif isinstance(node, ast.Global):
            everywhere.update(node.names)
    return tuple(n for n in found if n not in bound - everywhere)


def _needs(name: str, functions: Mapping[str, Function]) -> Iterator[str]:
    """What a helper and the helpers that it calls take from outside."""
    seen, todo = {name}, [name]
    while todo:
        for free in free_names(functions[todo.pop()]):
            yield free
            if free in functions and free not in seen:
                seen.add(free)
                todo.append(free)


def _changed_arguments(
    call: ast.Call, function: Function, functions: Mapping[str, Function], depth: int
) -> Iterator[str]:
    walk = _Walk(functions, depth=depth + 1)
    for part in function.body:
        walk.visit(part)
    arguments = dict(zip(parameters(function.args), call.args, strict=False))
    arguments |= {k.arg: k.value for k in call.keywords if k.arg is not None}
    for parameter, argument in arguments.items():
        # a parameter that is bound anew inside no longer is the argument
        if parameter in walk.changes and parameter not in walk.binds:
            name = root(argument)
            if name is not None:
                yield name


def _in_place(method: str) -> bool:
    return method.endswith("_") and not method.endswith("__") and method != "requires_grad_"


def parameters(arguments: ast.arguments) -> list[str]:
    """The names of a function's parameters."""
    every = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    stars = [a for a in (arguments.vararg, arguments.kwarg) if a is not None]
    return [a.arg for a in (*every, *stars)]


def _bound(target: ast.expr) -> Iterable[str]:
    return (n.id for n in ast.walk(target) if isinstance(n, ast.Name))


def is_quiet_call(node: ast.stmt) -> bool:
    """Whether a statement is a call for show: printing, plotting, comparing."""
    if not isinstance(node, ast.Expr) or not isinstance(node.value, ast.Call):
        return False
    called = node.value.func
    if isinstance(called, ast.Attribute):
        return called.attr in _QUIET_METHODS
    return isinstance(called, ast.Name) and called.id in _QUIET_FUNCTIONS
