import dataclasses
import json

import jax
import numpy as np
import pytest

import vae_jax as vj
from vae_jax import data, outcome, workdir

NAME = '<b>"digits" & co.npz'
CONFIG = vj.Config(latent_dim=3, hidden_sizes=())
NLL = {1: (9.0, 0.1), 5: (8.0, 0.1)}
COUNT = 30


@pytest.fixture
def run(tmp_path):
  images = np.random.RandomState(0).randint(0, 256, (COUNT, 4, 4, 1), np.uint8)
  config = dataclasses.replace(CONFIG, dataset=NAME)
  workdir.write_config(tmp_path, config)
  record = {'step': 1, 'epoch': 1, 'split': 'train', 'elbo': -9.0}
  (tmp_path / 'metrics.jsonl').write_text(json.dumps(record) + '\n')
  vae = vj.make_vae(config, (4, 4, 1))
  return outcome.Trained(
    tmp_path,
    config,
    vae,
    vae.init(jax.random.key(0)),
    data.Split(images, np.arange(COUNT)),
    (images > 99).astype(np.uint8),
  )


def dead(run):
  """The same run, its encoder blind."""
  encoder = jax.tree.map(lambda x: 0 * x, run.params['encoder'])
  return run._replace(params=run.params | {'encoder': encoder})


def test_labels_stay_with_their_examples(run, monkeypatch):
  monkeypatch.setattr(outcome, '_MOST_EXAMPLES', 10)
  latents, labels = outcome.examine(run)
  assert (labels[0], labels[-1]) == (0, COUNT - 1)
  assert len(set(labels)) == 10
  x = run.prepared.astype(np.float32)[labels]
  means = jax.vmap(lambda x: run.vae.encode(run.params, x).mean())(x)
  np.testing.assert_allclose(latents.means, means, rtol=1e-5)


def test_a_set_without_labels(run):
  bare = run._replace(test=run.test._replace(labels=None))
  assert outcome.examine(bare).labels is None


def test_units_are_counted(run):
  assert outcome.examine(dead(run)).metrics == {
    'active_units': 0,
    'latent_units': 3,
  }


def test_everything_is_on_the_page(run, capsys):
  rows = [('NLL, K = 5', '   8.000 +- 0.100 nats')]
  run = dead(run)
  paths = outcome.present(run, outcome.examine(run), NLL, f'Of {NAME}', rows)
  printed = capsys.readouterr().out
  assert f'Of {NAME}\n  NLL, K = 5     8.000 +- 0.100 nats' in printed
  assert 'warning: 3 of 3 latent units carry nothing' in printed
  *figures, page = paths
  assert page == run.folder / 'report.html'
  assert all(path.is_file() for path in paths)
  text = page.read_text()
  assert text.count('<img src="data:image/png;base64,') == len(figures)
  assert '<td>8.000 ± 0.100 nats</td>' in text
  assert 'Maximises the ELBO' in text
  assert '&lt;b&gt;&quot;digits&quot; &amp; co.npz' in text
  assert '<b>' not in text
  assert f'<td>{jax.__version__}</td>' in text
  assert not list(run.folder.glob('.*'))


def test_no_warning_where_units_live(run, capsys):
  outcome.present(run, outcome.examine(run), NLL, 'Title', [('a', 'b')])
  assert 'warning' not in capsys.readouterr().out
