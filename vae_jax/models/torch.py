"""PyTorch modules as pure functions of jax, with first derivatives."""

import copy
import functools
import threading
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.errors import needs
from vae_jax.models import host_function
from vae_jax.types import Array, Params

Avals = tuple[jax.ShapeDtypeStruct, ...]


def from_torch(module: Any) -> tuple[Callable[..., Any], dict[str, Array]]:
  """Makes a pure function of jax from a `torch.nn.Module`, on the CPU.

  `apply(params, *args)` is `module(*args)` with these parameters. It runs under
  `jit`, `vmap` and `scan`, and has first derivatives in reverse mode, in params
  and arguments. `vmap` becomes `torch.vmap`: one call of the module per batch,
  equal to a loop over examples.

  The module is copied. Its buffers and frozen parameters are constants of
  `apply`. Integer arguments arrive as int64, the integers of torch.

  Args:
    module: in evaluation mode, of one precision, on the CPU. It draws no random
      numbers, and each operation has a rule of `torch.vmap`. `nn.GRU` and
      `nn.LSTM` have none.

  Returns:
    `(apply, params)`: `apply(params, *args)` returns a pytree of arrays; params
    maps the names of the parameters that `requires_grad` to arrays.

  Raises:
    UserError: torch is not installed.
    TypeError: `module` is no `torch.nn.Module`. When `apply` is called: an
      argument of more precision than the module, an output that is not a
      floating-point tensor, a second derivative, or one in forward mode.
    ValueError: a module in training mode, not on the CPU, or of a precision
      that jax does not hold. When `apply` is called: names of parameters that
      differ from those of the module, a module that draws random numbers, or
      that fails under `torch.vmap`.
  """
  with needs('recipes'):
    import torch

  if not isinstance(module, torch.nn.Module):
    raise TypeError(
      f'module: got {type(module).__name__}, expected a torch.nn.Module'
    )
  dtype = _check(module)
  function = _Module(copy.deepcopy(module), dtype)

  def apply(params: Params, *args: Any) -> Any:
    if sorted(params) != sorted(function.names):
      raise ValueError(
        f'params of {function!r}: got {sorted(params)}, expected '
        f'{sorted(function.names)}. Use those that from_torch returned'
      )
    leaves, tree = jax.tree.flatten(args)
    leaves = [_as_input(leaf, dtype) for leaf in leaves]
    bound = function.with_arguments(tree)
    inputs = [*(jnp.asarray(params[name]) for name in function.names), *leaves]
    structs = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in inputs)
    outputs, out_tree = bound.outputs(structs)
    found = host_function.call(bound, inputs, outputs)
    return jax.tree.unflatten(out_tree, found)

  return apply, {
    name: jnp.array(function.parameters[name].numpy())
    for name in function.names
  }


def _check(module: Any) -> np.dtype:
  """Returns the dtype of a module that is a function of its arguments alone."""
  name = type(module).__name__
  if any(part.training for part in module.modules()):
    # Dropout draws random numbers; BatchNorm mixes the examples of a batch.
    raise ValueError(
      f'{name}: got a module in training mode, expected evaluation mode. Call '
      'module.eval() before from_torch'
    )
  tensors = [*module.named_parameters(), *module.named_buffers()]
  dtypes = {}
  for key, tensor in tensors:
    if tensor.device.type != 'cpu':
      raise ValueError(
        f'{name}.{key}: got a tensor on {tensor.device}, expected the CPU. '
        'Call module.cpu() before from_torch'
      )
    if tensor.is_floating_point() or tensor.is_complex():
      dtypes[str(tensor.dtype).removeprefix('torch.')] = key
  widest = str(jnp.zeros((), float).dtype)
  held = sorted({'float32', widest})
  for dtype, key in dtypes.items():
    if dtype not in held:
      raise ValueError(
        f'{name}.{key}: got {dtype}, expected {" or ".join(held)}. Call '
        'module.float() before from_torch'
      )
  if len(dtypes) > 1:
    raise ValueError(
      f'{name}: got {" and ".join(sorted(dtypes))}, expected one precision. '
      'Call module.float() before from_torch'
    )
  return np.dtype(next(iter(dtypes), 'float32'))


def _as_input(leaf: Any, dtype: np.dtype) -> Array:
  """Returns an argument as an array in the precision of the module."""
  x = jnp.asarray(leaf)
  if not jnp.issubdtype(x.dtype, jnp.floating):
    return x
  if jnp.promote_types(x.dtype, dtype) != dtype:
    raise TypeError(
      f'argument of a torch module: got {x.dtype}, expected {dtype}. Convert '
      'it, or the module'
    )
  return x.astype(dtype)


