"""Compilation of programs that run once or a few times."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp


def quick_jit(
  function: Callable[..., Any], *, static_argnames: Sequence[str] = ()
) -> Callable[..., Any]:
  """Compiles as `jax.jit`, on a CPU with fewer optimisations by LLVM.

  For a program that runs a few times. At the default level LLVM takes a second
  to unroll and vectorise the generator of random normals of one program, and
  the program, whose time is spent in matrix products, runs no faster. The
  results are equal up to the order of sums.

  Args:
    function: function of positional arguments that are pytrees of arrays, and
      of keyword arguments that are compile-time constants.
    static_argnames: names of the latter.

  Returns:
    The compiled function; within another `jit`, `vmap` or `grad`, that of
    `jax.jit`.
  """
  compiled = {
    quick: jax.jit(
      function,
      static_argnames=tuple(static_argnames),
      compiler_options={'xla_backend_optimization_level': 1} if quick else None,
    )
    for quick in (False, True)
  }

  def call(*args: Any, **static: Any) -> Any:
    return compiled[_is_on_cpu(args)](*args, **static)

  return call


def _is_on_cpu(args: Any) -> bool:
  """Returns whether a call is a program of its own, and on a CPU."""
  # XLA takes options for whole programs only. While another program is traced,
  # every result is a tracer.
  values = (*jax.tree.leaves(args), jnp.zeros(()))
  if any(isinstance(x, jax.core.Tracer) for x in values):
    return False
  # A setting for programs that are compiled even faster.
  if jax.config.values.get('jax_disable_most_optimizations'):
    return False
  device = getattr(jax.config, 'jax_default_device', None)
  platform = getattr(device, 'platform', device) or jax.default_backend()
  return bool(platform == 'cpu')
