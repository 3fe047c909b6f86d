"""Arguments of a wrong rank are refused on entry."""

import jax
import jax.numpy as jnp
import pytest

import vae_jax as vj
from vae_jax.objectives import log_mean_exp

Q = vj.Normal(jnp.zeros(2), jnp.zeros(2))
TWO = jnp.ones(2)


def new_key():
  return jax.random.key(0)


WRONG = {
  'elbo beta': lambda: vj.elbo(new_key(), Q, Q, jnp.sum, beta=TWO),
  'mixed_elbo beta': lambda: vj.mixed_elbo(
    new_key(), Q, Q, jnp.sum, coefficient=0.5, beta=TWO
  ),
  'mixed_elbo coefficient': lambda: vj.mixed_elbo(
    new_key(), Q, Q, jnp.sum, coefficient=TWO
  ),
  'mixed_iw_elbo coefficient': lambda: vj.mixed_iw_elbo(
    new_key(), Q, jnp.sum, num_samples=2, coefficient=TWO
  ),
  'posterior_elbo log_marginal': lambda: vj.posterior_elbo(Q, Q, TWO),
  'free_bits divergences': lambda: vj.free_bits(TWO, 0.1),
  'free_bits minimum': lambda: vj.free_bits(jnp.ones((3, 2)), TWO),
  'log_mean_exp matrix': lambda: log_mean_exp(jnp.ones((3, 2))),
  'log_mean_exp scalar': lambda: log_mean_exp(jnp.float32(1.0)),
}


@pytest.mark.parametrize('name', WRONG)
def test_wrong_ranks_are_refused(name):
  with pytest.raises(AssertionError, match='rank'):
    WRONG[name]()


@pytest.mark.parametrize(
  'bound',
  [
    lambda keys: vj.elbo(keys, Q, Q, jnp.sum),
    lambda keys: vj.iw_elbo(keys, Q, jnp.sum, num_samples=2),
    lambda keys: vj.piw_elbo(keys, Q, jnp.sum, num_groups=2, num_samples=2),
    lambda keys: vj.renyi_elbo(keys, Q, jnp.sum, num_samples=2, alpha=0.5),
  ],
)
def test_batch_of_keys_is_refused(bound):
  with pytest.raises(ValueError, match='single key'):
    bound(jax.random.split(new_key(), 3))


def test_checks_accept_traced_and_mapped_scalars():
  """`jit` passes tracers, `vmap` maps a batch of coefficients and betas."""

  def everything(key, beta, c, log_p, x):
    keys = jax.random.split(key, 3)
    log_joint = lambda z: -jnp.sum((z - x) ** 2)
    return (
      vj.elbo(keys[0], Q, Q, log_joint, beta=beta).elbo,
      vj.mixed_elbo(keys[1], Q, Q, log_joint, coefficient=c, beta=beta).elbo,
      vj.mixed_iw_elbo(keys[2], Q, log_joint, num_samples=2, coefficient=c),
      vj.posterior_elbo(Q, Q, log_p),
      vj.free_bits(x * jnp.ones((3, 2)), beta),
      log_mean_exp(x * jnp.ones(3)),
    )

  betas, cs = jnp.array([0.5, 2.0]), jnp.array([0.2, 0.8])
  keys = jax.random.split(new_key())
  batch = (keys, betas, cs, betas, cs)
  # The checks read shapes: tracing is enough.
  found = jax.eval_shape(jax.jit(jax.vmap(everything)), *batch)
  assert [leaf.shape for leaf in found] == [(2,)] * 6
