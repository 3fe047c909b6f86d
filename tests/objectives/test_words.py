import pytest

from vae_jax.config import Config
from vae_jax.objectives import describe


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    (
      {},
      ['E_q[log p(x|z)] - KL', 'closed form', 'beta = 1', 'K = 1', 'nats'],
    ),
    ({}, ['pathwise', 'constants', 'averaged over the batch', 'bernoulli']),
    ({'form': 'entropy'}, ['-H[q]']),
    ({'form': 'joint', 'num_samples': 3}, ['sampled', 'K = 3']),
    ({'beta': 4.0}, ['- beta KL', 'beta = 4', 'reported has beta = 1']),
    ({'kl_warmup_epochs': 9}, ['from 0 to 1 over 9 epochs']),
    ({'free_bits': 0.25}, ['at least 0.25 nats']),
    ({'estimator': 'stl'}, ['sticking the landing', 'sampled']),
    ({'estimator': 'mixture'}, ['pathwise and stl', 'learned']),
    ({'posterior': 'full_normal'}, ['q(z|x) normal with full covariance']),
    (
      {'objective': 'iwae', 'num_samples': 5, 'estimator': 'dreg'},
      ['IWAE', 'log 1/K sum_k w_k', 'K = 5', 'doubly'],
    ),
    ({'objective': 'miwae', 'num_groups': 4}, ['M = 4 groups of K = 1']),
    ({'objective': 'piwae'}, ['for the decoder', 'for the encoder']),
    ({'objective': 'ciwae', 'elbo_weight': 0.3}, ['a = 0.3']),
    ({'objective': 'renyi', 'alpha': 0.7}, ['alpha = 0.7']),
    ({'likelihood': 'normal'}, ['p(x|z) normal (sigma learned), p(z)']),
    ({'likelihood': 'normal_fixed', 'sigma': 0.25}, ['(sigma = 0.25)']),
    ({'likelihood': 'normal_optimal'}, ['normal (sigma that of each batch']),
    ({'likelihood': 'discretised_logistic'}, ['p(x|z) discretised logistic,']),
    ({'likelihood': 'categorical'}, ['p(x|z) categorical of 256 levels']),
    ({'likelihood': 'continuous_bernoulli'}, ['p(x|z) continuous Bernoulli']),
  ],
)
def test_what_is_climbed_is_told(options, words):
  told = describe(Config(**options))
  for word in words:
    assert word in told
