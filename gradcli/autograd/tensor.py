"""The Tensor: an array, the gradient that backward left on it, and the node that made it.

It knows no operation: arithmetic, reductions, views and the rest attach themselves as methods when `gradcli.ops` is
imported, and `backward` when the engine is.
"""

from __future__ import annotations

import math
import weakref
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from gradcli.autograd.dtypes import Array, Size, dtype, from_numpy_dtype
from gradcli.autograd.formatting import format_tensor
from gradcli.autograd.grad_mode import InferenceMode, is_inference_mode_enabled
from gradcli.autograd.hooks import NodeHooks, RemovableHandle, TensorHook, register
from gradcli.autograd.versions import version
from gradcli.autograd.views import Base, Untracked
from gradcli.deferred import DeferredArray, settle_deferred

if TYPE_CHECKING:
    from gradcli.autograd.graph import Node
    from gradcli.autograd.views import View


class Tensor:
    """An n-dimensional array that records what is computed from it.

    `array` is the NumPy array that holds the values; it is shared, not copied, and where an operation put its work off
    until somebody looks, it is computed now. `grad_fn` is the node of the operation that made this tensor, None for a
    leaf. `grad` is what backward accumulated, None before.
    """

    __slots__ = (
        "__weakref__",
        "_accumulator",
        "_grad",
        "_grad_fn",
        "_is_inference",
        "_leaf_hooks",
        "_output_nr",
        "_requires_grad",
        "_sharing",
        "_value",
    )

    # NumPy arrays on the left of an operator leave the work to Tensor's reflected one.
    __array_ufunc__: ClassVar[None] = None

    _grad_fn: Node | None
    _output_nr: int
    _value: Array | DeferredArray
    _sharing: Base | View | None
    _leaf_hooks: NodeHooks
    _is_inference: bool

    def __init__(self, data: Any, requires_grad: bool = False) -> None:
        if not isinstance(data, np.ndarray | DeferredArray):
            data = np.asarray(data, dtype=None if isinstance(data, np.generic) else np.float32)
        self._value = data
        self._grad: Tensor | None = None
        self._grad_fn = None
        self._output_nr = 0
        self._sharing = None
        self._accumulator: weakref.ref[Node] | None = None
        self._requires_grad = False
        if InferenceMode.was_used and is_inference_mode_enabled():
            self._is_inference = True
        if requires_grad:
            if not isinstance(requires_grad, bool):
                raise TypeError(
                    "Tensor() takes values, and the bool requires_grad; for a tensor of some shape there is empty()"
                )
            self.requires_grad = True

    @classmethod
    def from_operation(cls, value: Array | DeferredArray, grad_fn: Node | None) -> Tensor:
        """The result of a recorded operation (or of an unrecorded one, where `grad_fn` is None)."""
        result = object.__new__(Tensor)
        result._value = value
        result._grad = None
        result._grad_fn = grad_fn
        result._output_nr = 0
        result._sharing = None
        result._accumulator = None
        result._requires_grad = grad_fn is not None
        return result

    # --- what it is -----------------------------------------------------------------------------------------------

    @property
    def array(self) -> Array:
        value = self._value
        if isinstance(value, DeferredArray):
            value = self._value = value.array()
        return value

    @array.setter
    def array(self, array: Array) -> None:
        self._value = array

    def deferred_array(self) -> Array | DeferredArray:
        """`array`, but as it is: for those who can do with a value that is not computed yet."""
        return self._value

    @property
    def shape(self) -> Size:
        return Size(self._value.shape)

    @property
    def dtype(self) -> dtype:
        return from_numpy_dtype(self._value.dtype)

    @property
    def ndim(self) -> int:
        return self._value.ndim

    def dim(self) -> int:
        """Number of dimensions."""
        return self._value.ndim

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the size of one dimension."""
        if dim is None:
            return self.shape
        if not -self.ndim <= dim < self.ndim:
            raise IndexError(
                f"Dimension out of range (expected to be in range of [{-self.ndim}, {self.ndim - 1}], but got {dim})"
            )
        return self._value.shape[dim]

    def numel(self) -> int:
        """Number of elements."""
        return math.prod(self._value.shape)

    def is_floating_point(self) -> bool:
        """True for a float type: only those can require gradients."""
        return self._value.dtype.kind == "f"

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return len(self.array)

    __hash__ = object.__hash__

    # --- gradients ------------------------------------------------------------------------------------------------

    @property
    def grad_fn(self) -> Node | None:
        """The node of the operation that made this tensor, and through which its gradient goes; None for a leaf."""
        if self._sharing is not None:
            self._sharing.refresh(self)  # a view of what was changed in place has another history now
        return self._grad_fn

    @property
    def output_nr(self) -> int:
        """Which of the results of `grad_fn` this is."""
        return self._output_nr

    @property
    def is_leaf(self) -> bool:
        """True for a tensor that no recorded operation made."""
        return self.grad_fn is None

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this tensor are recorded, so that backward reaches it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, required: bool) -> None:
        if self.grad_fn is not None:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable "
                "in a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        if required and self.array.dtype.kind != "f":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if required and self.is_inference() and not is_inference_mode_enabled():
            raise RuntimeError("Setting requires_grad=True on inference tensor outside InferenceMode is not allowed.")
        self._requires_grad = bool(required)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set `requires_grad` in place; the tensor itself is returned."""
        if not (requires_grad and self._requires_grad):
            self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The accumulated gradient, of the shape and type of this tensor; None before there is one."""
        return self._grad

    @grad.setter
    def grad(self, gradient: Tensor | None) -> None:
        if gradient is not None:
            if not isinstance(gradient, Tensor):
                raise TypeError(f"assigned grad expected to be a Tensor or None but got {type(gradient).__name__}")
            if gradient._value.shape != self._value.shape:
                raise RuntimeError(
                    f"attempting to assign a gradient of size {list(gradient.shape)} to a tensor of size "
                    f"{list(self.shape)}"
                )
            if gradient._value.dtype != self._value.dtype:
                raise RuntimeError(f"attempting to assign a gradient of {gradient.dtype} to a tensor of {self.dtype}")
        self._grad = gradient

    @property
    def retains_grad(self) -> bool:
        """True for a non-leaf whose gradient backward will keep."""
        hooks = self.grad_fn.hooks if self.grad_fn is not None else None
        reference = hooks.retaining.get(self._output_nr) if hooks is not None else None
        return reference is not None and reference() is self

    def retain_grad(self) -> None:
        """Keep the gradient of a non-leaf in `grad` too; a leaf keeps it anyway."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self.grad_fn is not None:
            self.grad_fn.own_hooks().retaining[self._output_nr] = weakref.ref(self)

    @property
    def leaf_hooks(self) -> NodeHooks | None:
        """The hooks of a leaf, for the node that accumulates its gradient: the leaf may have none yet."""
        return getattr(self, "_leaf_hooks", None)

    def register_hook(self, hook: TensorHook) -> RemovableHandle:
        """Call `hook(grad)` whenever backward has computed the gradient of this tensor.

        What it returns, unless None, is used instead. RuntimeError for a tensor that requires no gradient.
        """
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        hooks = self._own_leaf_hooks() if self.grad_fn is None else self.grad_fn.own_hooks()
        return register(hooks.of_tensor(self._output_nr), hook)

    def register_post_accumulate_grad_hook(self, hook: TensorHook) -> RemovableHandle:
        """Call `hook(tensor)` whenever backward has added to the `grad` of this leaf."""
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
        if self.grad_fn is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        return register(self._own_leaf_hooks().after_accumulation, hook)

    def _own_leaf_hooks(self) -> NodeHooks:
        hooks = self.leaf_hooks
        if hooks is None:
            hooks = self._leaf_hooks = NodeHooks()
            accumulator = self._accumulator() if self._accumulator is not None else None
            if accumulator is not None:
                accumulator.hooks = hooks
        return hooks

    def is_inference(self) -> bool:
        """Whether it was made in `inference_mode`: such a tensor can't take part in what is recorded."""
        return getattr(self, "_is_inference", False)

    # --- sharing memory -------------------------------------------------------------------------------------------

    @property
    def _version(self) -> int:
        """How often the memory of this tensor was changed in place."""
        if self.is_inference():
            raise RuntimeError("Inference tensors do not track version counter.")
        return version(self.array) if self._sharing is None else self._sharing.version_of(self)

    @property
    def _base(self) -> Tensor | None:
        """The tensor that this one is a view of; None where it isn't one."""
        return None if self._sharing is None else self._sharing.base

    def _is_view(self) -> bool:
        """Whether it shares the memory of another tensor, which recorded it as a view."""
        return self._base is not None

    def detach(self) -> Tensor:
        """The same values, shared, out of the graph."""
        detached = Tensor(self.array)
        sharing = self._sharing if self._base is None else self._base._sharing
        if isinstance(sharing, Untracked):
            detached._sharing = Untracked(sharing)
        if InferenceMode.was_used:
            detached._is_inference = self.is_inference()
        return detached

    def detach_(self) -> Self:
        """Take this tensor itself out of the graph: it is a leaf that requires no gradient then."""
        if self._is_view():
            raise RuntimeError("Can't detach views in-place. Use detach() instead.")
        if isinstance(self._sharing, Base):
            self._sharing.refresh_views()
        self._grad_fn, self._output_nr, self._requires_grad = None, 0, False
        return self

    @property
    def data(self) -> Tensor:
        """The same values, shared, out of the graph, and changes through it are not counted as changes of this tensor;
        assigning replaces the values without being recorded."""
        data = self.detach()
        data._sharing = Untracked()
        return data

    @data.setter
    def data(self, new_data: Tensor) -> None:
        if self._requires_grad and new_data.array.dtype.kind != "f":
            raise RuntimeError("data set to a tensor that requires gradients must be floating point")
        self.array = new_data.array

    # --- values ---------------------------------------------------------------------------------------------------

    def numpy(self) -> Array:
        """The values as a NumPy array that shares memory; refused while gradients are required, as in PyTorch."""
        if self._requires_grad:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead.")
        settle_deferred()  # the caller may write into the array
        return self.array

    def __array__(self, dtype: np.dtype[Any] | None = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def item(self) -> Any:
        """The only element, as a Python number."""
        if self.array.size != 1:
            raise RuntimeError(f"a Tensor with {self.array.size} elements cannot be converted to Scalar")
        return self.array.item()

    def tolist(self) -> Any:
        """The values as nested Python lists, or one number."""
        return self.array.tolist()

    def __bool__(self) -> bool:
        if self.array.size != 1:
            kind = "no values" if self.array.size == 0 else "more than one value"
            raise RuntimeError(f"Boolean value of Tensor with {kind} is ambiguous")
        return bool(self.array.item())

    def __float__(self) -> float:
        return float(self._python_scalar())

    def __int__(self) -> int:
        return int(self._python_scalar())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub" or self.array.size != 1:
            raise TypeError("only integer tensors of a single element can be converted to an index")
        return int(self.array.item())

    def _python_scalar(self) -> Any:
        if self.array.size != 1:
            raise ValueError(f"only one element tensors can be converted to Python scalars, not {list(self.shape)}")
        return self.array.item()

    def __format__(self, specification: str) -> str:
        if self.ndim == 0:
            return format(self.item(), specification)
        if specification:
            raise TypeError(f"unsupported format string {specification!r} for a tensor of shape {list(self.shape)}")
        return str(self)

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy or pickle has the values, the gradient and the flag; only leaves can have one, as in PyTorch."""
        if self.grad_fn is not None:
            raise RuntimeError("only leaves can be copied deeply or pickled; detach() the tensor first")
        return _rebuild, (type(self), self.array, self._requires_grad, self._grad)

    def __repr__(self) -> str:
        return format_tensor(
            self.array,
            requires_grad=self._requires_grad,
            grad_fn_name=None if self.grad_fn is None else self.grad_fn.name(),
        )

    if TYPE_CHECKING:
        # Attached at import by the operations themselves, each with its own documentation.
        def __getattr__(self, name: str) -> Any: ...
        def backward(self, *args: Any, **kwargs: Any) -> None: ...
        def to(self, *args: Any, **kwargs: Any) -> Tensor: ...
        def __getitem__(self, index: Any) -> Tensor: ...
        def __setitem__(self, index: Any, value: Any) -> None: ...
        def __neg__(self) -> Tensor: ...
        def _binary(self, other: Any) -> Tensor: ...

        __add__ = __sub__ = __mul__ = __matmul__ = __truediv__ = __floordiv__ = __mod__ = __pow__ = _binary
        __radd__ = __rsub__ = __rmul__ = __rmatmul__ = __rtruediv__ = __rfloordiv__ = __rmod__ = __rpow__ = _binary
        __lt__ = __le__ = __gt__ = __ge__ = _binary


def _rebuild(kind: type[Tensor], array: Array, requires_grad: bool, grad: Tensor | None) -> Tensor:
    tensor = kind(array, requires_grad)
    tensor._grad = grad
    return tensor


Tensor.__module__ = "gradcli"
