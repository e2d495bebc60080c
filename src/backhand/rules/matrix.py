"""The support matrix: what the registry says about every operator of the table."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from ..program.ops import table
from .base import KERNELS, NONDIFFERENTIABLE, PLAIN, RULES


@dataclass(frozen=True, slots=True)
class Support:
    """One operator's row: ``support`` is ``rule``, ``no gradient``, ``formula`` or ``kernel``."""

    op: str
    kind: str
    support: str
    exactness: str
    note: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


def support_matrix() -> list[Support]:
    """Every operator of the table, in its order."""
    out: list[Support] = []
    for name, op in table().items():
        rule = RULES.get(name)
        if rule is not None:
            exactness = "" if rule.exactness == "exact" else rule.exactness
            note = "; ".join(part for part in (exactness, rule.ties, rule.domain) if part)
            out.append(Support(name, op.kind, "rule", rule.exactness, note))
        elif name in NONDIFFERENTIABLE:
            out.append(Support(name, op.kind, "no gradient", "", NONDIFFERENTIABLE[name]))
        elif name in PLAIN:
            out.append(Support(name, op.kind, "formula", "", "used by backward passes"))
        else:
            out.append(Support(name, op.kind, "kernel", "", KERNELS[name]))
    return out