class _Module:
  """The module and its lock, shared by its functions of one tree of arguments.

  Attributes:
    module: a copy that nothing else holds.
    dtype: dtype of its floating-point tensors.
    names: names of the parameters that are inputs, in order.
    parameters: their values, by name.
  """

  def __init__(self, module: Any, dtype: np.dtype):
    self.module, self.dtype = module, dtype
    self.parameters = {
      name: parameter.detach()
      for name, parameter in module.named_parameters()
      if parameter.requires_grad
    }
    self.names = tuple(self.parameters)
    # `functional_call` puts its parameters into the module for a while, and XLA
    # may call from two threads.
    self.lock = threading.Lock()
    self.with_arguments = functools.cache(functools.partial(_Function, self))

  def __repr__(self) -> str:
    return f'torch module {type(self.module).__name__}'


class _Function:
  """A `HostFunction` of parameters and arguments of one tree."""

  def __init__(self, owner: _Module, tree: Any):
    self.owner, self.tree = owner, tree
    self.outputs = functools.cache(self._outputs)

  def __repr__(self) -> str:
    return repr(self.owner)

  def _call(self, *tensors: Any) -> tuple[tuple[Any, ...], Any]:
    """Returns the outputs for one example, and their tree."""
    import torch

    count = len(self.owner.names)
    params = dict(zip(self.owner.names, tensors[:count], strict=True))
    args = jax.tree.unflatten(self.tree, tensors[count:])
    found = torch.func.functional_call(self.owner.module, params, args)
    leaves, tree = jax.tree.flatten(found)
    return tuple(leaves), tree

  def _value(self, *tensors: Any) -> tuple[Any, ...]:
    return self._call(*tensors)[0]

  def _outputs(self, inputs: Avals) -> tuple[list[Any], Any]:
    """Returns shapes, dtypes and tree of the outputs, from calls on zeros."""
    import torch

    zeros = [_tensor(np.zeros(x.shape, x.dtype)) for x in inputs]
    shapes = [x.shape for x in inputs[len(self.owner.names) :]]
    called = f'{self!r} of arguments of shapes {shapes}'
    with self.owner.lock:
      try:
        outputs, tree = self._call(*zeros)
      except Exception as error:
        raise ValueError(f'{called}: {_first_line(error)}') from error
      self._check_outputs(outputs)
      try:
        # An operation that draws random numbers raises under `vmap`.
        torch.vmap(self._value)(*(x[None] for x in zeros))
      except Exception as error:
        raise ValueError(
          f'{called}: fails under torch.vmap, expected a module without random '
          f'numbers, of operations that have its rule: {_first_line(error)}'
        ) from error
    structs = [jax.ShapeDtypeStruct(x.shape, self.owner.dtype) for x in outputs]
    return structs, tree

  def _check_outputs(self, outputs: Any) -> None:
    expected = self.owner.dtype
    for x in outputs:
      got = str(getattr(x, 'dtype', type(x).__name__)).removeprefix('torch.')
      if got != expected:
        raise TypeError(f'output of {self!r}: got {got}, expected {expected}')

  def value(self, inputs: Any, *, batch_axes: int) -> list[np.ndarray]:
    """Implements `HostFunction`."""
    with self.owner.lock:
      found = _over_axes(self._value, map(_tensor, inputs), batch_axes)
    return _arrays(found)

  def pullback(
    self,
    inputs: Any,
    cotangents: Any,
    *,
    which: tuple[int, ...],
    batch_axes: int,
    map_axes: int,
  ) -> list[np.ndarray]:
    """Implements `HostFunction`."""
    import torch

    count = len(inputs)

    def pull(*tensors: Any) -> tuple[Any, ...]:
      def value(*chosen: Any) -> tuple[Any, ...]:
        given = list(tensors[:count])
        for i, tensor in zip(which, chosen, strict=True):
          given[i] = tensor
        return _over_axes(self._value, given, batch_axes)

      vjp = torch.func.vjp(value, *(tensors[i] for i in which))[1]
      return vjp(tuple(tensors[count:]))

    with self.owner.lock:
      tensors = map(_tensor, (*inputs, *cotangents))
      found = _over_axes(pull, tensors, map_axes)
    return _arrays(found)


def _over_axes(
  function: Callable[..., tuple[Any, ...]], tensors: Any, axes: int
) -> tuple[Any, ...]:
  """Maps over leading axes, along which a tensor has the size or 1."""
  import torch

  tensors = tuple(tensors)
  if axes == 0:
    return function(*tensors)
  dims = tuple(0 if x.shape[0] > 1 else None for x in tensors)
  given = [
    x[0] if dim is None else x for x, dim in zip(tensors, dims, strict=True)
  ]
  inner = lambda *tensors: _over_axes(function, tensors, axes - 1)
  if all(dim is None for dim in dims):
    return tuple(x[None] for x in inner(*given))
  return torch.vmap(inner, dims)(*given)


def _tensor(x: np.ndarray) -> Any:
  """Returns a tensor with memory of its own."""
  import torch

  if jnp.issubdtype(x.dtype, jnp.integer):
    x = x.astype(np.int64)
  return torch.tensor(x)


def _first_line(error: Exception) -> str:
  return (str(error).strip().splitlines() or [type(error).__name__])[0]


def _arrays(tensors: Any) -> list[np.ndarray]:
  return [x.detach().contiguous().numpy() for x in tensors]
