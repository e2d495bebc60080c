"""Nodes of torch's graph that are no plain operators, by name."""

from __future__ import annotations

UNSAFE = frozenset(
    {
        "unsafe_split.Tensor",
        "unsafe_split_with_sizes.default",
        "unsafe_chunk.default",
    }
)
ASSERTIONS = frozenset(
    {
        "_assert_async.msg",
        "_assert_async.default",
        "_assert_scalar.default",
        "sym_constrain_range_for_size.default",
        "sym_constrain_range.default",
        "_assert_tensor_metadata.default",
    }
)


# Operators whose result's size only the data can tell.
DATA_SIZED = frozenset(
    {
        "nonzero",
        "masked_select",
        "unique_dim",
        "_unique2",
        "unique_consecutive",
        "bincount",
        "nonzero_numpy",
        "argwhere",
    }
)
# Operators that may move a tensor to another device.
MOVES = frozenset({"to", "_to_copy", "type_as", "lift_fresh", "lift_fresh_copy"})
# In-place views that torch's composites use; they change a tensor's shape and nothing else.
RESHAPES = frozenset({"squeeze_", "unsqueeze_", "transpose_", "t_"})
_AUTOCAST = (
    "torch.autocast",
    "leave it out and cast where you want to: x.to(torch.bfloat16) @ w.to(torch.bfloat16)",
)
# By name: what people call it, and what to write instead ("" for the usual advice).
CONTEXTS = {
    "_enter_autocast": _AUTOCAST,
    "_exit_autocast": _AUTOCAST,
    "cond": ("torch.cond", ""),
    "_vmap_increment_nesting": ("torch.vmap", ""),
}
