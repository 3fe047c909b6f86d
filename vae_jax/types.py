"""Names for the arrays, keys and functions that the library passes around."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax

Array: TypeAlias = jax.Array
ArrayLike: TypeAlias = jax.typing.ArrayLike

# One typed key, from `jax.random.key`; a key is consumed once.
Key: TypeAlias = jax.Array

# Any pytree of arrays: a bare dict, Linen variables, `nnx.split` state.
Params: TypeAlias = Any

# z -> log p(z), [] for one event; closes over whatever else it depends on.
LogDensity: TypeAlias = Callable[[Array], Array]
