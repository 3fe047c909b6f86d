import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

import vae_jax as vj
from vae_jax import plots
from vae_jax.evaluate import Estimate, Latents
from vae_jax.io import signals
from vae_jax.runs.report import figures
from vae_jax.runs.report.figures.drawn import Drawn

N = 20
IMAGES = np.random.RandomState(0).randint(0, 256, (N, 6, 6, 1), np.uint8)
BINARY = (IMAGES > 99).astype(np.uint8)
VECTORS = np.zeros((N, 6), np.float32)
LABELS = np.arange(N) % 10
NLL = {1: (9.0, 0.1), 10: (8.0, 0.1)}
RECORDS = [
  {'step': 5 * epoch, 'epoch': epoch, 'split': split, 'elbo': -9.0 / epoch}
  for epoch in (1, 2, 3)
  for split in ('train', 'validation')
]
CURVES = figures.Curves(RECORDS)
METRICS = {'learning_curve', 'nll_curve', 'kl_per_dimension'}
PICTURES = {
  *('reconstructions', 'prior_samples', 'interpolations', 'traversals'),
}


def draw(
  folder,
  prior,
  images,
  labels=None,
  nll=NLL,
  statistics=True,
  curves=CURVES,
):
  """Draws the figures of a linear model with this prior."""
  (size,) = prior.shape
  matrix = np.random.RandomState(0).normal(size=(size, images[0].size))
  vae = vj.VAE(
    init=lambda key: {},
    encode=lambda params, x: vj.Normal(matrix @ x.ravel(), jnp.zeros(size)),
    decode=lambda params, z: vj.Bernoulli(
      (z @ matrix).reshape(images.shape[1:])
    ),
    prior=lambda params: prior,
  )
  each = np.linspace(0, 1, size)
  means = np.random.RandomState(0).normal(size=(len(images), size))
  labelled, none = {f'z[{i}]': 1 for i in range(size)}, Estimate(0.0, 0.0)
  kl = Estimate(each, each)
  # One example has no variance.
  variances = each * (len(images) > 1)
  latents = Latents(labelled, kl, variances, each, means, none, none)
  statistics = figures.TestStatistics(
    latents if statistics else None, labels, nll
  )
  preprocessed = BINARY[: len(images)] if images.ndim > 2 else images
  return figures.draw_all(
    folder, vae, {}, images, preprocessed, curves, statistics
  )


@pytest.fixture
def titles(monkeypatch):
  """Replaces writing; the title of each figure by the name of its file."""
  found = {}

  def save_figure(path, figure):
    found[path.stem] = figure.axes[0].get_title()
    return path

  monkeypatch.setattr(figures, 'save_figure', save_figure)
  return found


def zeros(count):
  return jnp.zeros(count)


def notices(capsys):
  """Returns the printed lines but for progress, printed every few seconds."""
  printed = capsys.readouterr().out.splitlines()
  return [line for line in printed if not line.startswith('figures: ')]


@pytest.mark.quick('normal')
@pytest.mark.parametrize(
  ('prior', 'more'),
  [
    (vj.Normal(zeros(2), zeros(2)), PICTURES | {'latent_manifold'}),
    (vj.Bernoulli(zeros(2)), PICTURES),
    (vj.Gumbel(zeros(2), zeros(2)), PICTURES - {'traversals'}),
  ],
  ids=['normal', 'bernoulli', 'no quantile function'],
)
def test_every_figure_that_the_model_admits_is_drawn(
  tmp_path, titles, capsys, prior, more
):
  drawn = draw(tmp_path, prior, IMAGES, LABELS)
  names = {path.stem for path in drawn}
  assert names == METRICS | {'posterior_means'} | more
  assert {path.parent for path in drawn} == {tmp_path}
  assert len(set(drawn.values())) == len(drawn)
  assert all(caption.endswith('.') for caption in drawn.values())
  # Every file holds the figure of its own name.
  assert len(set(titles.values())) == len(titles)
  assert titles['prior_samples'] == 'E[x | z], z drawn from the prior'
  skipped = notices(capsys)
  if 'traversals' in more:
    assert skipped == []
  else:
    reason = 'skipped, p(z), Gumbel, has no quantile function'
    ends = [
      f'{name}.png: {reason}' for name in ('traversals', 'latent_manifold')
    ]
    for line, end in zip(skipped, ends, strict=True):
      assert line.endswith(end)


