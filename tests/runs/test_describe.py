import pytest

from vae_jax.runs.config import Config
from vae_jax.runs.describe import describe

BITS = {'posterior': 'bernoulli', 'prior': 'bernoulli', 'latent_dim': 8}


@pytest.mark.parametrize(
  ('options', 'words'),
  [
    (
      {},
      ['E_q[log p(x|z)] - KL', 'closed form', 'beta = 1', 'K = 1', 'nats'],
    ),
    ({}, ['pathwise', 'constants', 'averaged over the batch', 'bernoulli']),
    ({'form': 'entropy'}, ['-H[q]']),
    ({'form': 'joint', 'num_samples': 3}, ['by Monte Carlo', 'K = 3']),
    ({'beta': 4.0}, ['- beta KL', 'beta = 4', 'reported ELBO has beta = 1']),
    ({'kl_warmup_epochs': 9}, ['from 0 to 1 over 9 epochs']),
    ({'free_bits': 0.25}, ['0.25 nats of KL per latent dimension']),
    ({'estimator': 'stl'}, ['sticking the landing', 'by Monte Carlo']),
    ({'estimator': 'adaptive'}, ['pathwise and stl', 'learned']),
    (
      BITS | {'estimator': 'enumeration'},
      ['enumeration: the exact', 'every value of z, without samples'],
    ),
    (BITS | {'estimator': 'disarm', 'num_samples': 2}, ['antithetic', 'K = 2']),
    *(
      (
        BITS | {'estimator': name, 'temperature': 0.3},
        [
          f'gradient in the encoder: BIASED, {words}Gumbel-softmax',
          'temperature 0.3',
          'those of discrete z, unbiased',
        ],
      )
      for name, words in (
        ('gumbel_softmax', ''),
        ('straight_through', 'straight-through '),
      )
    ),
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
    (
      {'likelihood': 'normal_optimal'},
      ['normal (sigma optimal for each batch'],
    ),
    ({'likelihood': 'discretised_logistic'}, ['p(x|z) discretised logistic,']),
    ({'likelihood': 'categorical'}, ['p(x|z) categorical over 256 levels']),
    ({'likelihood': 'continuous_bernoulli'}, ['p(x|z) continuous Bernoulli']),
  ],
)
def test_the_objective_is_described(options, words):
  text = describe(Config(**options))
  for word in words:
    assert word in text


@pytest.mark.parametrize(
  ('options', 'model', 'equal'),
  [
    ({}, None, True),
    ({}, object(), False),
    ({'prior': 'realnvp'}, None, False),
    ({'latent_dims': (3, 2)}, None, False),
    ({'condition': 'labels', 'condition_prior': True}, None, False),
    ({'estimator': 'dreg'}, None, False),
  ],
)
def test_gdreg_of_a_prior_without_parameters_is_named_dreg(
  options, model, equal
):
  given = {'objective': 'iwae', 'num_samples': 2, 'estimator': 'gdreg'}
  text = describe(Config(**given | options), model)
  assert (
    'p(z) learns nothing: --estimator=gdreg is here dreg' in text
  ) == equal


def test_a_model_of_the_users_own_replaces_the_families():
  class Mine:
    pass

  text = describe(Config(), Mine())
  assert 'the model Mine' in text
  assert 'bernoulli' not in text
