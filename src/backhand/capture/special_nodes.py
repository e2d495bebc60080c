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
CONTEXTS = {
    "_enter_autocast": "torch.autocast",
    "_exit_autocast": "torch.autocast",
    "cond": "torch.cond",
    "_vmap_increment_nesting": "torch.vmap",
}