def test_figures_of_vectors_are_png_files_without_images(tmp_path):
  drawn = draw(tmp_path / 'figures', vj.Normal(zeros(2), zeros(2)), VECTORS)
  assert {path.stem for path in drawn} == METRICS
  assert set(drawn) == set((tmp_path / 'figures').iterdir())
  for path in drawn:
    with Image.open(path) as image:
      assert image.format == 'PNG'
      assert min(image.size) > 200


def test_a_test_split_of_one_example_is_drawn(tmp_path, titles, capsys):
  prior = vj.Normal(zeros(3), zeros(3))
  draw(tmp_path, prior, IMAGES[:1], LABELS[:1])
  assert set(titles) == METRICS | PICTURES
  (line,) = notices(capsys)
  assert 'posterior_means.png: skipped, no latent unit is active' in line


def test_nll_at_a_single_k_is_not_a_curve(tmp_path, titles):
  nll = {1: (9.0, 0.1)}
  draw(tmp_path, vj.Normal(zeros(2), zeros(2)), VECTORS, nll=nll)
  assert set(titles) == METRICS - {'nll_curve'}


def test_figures_of_the_latents_are_skipped_without_their_statistics(
  tmp_path, titles, capsys
):
  prior = vj.Normal(zeros(2), zeros(2))
  draw(tmp_path, prior, VECTORS, LABELS, statistics=False)
  assert set(titles) == METRICS - {'kl_per_dimension'}
  lines = notices(capsys)
  assert lines == [
    f'{tmp_path / name}.png: skipped, the latents have no statistics'
    for name in ('kl_per_dimension', 'posterior_means')
  ]


STRANGE = ['a word', None, float('inf'), 10**400, 1e308, float('nan')]


@pytest.mark.parametrize('elbo', STRANGE, ids=lambda x: str(x)[:9])
def test_a_strangers_metrics_end_no_report(tmp_path, titles, capsys, elbo):
  line = {'step': 1, 'epoch': 1, 'split': 'train', 'elbo': elbo}
  prior = vj.Normal(zeros(2), zeros(2))
  strange = figures.Curves([line, {**line, 'split': 'gradients'}])
  draw(tmp_path, prior, VECTORS, curves=strange)
  assert set(titles) == METRICS - {'learning_curve'}
  lines = notices(capsys)
  assert lines == [
    f'warning: {tmp_path}/learning_curve.png: skipped, metrics.jsonl has no '
    'bound by epoch'
  ]
  # A run that was stopped within its first epoch has no lines.
  draw(tmp_path, prior, VECTORS, curves=figures.Curves([]))
  assert notices(capsys) == lines
  # The other lines are drawn.
  draw(tmp_path, prior, VECTORS, curves=figures.Curves([line, *RECORDS]))
  assert set(titles) == METRICS
  assert 'skipped' not in capsys.readouterr().out


@pytest.mark.parametrize('fails', ['draw', 'render'])
def test_a_figure_that_fails_is_one_warning(
  tmp_path, monkeypatch, capsys, fails
):
  def broken(*args, **options):
    raise RuntimeError('RESOURCE_EXHAUSTED:\n  out of memory')

  figure = plots.Figure()
  figure.savefig = broken
  kl_bars = lambda *args, **options: Drawn(
    'kl_per_dimension', figure, 'A caption.'
  )
  name = broken if fails == 'draw' else kl_bars
  monkeypatch.setattr(figures.metric_figures, 'kl_bars', name)
  drawn = draw(tmp_path, vj.Normal(zeros(2), zeros(2)), VECTORS)
  assert {path.stem for path in drawn} == METRICS - {'kl_per_dimension'}
  lines = notices(capsys)
  assert lines == [
    f'warning: {tmp_path}/kl_per_dimension.png: skipped, it cannot be drawn '
    '(RuntimeError: RESOURCE_EXHAUSTED: out of memory)'
  ]


def test_a_signal_stops_the_figures(tmp_path, monkeypatch):
  def stopped(*args, **options):
    raise signals.Stopped(15)

  monkeypatch.setattr(figures.metric_figures, 'kl_bars', stopped)
  with pytest.raises(signals.Stopped):
    draw(tmp_path, vj.Normal(zeros(2), zeros(2)), VECTORS)


def test_an_evaluation_has_no_curves_of_the_training(tmp_path, titles):
  prior = vj.Normal(zeros(2), zeros(2))
  draw(tmp_path, prior, VECTORS, curves=None)
  assert set(titles) == METRICS - {'learning_curve'}
