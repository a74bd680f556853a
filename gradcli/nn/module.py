"""Module: a tree of layers with parameters and buffers, registered by assigning them to attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Self, TypeVar

import numpy as np

from gradcli.autograd import Tensor
from gradcli.autograd.accumulate_grad import zero_gradient
from gradcli.autograd.anomaly import AnomalyMode, within_module
from gradcli.autograd.dtypes import DType, as_numpy_dtype, float32, float64
from gradcli.autograd.hooks import RemovableHandle, register
from gradcli.deferred import call_users_code
from gradcli.nn.parameter import Parameter
from gradcli.nn.state import IncompatibleKeys, load_into
from gradcli.ops.conversion import arguments_of_to
from gradcli.ops.creation import check_placement

V = TypeVar("V")

ForwardHook = Callable[["Module", tuple[Any, ...], Any], Any]


class Module:
    """Base of every layer and model. Meaning and names as `torch.nn.Module`."""

    training: bool
    _parameters: dict[str, Parameter | None]
    _buffers: dict[str, Tensor | None]
    _modules: dict[str, Module | None]
    _registries: tuple[dict[str, Any], ...]  # these three
    _non_persistent: set[str]
    _forward_hooks: dict[int, ForwardHook]

    # Buffers that old checkpoints lack; loading one leaves them as they are.
    optional_buffers: ClassVar[tuple[str, ...]] = ()

    _is_users: ClassVar[bool] = False
    """Whether its `forward` may be a user's code, which may change arrays between its layers."""

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._is_users = cls.__module__.partition(".")[0] != __name__.partition(".")[0]

    def __init__(self) -> None:
        object.__setattr__(self, "training", True)
        for name, registry in (
            ("_parameters", {}),
            ("_buffers", {}),
            ("_modules", {}),
            ("_non_persistent", set()),
            ("_forward_hooks", {}),
        ):
            object.__setattr__(self, name, registry)
        object.__setattr__(self, "_registries", (self._parameters, self._modules, self._buffers))

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the layer computes; every subclass says."""
        raise NotImplementedError(f'Module [{type(self).__name__}] is missing the required "forward" function')

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if AnomalyMode.enabled:
            with within_module(self):
                return self._call(*args, **kwargs)
        return self._call(*args, **kwargs)

    def _call(self, *args: Any, **kwargs: Any) -> Any:
        forward = self.forward
        result = call_users_code(forward, *args, **kwargs) if self._is_users else forward(*args, **kwargs)
        if self._forward_hooks:
            for hook in list(self._forward_hooks.values()):
                replaced = call_users_code(hook, self, args, result)
                if replaced is not None:
                    result = replaced
        return result

    def register_forward_hook(self, hook: ForwardHook) -> RemovableHandle:
        """Call `hook(module, args, result)` after every forward; what it returns, unless None, is the new result."""
        return register(self._forward_hooks, hook)

    # --- registering ----------------------------------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        if "_parameters" not in self.__dict__:
            raise AttributeError(f"cannot assign {name!r} before Module.__init__() call")
        if isinstance(value, Parameter):
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self.add_module(name, value)
        elif name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as parameter '{name}' "
                    "(torch.nn.Parameter or None expected)"
                )
            self._parameters[name] = None
        elif name in self._modules:
            if value is not None:
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as child module '{name}' "
                    "(torch.nn.Module or None expected)"
                )
            self._modules[name] = None
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(
                    f"cannot assign '{type(value).__name__}' as buffer '{name}' (torch.Tensor or None expected)"
                )
            self._buffers[name] = value
        else:
            object.__setattr__(self, name, value)

    def __getattr__(self, name: str) -> Any:
        for registry in self.__dict__.get("_registries", ()):  # there are none before Module.__init__()
            if name in registry:
                return registry[name]
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __delattr__(self, name: str) -> None:
        for registry in (self._parameters, self._buffers, self._modules):
            if name in registry:
                del registry[name]
                return
        object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Make `param` this module's parameter `name`; None keeps the name without one."""
        self._forget(name, self._parameters)
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Make `tensor` part of the state without being a parameter; in `state_dict` only if persistent."""
        self._forget(name, self._buffers)
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """Make `module` this module's child `name`."""
        self._forget(name, self._modules)
        self._modules[name] = module

    def _forget(self, name: str, keep: Mapping[str, Any]) -> None:
        """A name means one thing: unregister it everywhere but in `keep`, where it keeps its place in the order."""
        if not name or "." in name:
            raise KeyError(f'a name of a parameter, buffer or module can\'t be empty or contain ".", but is {name!r}')
        self.__dict__.pop(name, None)
        for registry in (self._parameters, self._buffers, self._modules):
            if registry is not keep:
                registry.pop(name, None)

    # --- walking --------------------------------------------------------------------------------------------------

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, Module]]:
        """This module and all below it, each once, with dotted names."""
        yield from _once(self._walk(prefix))

    def _walk(self, prefix: str) -> Iterator[tuple[str, Module]]:
        yield prefix, self
        for name, child in self.named_children():
            yield from child._walk(_dotted(prefix, name))

    def modules(self) -> Iterator[Module]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below."""
        return ((name, child) for name, child in self._modules.items() if child is not None)

    def children(self) -> Iterator[Module]:
        """The modules directly below."""
        return (child for _, child in self.named_children())

    def named_parameters(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Parameter]]:
        """The parameters here and, with `recurse`, below, each once, with dotted names."""
        return _once(self._members(lambda module: module._parameters, prefix, recurse))

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters here and, with `recurse`, below, each once."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(self, prefix: str = "", recurse: bool = True) -> Iterator[tuple[str, Tensor]]:
        """The buffers here and, with `recurse`, below, each once, with dotted names."""
        return _once(self._members(lambda module: module._buffers, prefix, recurse))

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers here and, with `recurse`, below, each once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def _members(
        self, registry: Callable[[Module], dict[str, V | None]], prefix: str, recurse: bool
    ) -> Iterator[tuple[str, V]]:
        for module_name, module in self.named_modules(prefix) if recurse else [(prefix, self)]:
            for name, value in registry(module).items():
                if value is not None:
                    yield _dotted(module_name, name), value

    def get_submodule(self, target: str) -> Module:
        """The module at a dotted path; this one for an empty path."""
        module = self
        for name in filter(None, target.split(".")):
            child = module._modules.get(name)
            if child is None:
                raise AttributeError(f"{type(module).__name__} has no attribute `{name}`")
            module = child
        return module

    def apply(self, function: Callable[[Module], Any]) -> Self:
        """Call `function` on every module below, then on this one."""
        for child in self.children():
            child.apply(function)
        function(self)
        return self

    # --- modes and gradients --------------------------------------------------------------------------------------

    def train(self, mode: bool = True) -> Self:
        """Training behaviour here and below (batch statistics, dropout), or evaluation behaviour."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation behaviour here and below: running statistics, no dropout."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Train all parameters here and below, or freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad = requires_grad
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set them to zero."""
        for parameter in self.parameters():
            zero_gradient(parameter, set_to_none)

    # --- element types --------------------------------------------------------------------------------------------

    def to(self, *target: Any, dtype: DType | None = None, device: Any = None) -> Self:
        """Parameters and buffers of a float type become `dtype`, in place of their values; others stay.

        `to(dtype)`, `to(device)`, `to(device, dtype)`, or `to(tensor)` for the type of that. The one device is the CPU.
        """
        given = arguments_of_to(target)
        dtype, device = given.get("dtype", dtype), given.get("device", device)
        check_placement("to", {"device": device})
        if "tensor" in given:
            dtype = given["tensor"].dtype
        if dtype is None:
            return self
        wanted = as_numpy_dtype(dtype)
        if wanted.kind != "f":
            raise TypeError(f"a module can be of a floating point type only, but got {dtype}")
        tensors = [
            tensor for module in self.modules() for tensor in (*module._parameters.values(), *module._buffers.values())
        ]
        with np.errstate(all="ignore"):  # a value beyond the type becomes infinite, as in PyTorch
            for tensor in tensors:
                if tensor is not None and tensor.is_floating_point():
                    tensor.array = tensor.array.astype(wanted, copy=False)
                    tensor.grad = None if tensor.grad is None else Tensor(tensor.grad.array.astype(wanted, copy=False))
        return self

    def double(self) -> Self:
        """Parameters and buffers in float64."""
        return self.to(float64)

    def cpu(self) -> Self:
        """The module itself: it is there already."""
        return self

    def float(self) -> Self:
        """Parameters and buffers in float32."""
        return self.to(float32)

    # --- state ----------------------------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name, module by module; values are shared, not copied."""
        return {name: tensor.detach() for name, tensor in self._state()}

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Copy values (tensors or arrays) into the parameters and buffers of the same names.

        Returns the names missing and unexpected. With `strict` these raise a StateDictError, which is PyTorch's
        RuntimeError in kind and words; wrong shapes do in any case, before anything is copied.
        """
        optional = {
            _dotted(prefix, name) for prefix, module in self.named_modules() for name in module.optional_buffers
        }
        return load_into(dict(self._state()), state_dict, optional, strict=strict, owner=type(self).__name__)

    def _state(self) -> Iterator[tuple[str, Tensor]]:
        for prefix, module in self._walk(""):
            for name, parameter in module._parameters.items():
                if parameter is not None:
                    yield _dotted(prefix, name), parameter
            for name, buffer in module._buffers.items():
                if buffer is not None and name not in module._non_persistent:
                    yield _dotted(prefix, name), buffer

    # --- text -----------------------------------------------------------------------------------------------------

    def extra_repr(self) -> str:
        """The layer's own settings, shown between the brackets of its text."""
        return ""

    def __repr__(self) -> str:
        lines = [line for line in self.extra_repr().split("\n") if line]
        children = [f"({name}): " + repr(child).replace("\n", "\n  ") for name, child in self._modules.items()]
        if not children and len(lines) <= 1:
            return f"{type(self).__name__}({''.join(lines)})"
        return f"{type(self).__name__}(\n  " + "\n  ".join([*lines, *children]) + "\n)"


def _dotted(prefix: str, name: str) -> str:
    return f"{prefix}.{name}" if prefix else name


def _once(pairs: Iterator[tuple[str, V]]) -> Iterator[tuple[str, V]]:
    """The pairs whose value did not come before: a shared layer or parameter counts under its first name."""
    seen: set[int] = set()
    for name, value in pairs:
        if id(value) not in seen:
            seen.add(id(value))
            yield name, value
