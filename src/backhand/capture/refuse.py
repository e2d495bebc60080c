"""What a captured graph would get wrong: refused while the user's function runs, with its line.

Three kinds: reading the values in a tensor, autograd's own machinery, torch's function transforms.
The tracer drops the last two without a word, which is the worst kind of wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import torch
import torch._functorch.eager_transforms as eager_transforms
import torch._functorch.vmap as functorch_vmap

from ..errors import CaptureError, Location
from . import source

BRANCH_HINT = (
    "what this line does depends on the values in a tensor, and a backward pass written as source "
    "has one path only: use torch.where(condition, a, b), or derive the two paths as two functions"
)
READ_HINT = (
    "a number read out of a tensor has no gradient and would be fixed for ever: keep it a tensor "
    "(x.detach() if no gradient is meant to flow), or pass it as an argument"
)
SIZE_HINT = (
    "a backward pass written as source needs sizes that follow from the inputs' sizes: keep the "
    "full size and use torch.where(mask, x, 0)"
)
AUTOGRAD_HINT = (
    "leave autograd's own machinery out of the forward pass: backhand writes the gradients"
)
STATE_HINT = "the derived passes know nothing of autograd's state: write one forward pass for both"
LAYOUT_HINT = "an input may lie in memory in another way at the next call: go by its shape alone"
RESHAPE_HINT = "use the form that returns a new tensor, as in x = x.t() or x = x.unsqueeze(0)"
COPY_HINT = "use x.clone(), or x.detach().clone() if no gradient is meant to flow"
SEED_HINT = "seed before the call, and let the forward pass draw from torch's default generator"
PARAMETER_HINT = (
    "what is learned must outlive the call: make the module or parameter outside and pass it in"
)
FUNCTION_HINT = (
    "its own backward would be lost: write the forward computation in plain operators, or derive "
    "the functions before and after it separately"
)

_T = torch.Tensor


def _getter(name: str) -> Any:
    return getattr(_T, name).__get__


def _setter(name: str) -> Any:
    return getattr(_T, name).__set__


_READS = "the forward pass reads data: {}"
_NOT = "{} cannot be captured"
_CHANGES = "{} changes the shape of a tensor in place"

# Descriptors give a new wrapper at every access: they are equal, not identical, so keys of a dict.
_CALLS: dict[Any, tuple[str, str, str]] = {
    _T.__bool__: (_READS, "if/while on a tensor", BRANCH_HINT),
    torch.is_nonzero: (_READS, "torch.is_nonzero", BRANCH_HINT),
    _T.is_nonzero: (_READS, ".is_nonzero()", BRANCH_HINT),
    _T.__contains__: (_READS, "in on a tensor", BRANCH_HINT),
    torch.equal: (_READS, "torch.equal", BRANCH_HINT),
    _T.equal: (_READS, ".equal()", BRANCH_HINT),
    torch.allclose: (_READS, "torch.allclose", BRANCH_HINT),
    _T.allclose: (_READS, ".allclose()", BRANCH_HINT),
    _T.item: (_READS, ".item()", READ_HINT),
    _T.tolist: (_READS, ".tolist()", READ_HINT),
    _T.__float__: (_READS, "float(tensor)", READ_HINT),
    _T.__int__: (_READS, "int(tensor)", READ_HINT),
    _T.__complex__: (_READS, "complex(tensor)", READ_HINT),
    _T.__format__: (_READS, "formatting a tensor as a number", READ_HINT),
    _T.__index__: (_READS, "a tensor as an index or a range", READ_HINT),
    _T.numpy: (_READS, ".numpy()", READ_HINT),
    _T.__array__: (_READS, "numpy.asarray(tensor)", READ_HINT),
    _T.__dlpack__: (_READS, "from_dlpack(tensor)", READ_HINT),
    _T.random_: (_NOT, ".random_()", "use torch.randint(low, high, size)"),
    _T.data_ptr: (_READS, ".data_ptr()", READ_HINT),
    _T.untyped_storage: (_READS, ".untyped_storage()", READ_HINT),
    _T.storage: (_READS, ".storage()", READ_HINT),
    _T.nonzero: (_READS, ".nonzero()", SIZE_HINT),
    torch.nonzero: (_READS, "torch.nonzero", SIZE_HINT),
    torch.argwhere: (_READS, "torch.argwhere", SIZE_HINT),
    _T.argwhere: (_READS, ".argwhere()", SIZE_HINT),
    _T.unique: (_READS, ".unique()", SIZE_HINT),
    torch.unique: (_READS, "torch.unique", SIZE_HINT),
    _T.unique_consecutive: (_READS, ".unique_consecutive()", SIZE_HINT),
    torch.unique_consecutive: (_READS, "torch.unique_consecutive", SIZE_HINT),
    _T.masked_select: (_READS, ".masked_select()", SIZE_HINT),
    torch.masked_select: (_READS, "torch.masked_select", SIZE_HINT),
    _T.bincount: (_READS, ".bincount()", SIZE_HINT),
    torch.bincount: (_READS, "torch.bincount", SIZE_HINT),
    _T.backward: (_NOT, ".backward()", AUTOGRAD_HINT),
    _T.register_hook: (_NOT, ".register_hook()", AUTOGRAD_HINT),
    _T.register_post_accumulate_grad_hook: (
        _NOT,
        ".register_post_accumulate_grad_hook()",
        AUTOGRAD_HINT,
    ),
    _T.retain_grad: (_NOT, ".retain_grad()", AUTOGRAD_HINT),
    _T.requires_grad_: (_NOT, ".requires_grad_()", AUTOGRAD_HINT),
    _T.set_: (_NOT, ".set_()", AUTOGRAD_HINT),
    _setter("requires_grad"): (_NOT, ".requires_grad = …", AUTOGRAD_HINT),
    _setter("data"): (_NOT, ".data = …", AUTOGRAD_HINT),
    _getter("grad"): (_NOT, "reading .grad", AUTOGRAD_HINT),
    _getter("requires_grad"): (_NOT, "reading .requires_grad", STATE_HINT),
    _getter("grad_fn"): (_NOT, "reading .grad_fn", STATE_HINT),
    _getter("is_leaf"): (_NOT, "reading .is_leaf", STATE_HINT),
    _getter("_version"): (_NOT, "reading ._version", STATE_HINT),
    _T.stride: (_NOT, "reading .stride()", LAYOUT_HINT),
    _T.storage_offset: (_NOT, "reading .storage_offset()", LAYOUT_HINT),
    _T.t_: (_CHANGES, ".t_()", RESHAPE_HINT),
    _T.transpose_: (_CHANGES, ".transpose_()", RESHAPE_HINT),
    _T.swapaxes_: (_CHANGES, ".swapaxes_()", RESHAPE_HINT),
    _T.swapdims_: (_CHANGES, ".swapdims_()", RESHAPE_HINT),
    _T.squeeze_: (_CHANGES, ".squeeze_()", RESHAPE_HINT),
    _T.unsqueeze_: (_CHANGES, ".unsqueeze_()", RESHAPE_HINT),
    _T.resize_: (_CHANGES, ".resize_()", RESHAPE_HINT),
    _T.resize_as_: (_CHANGES, ".resize_as_()", RESHAPE_HINT),
    _T.as_strided_: (_CHANGES, ".as_strided_()", RESHAPE_HINT),
    _T.__deepcopy__: (_NOT, "copy.deepcopy of a tensor", COPY_HINT),
    _T.__reduce_ex__: (_NOT, "copying or pickling a tensor", COPY_HINT),
}
# torch's own modules look at these to pick a kernel; the kernel that suits a gradient is right.
_STATE = frozenset(
    {
        _getter("requires_grad"),
        _getter("is_leaf"),
        _getter("grad_fn"),
        _T.stride,
        _T.storage_offset,
    }
)
_PARAMETER_FILE = "parameter.py"


class Refusals:
    """The first refusal is kept: user code that swallows exceptions does not get past it."""

    def __init__(self) -> None:
        self.first: CaptureError | None = None

    def refuse(self, message: str, hint: str, where: Location | None = None) -> CaptureError:
        """The error to raise: the first one again if there was one."""
        return self.keep(CaptureError(message, where or source.current_location(), hint))

    def keep(self, error: CaptureError) -> CaptureError:
        if self.first is None:
            self.first = error
        return self.first

    def check(
        self, func: Any, caller: FrameType, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Raise for a call that a graph cannot hold."""
        if kwargs.get("generator") is not None:
            raise self.refuse("a random generator of its own cannot be captured", SEED_HINT)
        try:
            found = _CALLS.get(func)
        except TypeError:  # not hashable, so not one of them
            return
        if found is None:
            return
        filename = caller.f_code.co_filename
        if func in _STATE and not source.is_user_file(filename):
            return
        if func == _T.__format__ and args[1:] == ("",):
            return  # f"{x}" prints the tensor, without its values
        message, what, hint = found
        if func == _T.requires_grad_ and filename.endswith(_PARAMETER_FILE):
            message, what, hint = _NOT, "a parameter made inside the forward pass", PARAMETER_HINT
        raise self.refuse(message.format(what), hint)


