"""The choice of the gradient estimator in a run, `--estimator=auto`."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import vae_jax as vj
from tests.runs import toy
from vae_jax.errors import UserError
from vae_jax.evaluate.chooser import make_chooser
from vae_jax.io import checkpoint
from vae_jax.runs import Config, train
from vae_jax.runs.choose import is_due, make_choose, table
from vae_jax.runs.config.conflicts import estimators_of
from vae_jax.runs.describe import describe


@pytest.mark.parametrize(
  ('num_epochs', 'due'),
  [
    (1, [0]),
    (3, [0, 1, 2]),
    (10, [*range(10)]),
    (25, [0, 3, 5, 8, 10, 13, 15, 18, 20, 23]),
    (900, [*range(0, 900, 90)]),
  ],
)
def test_a_choice_begins_each_tenth_of_the_epochs(num_epochs, due):
  found = [e for e in range(num_epochs) if is_due(e, num_epochs)]
  assert found == due


def names(**options):
  return estimators_of(Config(estimator='auto', **options))


@pytest.mark.parametrize(
  ('options', 'expected'),
  [
    ({}, ('pathwise', 'stl', 'score_function')),
    ({'form': 'kl'}, ('pathwise', 'score_function')),
    (
      {'objective': 'iwae', 'num_samples': 5},
      ('pathwise', 'dreg', 'score_function', 'vimco'),
    ),
    (
      {
        **{'objective': 'iwae', 'num_samples': 5, 'prior': 'bernoulli'},
        'posterior': 'bernoulli',
      },
      ('score_function', 'vimco'),
    ),
    (
      {'objective': 'iwae', 'num_samples': 2, 'latent_dims': (4, 2)},
      ('pathwise', 'dreg', 'gdreg', 'score_function', 'vimco'),
    ),
  ],
  ids=['elbo', 'kl', 'iwae', 'discrete', 'layers'],
)
def test_candidates_are_the_unbiased_estimators_that_are_legal(
  options, expected
):
  assert names(**options) == expected
  words = describe(Config(estimator='auto', **options))
  assert f'among {", ".join(expected)}' in words


@pytest.mark.parametrize(
  ('options', 'message'),
  [
    ({'num_seeds': 2}, 'each seed would choose its own'),
    (
      {'posterior': 'bernoulli', 'prior': 'bernoulli'},
      'there is one candidate, .* use --estimator=score_function, or one of',
    ),
    ({'num_labelled': 100, 'condition': 'labels'}, 'compared without classes'),
    # What no estimator admits has its own message.
    ({'prior': 'gamma'}, 'q.z.x. is over'),
    ({'objective': 'iwae', 'form': 'kl'}, '--form=kl with --objective=iwae'),
  ],
)
def test_options_that_admit_no_choice_are_refused(options, message):
  with pytest.raises(UserError, match=message):
    Config(estimator='auto', **options)


def test_other_models_and_losses_name_the_function(tmp_path):
  model = vj.make_vae(latent_dim=2, data_shape=(8, 8, 1))
  config = Config(estimator='auto')
  with pytest.raises(UserError, match=r'vj\.choose_estimator'):
    train(config, folder=tmp_path / 'run', model=model)
  assert not (tmp_path / 'run').exists()
  with pytest.raises(ValueError, match=r'vj\.choose_estimator'):
    vj.make_loss(model, estimator='auto')


# A model whose exact posterior is in the family of q.
EXACT = vj.LinearGaussian(
  weights=jnp.array([[1.0], [0.5], [-1.0]]), loc=jnp.zeros(3), log_scale=0.0
)


def exact_model():
  def encode(params, x):
    q = EXACT.posterior(x)
    scale = jnp.log(jnp.diag(q.scale_tril)) + params['encoder']['wider']
    return vj.Normal(q.mean() + params['encoder']['shift'], scale)

  def init(key):
    zeros = {'wider': jnp.zeros(1), 'shift': jnp.zeros(1)}
    return {'encoder': zeros, 'decoder': {'bias': jnp.zeros(3)}}

  return vj.VAE(
    init=init,
    encode=encode,
    decode=lambda params, z: EXACT.decode(z),
    prior=lambda params: EXACT.prior(),
  )


def chosen_at(config, params, read=list, agree=lambda index: index):
  model = exact_model()
  x = jax.vmap(EXACT.sample)(jax.random.split(jax.random.key(0), 16))
  state = toy.init()
  state = state._replace(train=state.train._replace(params=params))
  return make_choose(config, model, np.asarray(x), 3)(state, read, agree)


@pytest.mark.quick('elbo')
@pytest.mark.parametrize(
  ('objective', 'expected'),
  [('elbo', 'stl'), ('iwae', 'dreg')],
  ids=['elbo', 'iwae'],
)
def test_at_the_posterior_the_estimator_without_variance_is_chosen(
  objective, expected
):
  """There the path derivative is zero for every draw (Roeder et al. 2017)."""
  k = 2 if objective == 'iwae' else 1
  config = Config(estimator='auto', objective=objective, num_samples=k)
  params = exact_model().init(jax.random.key(0))
  chosen = chosen_at(config, params)
  assert chosen.name == expected
  record = chosen.record
  assert record['chosen'] == expected
  assert record[expected]['variance'].mean < 1e-9
  assert record['pathwise']['variance'].mean > 1e-3
  assert f'estimator: {expected}, variance x cost' in chosen.words


@pytest.mark.slow
def test_the_numbers_do_not_depend_on_the_decoder_gradient():
  """Its variance is that of one estimator as of another."""
  config = Config(estimator='auto')
  params = exact_model().init(jax.random.key(0))
  found = chosen_at(config, params).record['pathwise']['variance'].mean
  params['decoder'] = {'bias': jnp.zeros(7), 'more': jnp.ones(100)}
  assert chosen_at(config, params).record['pathwise']['variance'].mean == found


def test_a_logged_choice_is_not_made_again():
  line = {'step': 0, 'epoch': 0, 'split': 'estimator', 'chosen': 'pathwise'}
  line |= {'objective': 'elbo', 'num_samples': 1}
  other = {'step': 0, 'epoch': 0, 'split': 'train', 'elbo': -1.0}
  config = Config(estimator='auto')
  params = exact_model().init(jax.random.key(0))
  chosen = chosen_at(config, params, lambda: [other, line])
  assert chosen.name == 'pathwise'
  assert chosen.record == {}
  # One that the options no longer admit is, and one of another bound.
  other_bound = [line | {'num_samples': 2}]
  assert chosen_at(config, params, lambda: other_bound).name == 'stl'
  not_admitted = [line | {'chosen': 'vimco'}]
  assert chosen_at(config, params, lambda: not_admitted).name == 'stl'


@pytest.mark.slow
def test_a_variance_that_is_not_finite_changes_nothing():
  config = Config(estimator='auto')
  params = exact_model().init(jax.random.key(0))
  params['encoder']['wider'] = jnp.full(1, 60.0)
  chosen = chosen_at(config, params)
  assert chosen.name == names()[0]
  assert 'not measured' in chosen.words
  assert 'not finite' in chosen.words
  assert chosen.record['chosen'] == names()[0]
  assert 'pathwise' not in chosen.record


@pytest.mark.slow
def test_processes_take_the_choice_of_the_first():
  config = Config(estimator='auto')
  params = exact_model().init(jax.random.key(0))
  answers = iter([-1, 2])
  chosen = chosen_at(config, params, agree=lambda index: next(answers))
  assert chosen.name == names()[2]
  assert chosen.record['chosen'] == names()[2]


def test_known_unbiased_candidates_are_not_tested(key):
  """A gradient that is wrong is left out, unless it is trusted."""
  surrogates = {
    'right': lambda key, x: (x + jax.random.normal(key)) ** 2,
    'wrong': lambda key, x: 5 * x + 1e-3 * x * jax.random.normal(key),
  }
  x = jnp.ones(())
  for trusted, best in ((False, 'right'), (True, 'wrong')):
    choice = make_chooser(surrogates, x, budget=960, trusted=trusted)
    assert choice(jax.random.clone(key), x).best == best


def lines(folder):
  text = (folder / 'metrics.jsonl').read_text()
  clock = 'examples_per_second'
  found = [json.loads(line) for line in text.splitlines()]
  return [{k: x for k, x in each.items() if k != clock} for each in found]


@pytest.mark.slow
def test_a_run_that_is_resumed_anywhere_makes_the_same_choices(
  tmp_path, capsys
):
  options = {'hidden_sizes': (20,), 'latent_dim': 4, 'batch_size': 300}
  config = Config(
    **options,
    **{'estimator': 'auto', 'num_epochs': 11, 'report': 'table'},
    **{'nll_num_samples': 2, 'keep_checkpoints': 100},
    learning_rate=1e-2,
  )
  config = config.replace(checkpoint_seconds=1e-9)
  whole = tmp_path / 'whole'
  train(config, folder=whole)
  printed = capsys.readouterr().out
  made = [x for x in lines(whole) if x['split'] == 'estimator']
  assert [x['epoch'] for x in made] == [e for e in range(11) if is_due(e, 11)]
  assert printed.count('estimator: ') == len(made)
  assert len({x['chosen'] for x in made}) > 1
  rows = table(made)
  assert [words.split(';')[0] for _, words in rows] == [
    x['chosen'] for x in made
  ]
  page = (whole / 'report.html').read_text()
  assert 'Gradient estimators chosen' in page
  target = json.loads(
    sorted((whole / 'checkpoints').glob('step_*.json'))[-1].read_text()
  )
  steps = checkpoint.steps(whole / 'checkpoints')
  for keep in (steps[1], steps[len(steps) // 2], steps[-2]):
    here = tmp_path / str(keep)
    here.mkdir()
    for path in whole.rglob('*'):
      step = path.stem.removeprefix('step_')
      later = step.isdigit() and int(step) > keep
      if path.is_file() and not later:
        copy = here / path.relative_to(whole)
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(path.read_bytes())
    train(config, folder=here)
    last = sorted((here / 'checkpoints').glob('step_*.json'))[-1]
    assert json.loads(last.read_text())['sha256'] == target['sha256']
    assert lines(here) == lines(whole)


def test_the_toy_run_steps_by_the_estimator_that_was_chosen():
  # The recipe of `test_loop` selects before it steps.
  recipe = toy.make_choosing()
  state, _ = recipe.steps(recipe.init(), 1)
  chosen = recipe.choose(recipe.init(), list, lambda index: index)
  recipe.select(chosen.name)
  other, _ = recipe.steps(recipe.init(), 1)
  assert state.train.params['a'] != other.train.params['a']
