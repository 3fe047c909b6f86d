import dataclasses
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vae_jax import compatibility, latents, objectives
from vae_jax.config import Config
from vae_jax.distributions import has_kl
from vae_jax.errors import UserError
from vae_jax.model import make_vae

SMALL = {'latent_dim': 2, 'hidden_sizes': (4,)}


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'objective': 'iwae', 'num_samples': 2, 'estimator': 'stl'},
      '--estimator=stl with --num_samples=2.*biased.*--estimator=dreg',
    ),
    (
      {'objective': 'iwae', 'num_samples': 5, 'form': 'kl'},
      '--form=kl with --objective=iwae.*leave --form out',
    ),
    ({'objective': 'iwae', 'form': 'entropy'}, '--form=entropy with'),
    (
      {'posterior': 'bernoulli', 'prior': 'bernoulli'},
      '--estimator=pathwise with --posterior=bernoulli.*score_function',
    ),
    (
      {'posterior': 'bernoulli', 'estimator': 'score_function'},
      '--posterior=bernoulli with --prior=normal: one is discrete',
    ),
    ({'prior': 'bernoulli'}, '--posterior=normal with --prior=bernoulli'),
    ({'objective': 'iwae', 'estimator': 'vimco'}, '--num_samples=1.*2 or more'),
    ({'estimator': 'dreg'}, '--estimator=dreg with --objective=elbo.*one of'),
    ({'objective': 'miwae', 'estimator': 'stl'}, 'must be one of pathwise, d'),
    *(
      (
        {'objective': objective, 'estimator': 'score_function'},
        f'--objective={objective}: must be one of pathwise',
      )
      for objective in ('ciwae', 'piwae', 'renyi')
    ),
    (
      {'estimator': 'stl', 'form': 'entropy'},
      '--estimator=stl with --form=entropy.*--form=joint',
    ),
    ({'estimator': 'mixture', 'form': 'kl'}, '--estimator=mixture with --form'),
    (
      {'form': 'kl', 'posterior': 'logistic'},
      '--form=kl with --posterior=logistic --prior=normal.*no closed form',
    ),
    ({'free_bits': 0.5, 'form': 'joint'}, '--free_bits=0.5 with --form=joint'),
    ({'free_bits': 0.5, 'posterior': 'full_normal'}, 'each dimension'),
    ({'objective': 'iwae', 'beta': 2.0}, 'it belongs to --objective=elbo'),
    ({'objective': 'iwae', 'free_bits': 1.0}, 'belongs to --objective=elbo'),
    ({'objective': 'iwae', 'kl_warmup_epochs': 3}, 'belongs to'),
    ({'num_groups': 3}, 'belongs to --objective=miwae or piwae'),
    ({'alpha': 0.2}, 'belongs to --objective=renyi'),
    ({'objective': 'iwae', 'elbo_weight': 0.2}, 'to --objective=ciwae'),
    (
      {'likelihood': 'normal', 'sigma': 0.2},
      '--sigma=0.2 with --likelihood=normal: .*to --likelihood=normal_fixed',
    ),
  ],
)
def test_what_does_not_go_together_is_refused_with_the_reason(options, message):
  with pytest.raises(UserError, match=message) as error:
    Config(**options)
  assert '\n' not in str(error.value)


DISCRETE = {'posterior': 'bernoulli', 'prior': 'bernoulli', 'num_samples': 2}


@pytest.mark.parametrize(
  'options',
  [
    DISCRETE | {'estimator': 'score_function'},
    DISCRETE | {'estimator': 'vimco', 'objective': 'iwae'},
    {'estimator': 'stl', 'num_samples': 5},
    {'estimator': 'stl', 'objective': 'iwae', 'form': 'joint'},
    {'estimator': 'mixture', 'form': 'joint'},
    *(
      {'objective': objective, 'estimator': estimator, 'num_samples': 2}
      for objective, estimators in {
        'iwae': ('dreg', 'score_function', 'mixture'),
        'miwae': ('dreg', 'score_function', 'vimco'),
        'ciwae': ('dreg',),
      }.items()
      for estimator in estimators
    ),
    *({'objective': name, 'num_groups': 3} for name in ('miwae', 'piwae')),
  ],
)
def test_what_goes_together_is_taken(options):
  assert options.items() <= dataclasses.asdict(Config(**options)).items()


def test_the_likelihoods_of_a_support_are_told_as_a_flag():
  words = compatibility.likelihoods_of
  assert words(compatibility.BINARY) == '--likelihood=bernoulli'
  pixels = '--likelihood=discretised_logistic or categorical'
  assert words(compatibility.PIXELS) == pixels


def test_forms_resolve_to_the_most_that_is_closed():
  form = lambda **options: compatibility.resolve_form(Config(**options))
  assert form() == 'kl'
  assert form(form='entropy') == 'entropy'
  assert form(posterior='logistic') == 'entropy'
  assert form(estimator='stl') == 'joint'
  assert form(estimator='mixture') == 'joint'


@pytest.mark.parametrize('posterior', latents.POSTERIORS)
@pytest.mark.parametrize('prior', latents.PRIORS)
def test_the_closed_forms_told_here_are_those_there_are(posterior, prior):
  outputs = latents.POSTERIORS[posterior].outputs(2)
  zeros = {name: jnp.zeros(shape) for name, shape in outputs.items()}
  q = latents.POSTERIORS[posterior].make(**zeros)
  told = (posterior, prior) in compatibility.CLOSED_FORM_KL
  assert told == has_kl(q, latents.PRIORS[prior](2))
  # Every q has its entropy, which --form=auto falls back to.
  assert np.isfinite(q.entropy())


def allowed():
  """Every combination of families, objective, estimator and form."""
  fields = Config.__dataclass_fields__
  choices = lambda name: fields[name].metadata['choices']
  for posterior, prior, objective, estimator, form in itertools.product(
    *map(choices, ('posterior', 'prior', 'objective', 'estimator', 'form'))
  ):
    try:
      yield Config(
        **SMALL,
        posterior=posterior,
        prior=prior,
        objective=objective,
        estimator=estimator,
        form=form,
        num_samples=1 if estimator == 'stl' else 2,
      )
    except UserError:
      continue


def one_of_each():
  """An allowed combination for each value of each option, and each pair."""
  seen = set()
  for config in allowed():
    pairs = {
      (config.objective, config.estimator),
      (config.posterior, config.prior),
      (config.posterior, config.estimator),
      (config.form, config.estimator),
    }
    if pairs - seen:
      seen |= pairs
      yield config


def name(config):
  return '-'.join(
    [
      config.posterior,
      config.prior,
      config.objective,
      config.estimator,
      config.form,
    ]
  )


@pytest.mark.parametrize('config', list(one_of_each()), ids=name)
def test_what_is_allowed_gives_a_gradient_in_every_parameter(config):
  vae = make_vae(config, (2, 2, 1))
  params = vae.init(jax.random.key(0))
  x = jnp.arange(12.0).reshape(3, 2, 2, 1) % 2
  loss = objectives.make_loss(config, vae)
  gradient = jax.jit(jax.value_and_grad(loss, 1, has_aux=True))
  (value, _), grads = gradient(jax.random.key(1), params, x)
  assert np.isfinite(value)
  for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
    assert np.all(np.isfinite(leaf)), path
    assert np.any(leaf != 0), path
