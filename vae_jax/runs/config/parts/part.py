"""Base class of the parts of a config."""

from vae_jax.runs.config.options import validate


class Part:
  """Validates its options when it is made."""

  def __post_init__(self) -> None:
    validate(self)
