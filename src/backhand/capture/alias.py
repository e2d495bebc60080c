"""In-place updates and views become new values.

Tensors that share storage form a family: a base and, for every other member, the view that makes it
from its parent. Writing to a member makes a new base by scattering the written value back through
the views; a member that is read after that is made again from the new base.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..errors import CaptureError, Location
from ..program.build import Var, op


@dataclass
class Member:
    """One tensor of a family: the parent it views, how to view it, how to write through the view.

    ``fragile`` is the reason why autograd gives a view up once its storage is written to.
    """

    family: Family
    parent: Member | None
    view: Callable[[Var], Var] | None
    scatter: Callable[[Var, Var], Var] | None
    value: Var
    version: int
    detached: bool = False
    fragile: str = ""


@dataclass
class Family:
    """Tensors of one storage. ``version`` counts the writes; ``origin`` says where it comes from.

    ``tracked`` is the version of the last write that autograd saw; ``unknown`` says why nobody
    knows the storage's content any more.
    """

    origin: str
    version: int = 0
    tracked: int = 0
    unknown: str = ""
    members: list[Member] = field(default_factory=list)


def root(origin: str, value: Var) -> Member:
    """A new family with one member."""
    family = Family(origin)
    member = Member(family, None, None, None, value, 0)
    family.members.append(member)
    return member


def viewed(
    parent: Member,
    value: Var,
    view: Callable[[Var], Var],
    scatter: Callable[[Var, Var], Var] | None,
    detached: bool = False,
    fragile: str = "",
) -> Member:
    """A member that views ``parent``."""
    detached, fragile = detached or parent.detached, fragile or parent.fragile
    version = parent.family.version
    member = Member(parent.family, parent, view, scatter, value, version, detached, fragile)
    parent.family.members.append(member)
    return member


def read(member: Member) -> Var:
    """The member's value now, made again from its parent if the family was written to since."""
    if member.family.unknown:
        raise CaptureError(member.family.unknown)
    if member.version != member.family.version and member.parent is not None:
        if member.fragile and member.version < member.family.tracked:
            raise _given_up(member, None)
        assert member.view is not None
        member.value = member.view(read(member.parent))
        member.version = member.family.version
    return member.value


def _given_up(member: Member, where: Location | None) -> CaptureError:
    return CaptureError(
        f"{member.fragile}: autograd does not allow it together with in-place updates",
        where,
        "use slices (x[:, :k]) instead, made where gradients are recorded",
    )


def write(
    member: Member, value: Var, where: Location | None, tracked: bool = True
) -> list[tuple[Var, Var]]:
    """Set the member's value and, through the views, that of everything that shares its storage.

    ``tracked``: autograd records the update. Returns each new value of a parent with its old one.
    """
    if member.detached:
        raise CaptureError(
            "an in-place update of a detached tensor, or of a view made under no_grad, changes the "
            "original behind autograd's back",
            where,
            "compute a new tensor instead of updating this one",
        )
    if member.fragile and tracked:
        raise _given_up(member, where)
    replaced: list[tuple[Var, Var]] = []
    current, written = member, value
    while current.parent is not None:
        if current.scatter is None:
            raise CaptureError(
                "an in-place update through this view cannot be followed (several elements share "
                "one place in memory, or the view has no inverse)",
                where,
                "compute a new tensor instead of updating this one",
            )
        old = read(current.parent)
        written = current.scatter(old, written)
        replaced.append((old, written))
        current = current.parent
    member.family.version += 1
    if tracked:
        member.family.tracked = member.family.version
    # the views are made again from the base when they are read, as autograd makes them: their uses
    # reach the base through one another, in its order
    current.value, current.version = written, member.family.version
    return replaced


def inverse_of_view(
    name: str, bound: dict[str, Any], out_index: int
) -> Callable[[Var, Var], Var] | None:
    """How to write a view's new value back into its parent: ``(parent, new) -> new parent``."""
    if name in ("view", "reshape", "flatten", "unsqueeze", "squeeze", "_unsafe_view", "unflatten"):
        return lambda parent, new: op.reshape(new, parent.shape)
    if name == "transpose":
        return lambda parent, new: op.transpose(new, bound["dim0"], bound["dim1"])
    if name == "t":
        return lambda parent, new: op.t(new)
    if name == "permute":
        rank = len(bound["dims"])
        order = [d % rank for d in bound["dims"]]
        back = tuple(order.index(i) for i in range(rank))
        return lambda parent, new: op.permute(new, back)
    if name == "slice":
        start, end, step = bound["start"], bound["end"], bound["step"]
        end = None if isinstance(end, int) and end >= 2**62 else end
        start = None if type(start) is int and start == 0 else start

        def into_slice(parent: Var, new: Var) -> Var:
            dim = bound["dim"] % parent.rank
            whole = start is None and step == 1 and (end is None or end == parent.shape[dim])
            out: Var = new if whole else op.slice_scatter(parent, new, dim, start, end, step)
            return out

        return into_slice
    if name == "select":
        return lambda parent, new: op.select_scatter(
            parent, new, bound["dim"] % parent.rank, bound["index"]
        )
    if name == "diagonal":
        return lambda parent, new: op.diagonal_scatter(
            parent, new, bound["offset"], bound["dim1"], bound["dim2"]
        )
    if name in ("split", "split_with_sizes", "chunk", "unbind"):
        return _inverse_of_split(name, bound, out_index)
    if name in ("identity", "contiguous", "to"):
        return lambda parent, new: new
    return None


def _inverse_of_split(
    name: str, bound: dict[str, Any], out_index: int
) -> Callable[[Var, Var], Var] | None:
    dim = bound["dim"]
    if name == "unbind":
        return lambda parent, new: op.select_scatter(parent, new, dim % parent.rank, out_index)
    if name == "split_with_sizes":
        sizes = bound["split_sizes"]
        start = sum(sizes[:out_index])
        return lambda parent, new: op.slice_scatter(
            parent, new, dim % parent.rank, start, start + sizes[out_index]
        )

    def scatter(parent: Var, new: Var) -> Var:
        axis = dim % parent.rank
        if name == "split":
            width = bound["split_size"]
        else:
            width = -(-_int(parent.shape[axis]) // bound["chunks"])
        return op.slice_scatter(
            parent, new, axis, width * out_index, width * out_index + new.shape[axis]
        )

    return scatter


def _int(dim: Any) -> int:
    if isinstance(dim, int):
        return dim
    raise CaptureError("an in-place update of a chunk of a symbolic size cannot be followed")