@contextmanager
def replaced(owner: Any, name: str, new: Any) -> Iterator[None]:
    """An attribute replaced for a while; one that was inherited is inherited again."""
    own = name in vars(owner)
    old = vars(owner).get(name)
    setattr(owner, name, new)
    try:
        yield
    finally:
        if own:
            setattr(owner, name, old)
        else:
            delattr(owner, name)


@contextmanager
def machinery_refused(refusals: Refusals) -> Iterator[None]:
    """Make autograd's entry points and torch's function transforms raise while tracing."""

    def refusal(what: str, hint: str) -> Callable[..., Any]:
        def refuse(*args: Any, **kwargs: Any) -> Any:
            raise refusals.refuse(f"{what} cannot be captured", hint)

        return refuse

    hooks = torch.autograd.graph.saved_tensors_hooks
    enter_hooks = hooks.__enter__

    def saved_tensors_hooks(self: Any) -> Any:
        # Checkpointing and save_on_cpu hand back what was saved: the gradients are the same.
        if type(self).__module__.startswith("torch."):
            packer = getattr(self.pack_hook, "__module__", "") or ""
            if packer.startswith("torch."):
                return enter_hooks(self)
        raise refusals.refuse("saved_tensors_hooks cannot be captured", AUTOGRAD_HINT)

    enter_inference = torch.inference_mode.__enter__

    def inference_mode(self: Any) -> Any:
        caller = sys._getframe(1).f_code.co_filename
        if not (source.is_user_file(caller) or caller.endswith("_contextlib.py")):
            return enter_inference(self)  # torch makes tensors without data under it
        raise refusals.refuse(
            "torch.inference_mode cannot be captured",
            "use torch.no_grad(): autograd refuses to use what was made under inference_mode",
        )

    transform = (
        "write the computation out in plain operators: batched code for vmap, the derivative's own "
        "formula for grad, vjp, jvp and jacobians"
    )
    with ExitStack() as stack:

        def patch(owner: Any, name: str, new: Any) -> None:
            stack.enter_context(replaced(owner, name, new))

        patch(torch.autograd.Function, "apply", refusal("a torch.autograd.Function", FUNCTION_HINT))
        for name in ("grad", "backward"):
            patch(torch.autograd, name, refusal(f"torch.autograd.{name}", AUTOGRAD_HINT))
        patch(hooks, "__enter__", saved_tensors_hooks)
        patch(torch.inference_mode, "__enter__", inference_mode)
        patch(torch, "cond", refusal("torch.cond", BRANCH_HINT))
        patch(functorch_vmap, "_vmap_increment_nesting", refusal("torch.vmap", transform))
        for name in (
            "_grad_increment_nesting",
            "_jvp_increment_nesting",
            "_func_increment_nesting",
        ):
            patch(eager_transforms, name, refusal("a transform of torch.func", transform))
        patch(
            torch.jit.ScriptFunction,
            "__call__",
            refusal("a TorchScript function", "call the plain Python function it was made from"),
        )
        for name in ("manual_seed", "seed", "set_rng_state"):
            patch(torch, name, refusal(f"torch.{name}", SEED_HINT))
        yield
