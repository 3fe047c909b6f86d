"""Options that exclude each other, and the table of those that do not."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from vae_jax.distributions import has_kl
from vae_jax.errors import UserError
from vae_jax.models import POSTERIORS, PRIORS, priors
from vae_jax.models.supports import BINARY, PIXELS
from vae_jax.objectives import ESTIMATORS, OBJECTIVES
from vae_jax.runs import combinations
from vae_jax.runs.config import Config, ModelOptions, conflicts

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
      '--posterior=bernoulli with --prior=normal: .* over zeros and ones and '
      'p.z. over real numbers',
    ),
    ({'prior': 'bernoulli'}, '--posterior=normal with --prior=bernoulli'),
    (
      {'posterior': 'gamma'},
      '--prior=normal: q.z.x. is over positive numbers and p.z. over real',
    ),
    ({'posterior': 'beta', 'prior': 'gamma'}, 'numbers in .0, 1. and p'),
    ({'posterior': 'gamma', 'prior': 'categorical'}, 'over labels; use two'),
    (
      {'posterior': 'low_rank_normal', 'posterior_rank': 11},
      '--posterior_rank=11 with --latent_dim=10: .* or --posterior=full_normal',
    ),
    (
      {'posterior': 'iaf', 'posterior_width': 9},
      '--posterior_width=9 with --latent_dim=10: .*use 10 or more',
    ),
    ({'posterior_rank': 3}, 'belongs to --posterior=low_rank_normal'),
    ({'posterior_depth': 3}, 'belongs to --posterior=iaf or realnvp'),
    ({'posterior': 'iaf', 'posterior_depth': 0}, 'expected at least 1'),
    ({'posterior': 'student_t', 'posterior_df': 2.0}, 'a number above 2'),
    ({'num_categories': 3}, 'belongs to --posterior=categorical'),
    ({'posterior': 'iaf', 'form': 'entropy'}, 'its entropy has no closed form'),
    ({'objective': 'iwae', 'estimator': 'vimco'}, '--num_samples=1.*2 or more'),
    ({'estimator': 'dreg'}, '--estimator=dreg with --objective=elbo.*one of'),
    ({'objective': 'miwae', 'estimator': 'stl'}, 'expected one of pathwise, d'),
    *(
      (
        {'objective': objective, 'estimator': 'score_function'},
        f'--objective={objective}: expected one of pathwise',
      )
      for objective in ('ciwae', 'piwae', 'renyi')
    ),
    (
      {'estimator': 'stl', 'form': 'entropy'},
      '--estimator=stl with --form=entropy.*--form=joint',
    ),
    ({'estimator': 'adaptive', 'form': 'kl'}, '--estimator=adaptive with --f'),
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
    ({'latent_dims': (3,)}, '--latent_dims=3: one layer; use --latent_dim=3'),
    (
      {'latent_dims': (3, 2), 'latent_dim': 4},
      '--latent_dim=4 with --latent_dims=3,2: .*leave --latent_dim out',
    ),
    ({'inference': 'top_down'}, '--inference=top_down with one stochastic l'),
    ({'layer_hidden_sizes': (7,)}, '--layer_hidden_sizes=7 with one stoch'),
    (
      {'latent_dims': (3, 2), 'posterior': 'full_normal'},
      '--posterior=full_normal with --latent_dims=3,2: .*location and scale',
    ),
    (
      {
        'latent_dims': (3, 2),
        'likelihood': 'poisson',
        'size_factor': 'total',
      },
      '--size_factor=total with --latent_dims=3,2: .*one layer',
    ),
    (
      {'latent_dims': (3, 2), 'prior': 'bernoulli'},
      '--prior=bernoulli: q.* over real numbers and p.* over zeros and ones',
    ),
    (
      {'latent_dims': (3, 2), 'form': 'kl'},
      '--form=kl with --latent_dims=3,2 .*no closed form; use --form=joint',
    ),
    ({'latent_dims': (3, 2), 'form': 'entropy'}, '--latent_dims=3,2 .*entropy'),
    (
      {'latent_dims': (3, 2), 'free_bits': 0.5},
      '--free_bits=0.5 with --form=joint --latent_dims=3,2',
    ),
    ({'estimator': 'gdreg'}, '--estimator=gdreg with --objective=elbo'),
    (
      {'likelihood': 'normal', 'sigma': 0.2},
      '--sigma=0.2 with --likelihood=normal: .*to --likelihood=normal_fixed',
    ),
    (
      {'network': 'conv', 'hidden_sizes': (30, 20)},
      '--hidden_sizes=30,20 with --network=conv: it belongs to --network=mlp o',
    ),
    (
      {'network': 'gated_mlp', 'activation': 'relu'},
      '--activation=relu with --network=gated_mlp: it belongs to --network=mlp',
    ),
    ({'channels': (3,)}, '--channels=3 with --network=mlp: it belongs to --ne'),
    ({'network': 'conv', 'num_blocks': 2}, '--network=conv.*--network=resnet'),
    (
      {'network': 'conv', 'channels': ()},
      '--channels with --network=conv: got',
    ),
    ({'num_mixtures': 3}, 'belongs to --likelihood=discretised_logistic_mix'),
    ({'size_factor': 'total'}, '--size_factor=total with --likelihood=bernou'),
  ],
)
def test_conflicting_options_are_refused_with_the_reason(options, message):
  with pytest.raises(UserError, match=message) as error:
    Config(**options)
  assert '\n' not in str(error.value)


DISCRETE = {'posterior': 'bernoulli', 'prior': 'bernoulli', 'num_samples': 2}
BITS = {'posterior': 'bernoulli', 'prior': 'bernoulli', 'latent_dim': 8}
LABELS = {'posterior': 'categorical', 'prior': 'categorical'}


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      BITS | {'estimator': 'enumeration', 'latent_dim': 13},
      '--estimator=enumeration with --posterior=bernoulli --latent_dim=13: z '
      r'has 2\^13 values, more than 4096; use a smaller --latent_dim',
    ),
    (
      BITS | {'estimator': 'enumeration', 'latent_dim': 10**6},
      r'2\^1000000 values',
    ),
    (LABELS | {'estimator': 'enumeration'}, r'z has 10\^10 values'),
    (
      {'estimator': 'enumeration'},
      '--estimator=enumeration with --posterior=normal: it needs '
      '--posterior=bernoulli or categorical',
    ),
    (
      BITS | {'estimator': 'enumeration', 'objective': 'iwae'},
      '--estimator=enumeration with --objective=iwae: expected one of',
    ),
    (
      BITS | {'estimator': 'enumeration', 'num_samples': 5},
      '--num_samples=5: it sums over every z and draws none; leave',
    ),
    (
      LABELS | {'estimator': 'disarm', 'num_samples': 2},
      '--estimator=disarm with --posterior=categorical: it needs '
      '--posterior=bernoulli; use another',
    ),
    *(
      (
        BITS | {'estimator': 'disarm', 'num_samples': count},
        f'--num_samples={count}: it draws antithetic pairs; use an even number',
      )
      for count in (1, 3)
    ),
    (
      BITS | {'estimator': 'gumbel_softmax', 'form': 'joint'},
      '--estimator=gumbel_softmax with --form=joint .*use --form=kl',
    ),
    (
      BITS | {'estimator': 'straight_through', 'prior': 'vamp'},
      '--form=entropy --posterior=bernoulli --prior=vamp: .*use --form=kl',
    ),
    *(
      (
        BITS | {'estimator': 'gumbel_softmax', 'temperature': bad},
        f'--temperature: got {bad}, expected a number above 0',
      )
      for bad in (0.0, -1.0)
    ),
    (
      BITS | {'estimator': 'score_function', 'temperature': 0.3},
      '--temperature=0.3 with --estimator=score_function: it belongs to '
      '--estimator=gumbel_softmax or straight_through',
    ),
  ],
)
def test_impossible_options_of_discrete_latents_are_refused(options, message):
  with pytest.raises(UserError, match=message) as error:
    Config(**options)
  assert '\n' not in str(error.value)


@pytest.mark.parametrize(
  'options',
  [
    DISCRETE | {'estimator': 'score_function'},
    DISCRETE | {'estimator': 'vimco', 'objective': 'iwae'},
    DISCRETE | {'estimator': 'disarm', 'form': 'joint'},
    BITS | {'estimator': 'enumeration', 'latent_dim': 12},
    BITS | {'estimator': 'enumeration', 'prior': 'vamp'},
    BITS | {'estimator': 'gumbel_softmax', 'temperature': 0.1},
    LABELS | {'estimator': 'straight_through', 'num_samples': 3},
    LABELS | {'estimator': 'enumeration', 'latent_dim': 1},
    {'estimator': 'stl', 'num_samples': 5},
    {'estimator': 'stl', 'objective': 'iwae', 'form': 'joint'},
    {'estimator': 'adaptive', 'form': 'joint'},
    *(
      {'objective': objective, 'estimator': estimator, 'num_samples': 2}
      for objective, estimators in {
        'iwae': ('dreg', 'score_function', 'adaptive'),
        'miwae': ('dreg', 'score_function', 'vimco'),
        'ciwae': ('dreg',),
      }.items()
      for estimator in estimators
    ),
    *({'objective': name, 'num_groups': 3} for name in ('miwae', 'piwae')),
  ],
)
def test_legal_combinations_are_accepted(options):
  assert options.items() <= Config(**options).flat().items()


def test_likelihoods_of_a_support_are_named_as_a_flag():
  words = conflicts.likelihoods_of
  assert words(BINARY) == '--likelihood=bernoulli'
  assert words(PIXELS) == (
    '--likelihood=discretised_logistic, categorical or '
    'discretised_logistic_mixture'
  )


def test_form_auto_is_the_most_closed_form():
  form = lambda **options: conflicts.form_of(Config(**options))
  assert form() == 'kl'
  assert form(form='entropy') == 'entropy'
  assert form(posterior='logistic') == 'entropy'
  assert form(estimator='stl') == 'joint'
  assert form(estimator='adaptive') == 'joint'


def test_a_prior_that_contains_q_is_refused_for_several_layers(monkeypatch):
  head = lambda size: priors.PriorHead(lambda _, encode: encode(jnp.zeros(2)))
  monkeypatch.setitem(PRIORS, 'of_q', priors.Prior('q of zeros', head))
  monkeypatch.setitem(POSTERIORS, 'normal', POSTERIORS['normal'])
  field = ModelOptions.__dataclass_fields__['prior']
  monkeypatch.setattr(field, 'metadata', {**field.metadata, 'choices': PRIORS})
  Config(prior='of_q')
  with pytest.raises(UserError, match='--prior=of_q with --latent_dims=3,2: a'):
    Config(prior='of_q', latent_dims=(3, 2))


def test_a_prior_without_a_transform_is_refused_for_gdreg(monkeypatch):
  head = lambda size: priors.PriorHead(
    lambda *_: vj.Gamma(jnp.ones(size), jnp.zeros(size))
  )
  monkeypatch.setitem(PRIORS, 'gamma_', priors.Prior('gamma', head))
  options = {'objective': 'iwae', 'prior': 'gamma_', 'posterior': 'gamma'}
  with pytest.raises(UserError, match='--estimator=gdreg with --prior=gamma_'):
    Config(**options, estimator='gdreg')


def test_layers_take_every_objective_of_form_joint():
  layers = {'latent_dims': (3, 2), 'hidden_sizes': (4,)}
  for inference in ('bottom_up', 'top_down'):
    config = Config(**layers, inference=inference)
    assert conflicts.form_of(config) == 'joint'
    assert Config.from_record(config.record()) == config
  Config(**layers, posterior='laplace', prior='logistic', beta=2.0)


@pytest.mark.slow
@pytest.mark.parametrize('inference', ['bottom_up', 'top_down'])
def test_layers_have_a_gradient_in_every_legal_combination(inference):
  options = {'latent_dims': (3, 2), 'hidden_sizes': (4,)}
  for objective, row in OBJECTIVES.items():
    for estimator in row.estimators:
      if ESTIMATORS[estimator].families:  # Layers are continuous.
        continue
      config = Config(
        **options,
        inference=inference,
        objective=objective,
        estimator=estimator,
        num_samples=1 if estimator == 'stl' else 2,
      )
      grad, init = gradient(config)
      params = jax.eval_shape(init, jax.random.key(0))
      assert jax.eval_shape(grad, params).keys() == params.keys()


@pytest.mark.slow
def test_conflicts_know_the_closed_forms_of_the_distributions():
  for posterior, prior in itertools.product(POSTERIORS, PRIORS):
    model = ModelOptions(posterior=posterior, prior=prior, hidden_sizes=())
    q, p = conflicts.latent_pair(model)
    vae = vj.make_vae(model, (2,))
    params = jax.eval_shape(vae.init, jax.random.key(0))
    q_real = jax.eval_shape(vae.encode, params, jnp.zeros(2))
    p_real = jax.eval_shape(vae.prior, params)
    assert type(q) is type(q_real)
    assert type(p) is type(p_real)
    assert has_kl(q, p) == has_kl(q_real, p_real)
    assert q.has_entropy == q_real.has_entropy
    # Every q but a flow has an entropy, the second choice of --form=auto.
    assert q.has_entropy == (posterior not in ('iaf', 'realnvp'))


@pytest.mark.slow
def test_conflicts_start_no_backend():
  """Else a run on the CPU would take the memory of a GPU."""
  import subprocess
  import sys

  code = (
    'from vae_jax.runs.config import Config; Config(); '
    'from jax._src import xla_bridge; print(len(xla_bridge._backends))'
  )
  result = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert result.stdout == '0\n'


LEGAL = list(combinations.combinations(**SMALL))


def subset(*names):
  """Returns a legal config for each value of a tuple of options."""
  found = {}
  for config in LEGAL:
    flat = config.flat()
    found.setdefault(tuple(flat[name] for name in names), config)
  return found


def gradient(config):
  """Returns the gradient of the loss of three tiny images."""
  model = vj.make_vae(config, (2, 2, 1))
  x = jnp.arange(12.0).reshape(3, 2, 2, 1) % 2
  loss = vj.make_loss(model, config.objective)
  one = lambda params: loss(jax.random.key(1), params, x)[0]
  return jax.grad(one), model.init


@pytest.mark.slow
@pytest.mark.parametrize(
  'config',
  subset('objective', 'estimator').values(),
  ids=lambda c: f'{c.objective.objective}-{c.objective.estimator}',
)
def test_every_estimator_gives_a_gradient_in_every_parameter(config):
  grad, init = gradient(config)
  grads = jax.jit(lambda: grad(init(jax.random.key(0))))()
  for path, leaf in jax.tree_util.tree_leaves_with_path(grads):
    assert np.all(np.isfinite(leaf)), path
    assert np.any(leaf != 0), path


@pytest.mark.parametrize(
  'pair', [('posterior', 'estimator'), ('posterior', 'prior', 'form')]
)
@pytest.mark.long
@pytest.mark.slow
def test_every_pair_of_options_has_a_gradient(pair):
  """Traced: an estimator that q does not admit raises while tracing."""
  for config in subset(*pair).values():
    grad, init = gradient(config)
    params = jax.eval_shape(init, jax.random.key(0))
    assert jax.eval_shape(grad, params).keys() == params.keys()


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    (
      {'num_components': 3},
      '--num_components=3 with --prior=normal: it belongs to --prior=mixture',
    ),
    ({'prior_depth': 0}, '--prior_depth: got 0, expected at least 1'),
    ({'num_pseudo_inputs': 0}, '--num_pseudo_inputs: got 0, expected at least'),
    (
      {'prior': 'mixture', 'posterior': 'bernoulli'},
      'q.* is over zeros and ones and p.* over real numbers',
    ),
    ({'prior': 'vamp', 'form': 'kl'}, '--form=kl with .*no closed form'),
    ({'prior': 'realnvp', 'free_bits': 0.1}, '--free_bits=0.1 with --form=ent'),
  ],
)
def test_impossible_options_of_learned_priors_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    Config(**({'estimator': 'pathwise'} | options))


@pytest.mark.slow
def test_the_table_names_every_objective_and_posterior():
  text = combinations.table()
  for name in (*OBJECTIVES, *ESTIMATORS, *POSTERIORS, *PRIORS):
    assert name in text
  line = ' '.join(text.split())
  assert (
    'bernoulli bernoulli, vamp; score_function, enumeration, disarm, '
    'gumbel_softmax (BIASED), straight_through (BIASED), vimco; kl (prior '
    'bernoulli), entropy, joint categorical categorical, vamp; score_function, '
    'enumeration, gumbel_softmax (BIASED), straight_through (BIASED), vimco; kl'
  ) in line
  assert (
    'disarm, gumbel_softmax (BIASED), straight_through (BIASED) iwae' in line
  )


def test_seeds_beyond_32_bits_are_refused():
  last = 2**32 - 1
  Config(seed=last - 7, num_seeds=8)
  wanted = f'--seed={last} with --num_seeds=2: the last seed would exceed'
  with pytest.raises(UserError, match=wanted):
    Config(seed=last, num_seeds=2)


def test_no_seed_is_refused():
  with pytest.raises(
    UserError, match='--num_seeds: got 0, expected at least 1'
  ):
    Config(num_seeds=0)


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_devices': 4}, '--num_devices=4 with --num_seeds=2: .*one device; l'),
    ({'num_devices': 0}, '--num_devices=0 with --num_seeds=2'),
    ({'distributed': True}, '--distributed with --num_seeds=2: .*one process'),
  ],
)
def test_many_seeds_on_several_devices_are_refused(options, message):
  Config(**options)
  with pytest.raises(UserError, match=message):
    Config(**options, num_seeds=2)
