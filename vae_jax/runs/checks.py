"""The switch --check of `evaluate`: whether p(x|z) is a density at all."""

from typing import Any

from vae_jax.data import Rows
from vae_jax.errors import UserError
from vae_jax.evaluate import check_model, evaluation_keys
from vae_jax.evaluate.check_model import check_overlap
from vae_jax.models import LatentModel
from vae_jax.types import Params


def check_run(
  model: LatentModel, params: Params, x: Any, stored: Rows, train: Rows | None
) -> None:
  """Prints the checks of a model; raises `UserError` if one fails.

  Args:
    model: the model of the run.
    params: its parameters.
    x: preprocessed examples of a split.
    stored: the split as stored.
    train: the training split as stored, which must share no example; None for
      an evaluation of that split itself.
  """
  checks = [*check_model(evaluation_keys().check, model, params, x)]
  if train is not None:
    checks.append(check_overlap(stored.x, train.x))
  print('Checks of p(x|z)')
  for check in checks:
    print(f'  {check}')
  failed = [check.name for check in checks if check.passed is False]
  if failed:
    raise UserError(
      f'--check: the model failed {", ".join(failed)}: its likelihoods are not '
      'those of one example, and are not measured. Leave --check out to see '
      'them all the same'
    )
