"""Type aliases of arrays, keys, parameters and functions."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.typing.ArrayLike

# One typed key, from `jax.random.key`; a key is consumed once.
Key: TypeAlias = jax.Array

# Any pytree of arrays: a bare dict, Linen variables, `nnx.split` state.
Params: TypeAlias = Any

# One latent z: an array, or a dict of arrays by name for a hierarchy.
Latent: TypeAlias = Any

# One example: an array x, or any pytree such as `{'x': ..., 'y': ...}`.
Example: TypeAlias = Any

# z -> log p(z), [] for one event; closes over everything else it depends on.
LogDensity: TypeAlias = Callable[[Latent], Array]
