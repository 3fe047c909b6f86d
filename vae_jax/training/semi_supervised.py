"""Semi-supervised training (M2) by exact enumeration of the classes."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax.models.options import options_of
from vae_jax.models.semi_supervised import SemiSupervisedVAE
from vae_jax.objectives import OBJECTIVES
from vae_jax.objectives.elbo import weigh_divergence
from vae_jax.training.loss import LossFn, batch_size_of, example_keys
from vae_jax.types import Array, ArrayLike, Key, Params

# Share of a batch that is labelled: more than of all examples, so that the
# gradient of the classifier has a label in every step.
_LABELLED_SHARE = 0.1


class Bound(NamedTuple):
  """A bound for one example, in nats.

  Attributes:
    elbo: the bound.
    weighted: bound with beta times the KL of z, for the loss.
  """

  elbo: Array
  weighted: Array


def labelled_per_batch(batch_size: int) -> int:
  """Returns how many examples of a batch, its first, are labelled."""
  return max(1, round(_LABELLED_SHARE * batch_size))


def make_bounds(
  model: SemiSupervisedVAE,
  *,
  form: str = 'auto',
  estimator: str = 'pathwise',
  num_samples: int = 1,
  temperature: float = 0.5,
) -> tuple[Callable[..., Bound], Callable[..., Bound]]:
  """Makes the bounds of one example with and without its label.

  labelled:    log p(x, y) >= -L(x, y) = log p(y) + ELBO of x given y
  unlabelled:  log p(x) >= -U(x) = sum_y q(y|x) (-L(x, y)) + H[q(y|x)]

  Args:
    model: the model; p(y) is uniform.
    form: form of the ELBO of x given y.
    estimator: gradient with respect to q(z|x, y), one that the ELBO admits but
      'adaptive'.
    num_samples: samples of z per example and class.
    temperature: temperature of 'gumbel_softmax' and 'straight_through'.

  Returns:
    `labelled(key, params, x, y, beta)` and `unlabelled(key, params, x, beta)`;
    beta, the weight of the KL of z in `Bound.weighted`, is 1 by default.

  References:
    Kingma, Mohamed, Rezende and Welling 2014, Semi-supervised Learning with
    Deep Generative Models, eq. (6), (7).
  """
  options = {
    'form': form,
    'estimator': estimator,
    'num_samples': num_samples,
    'temperature': temperature,
  }
  log_p_y = -jnp.log(float(model.num_classes))

  def labelled(
    key: Key, params: Params, x: Array, y: Array, beta: ArrayLike = 1.0
  ) -> Bound:
    inference = model.condition(params, {'x': x, 'y': y})
    of_x = *inference[:2], inference.log_likelihood
    found = OBJECTIVES['elbo'].terms(key, *of_x, **options)
    cost = weigh_divergence(beta, found['kl'])
    weighted = found['log_likelihood'] - cost
    return Bound(found['elbo'] + log_p_y, weighted + log_p_y)

  def unlabelled(
    key: Key, params: Params, x: Array, beta: ArrayLike = 1.0
  ) -> Bound:
    q = model.classify(params, x)
    classes = jnp.arange(model.num_classes)
    keys = jax.random.split(key, len(classes))
    of_class = lambda key, y: labelled(key, params, x, y, beta)
    each = jax.vmap(of_class)(keys, classes)
    weights = jnp.exp(q.log_probabilities)
    return Bound(*(jnp.sum(weights * x) + q.entropy() for x in each))

  return labelled, unlabelled


def make_semi_supervised_loss(
  model: SemiSupervisedVAE,
  config: Any = None,
  *,
  labelled_share: float,
  form: str = 'auto',
  estimator: str = 'pathwise',
  num_samples: int = 1,
  temperature: float = 0.5,
  beta: float = 1.0,
  classification_weight: float = 0.1,
) -> LossFn:
  """Makes the semi-supervised loss per training example, J^alpha / N.

  rho mean_l L(x, y) + (1 - rho) mean_u U(x) - w mean_l log q(y|x),

  with means over the labelled and the unlabelled examples of a batch, and rho
  the labelled share of the training set: an unbiased estimate for batches of
  any composition. The labels of the unlabelled examples are not read.

  Args:
    model: the model.
    config: the part `objective` of a config, in place of the arguments below.
    labelled_share: rho = N_l / N.
    form: form of the ELBO of x given y.
    estimator: as in `make_bounds`.
    num_samples: samples of z per example and class.
    temperature: as in `make_bounds`.
    beta: weight of the KL of z; `loss(..., beta=...)` overrides it. The terms
      have beta = 1.
    classification_weight: w; alpha = w N in the paper, which has w = 0.1.

  Returns:
    `loss(key, params, batch) -> (loss, terms)`, where the first
    `labelled_per_batch(B)` examples of the batch are the labelled ones. The
    terms are `elbo`, the estimate of -J / N, its two means `labelled_elbo` and
    `unlabelled_elbo`, and `classification_loss`, `[]` each.

  References:
    Kingma, Mohamed, Rezende and Welling 2014, eq. (8), (9).
  """
  if config is not None:
    options = options_of(make_semi_supervised_loss, config)
    return make_semi_supervised_loss(
      model, labelled_share=labelled_share, **options
    )
  elbo_options: dict[str, Any] = {'form': form, 'estimator': estimator}
  elbo_options |= {'num_samples': num_samples, 'temperature': temperature}
  labelled, unlabelled = make_bounds(model, **elbo_options)
  default_beta, rho = beta, labelled_share

  def mix(first: Array, second: Array) -> Array:
    return rho * jnp.mean(first) + (1 - rho) * jnp.mean(second)

  def loss(
    key: Key, params: Params, batch: Any, *, beta: Any = default_beta
  ) -> tuple[Array, dict[str, Array]]:
    count = labelled_per_batch(batch_size_of(batch))
    keys = example_keys(key, batch)
    x, y = batch['x'], batch['y'][:count]
    known = jax.vmap(labelled, (0, None, 0, 0, None))(
      keys[:count], params, x[:count], y, beta
    )
    other = jax.vmap(unlabelled, (0, None, 0, None))(
      keys[count:], params, x[count:], beta
    )
    log_q = jax.vmap(lambda x, y: model.classify(params, x).log_prob(y))
    classification = -jnp.mean(log_q(x[:count], y))
    terms = {
      'elbo': mix(known.elbo, other.elbo),
      'labelled_elbo': jnp.mean(known.elbo),
      'unlabelled_elbo': jnp.mean(other.elbo),
      'classification_loss': classification,
    }
    cost = classification_weight * classification
    return cost - mix(known.weighted, other.weighted), terms

  return loss


def choose_labelled(
  y: np.ndarray, num_labelled: int, num_classes: int, seed: int
) -> np.ndarray:
  """Chooses the examples whose labels are seen, equally many per class.

  Args:
    y: classes of the training examples, integers `[N]`.
    num_labelled: number of examples to choose; a remainder goes to the first
      classes.
    num_classes: number of classes.
    seed: seed of the choice.

  Returns:
    Rows, sorted, `[num_labelled]`.

  Raises:
    ValueError: a class has too few examples.
  """
  # NumPy guarantees the stream of RandomState, but not that of default_rng.
  order = np.random.RandomState(seed).permutation(len(y))
  chosen = []
  for each in range(num_classes):
    wanted = num_labelled // num_classes + (each < num_labelled % num_classes)
    own = order[y[order] == each]
    if len(own) < wanted:
      raise ValueError(
        f'class {each} has {len(own)} training examples, fewer than {wanted}'
      )
    chosen.append(own[:wanted])
  return np.sort(np.concatenate(chosen))


def make_labelled_indices(
  labelled: np.ndarray, num_examples: int, batch_size: int
) -> Callable[[Key, Array], Array]:
  """Makes the rows of each batch, its labelled examples first.

  Both parts go through a new permutation of their examples, again and again
  within an epoch where they are few.

  Args:
    labelled: rows of the labelled examples.
    num_examples: examples of the training set, N.
    batch_size: examples per batch, B.

  Returns:
    `indices(order_key, epoch)`, `[N // B, B]` int32, a pure function.
  """
  steps, count = num_examples // batch_size, labelled_per_batch(batch_size)
  mask = np.zeros(num_examples, bool)
  mask[labelled] = True
  known, other = (np.flatnonzero(x).astype(np.int32) for x in (mask, ~mask))

  def indices(order_key: Key, epoch: Array) -> Array:
    key = jax.random.fold_in(order_key, epoch)
    known_key, other_key = jax.random.split(key)
    first = _cycle(known_key, known, steps * count)
    rest = _cycle(other_key, other, steps * (batch_size - count))
    parts = (part.reshape(steps, -1) for part in (first, rest))
    return jnp.concatenate([*parts], axis=1)

  return indices


def _cycle(key: Key, rows: np.ndarray, count: int) -> Array:
  """Returns `count` rows from consecutive permutations of all."""
  keys = jax.random.split(key, -(-count // len(rows)))
  orders = jax.lax.map(lambda key: jax.random.permutation(key, rows), keys)
  return orders.reshape(-1)[:count]
