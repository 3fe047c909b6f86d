import contextlib
import os
import signal

import pytest

from vae_jax import plots
from vae_jax.errors import UserError
from vae_jax.io import signals
from vae_jax.runs import save_figure as module
from vae_jax.runs.save_figure import save_figure


@pytest.fixture
def figure(monkeypatch):
  """A figure that is rendered in no time."""
  monkeypatch.setattr(module.plots, 'to_png', lambda figure: b'png')
  return plots.Figure()


def test_save_figure_creates_the_folder_and_replaces_a_file(tmp_path, figure):
  path = tmp_path / 'a' / 'figures' / 'one.png'
  for _ in range(2):
    assert save_figure(path, figure) == path
    assert path.read_bytes() == b'png'
    path.write_bytes(b'old')
  assert list(path.parent.iterdir()) == [path]


def test_save_figure_follows_no_symbolic_link(tmp_path, figure):
  (tmp_path / 'real').mkdir()
  (tmp_path / 'link').symlink_to(tmp_path / 'real')
  with pytest.raises(UserError, match='is a symbolic link'):
    save_figure(tmp_path / 'link' / 'one.png', figure)
  precious = tmp_path / 'precious'
  precious.write_text('text')
  (tmp_path / 'real' / 'one.png').symlink_to(precious)
  save_figure(tmp_path / 'real' / 'one.png', figure)
  assert precious.read_text() == 'text'


def test_save_figure_raises_stopped_after_a_swallowed_signal(tmp_path, figure):
  with signals.installed():
    with contextlib.suppress(signals.Stopped):
      os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(signals.Stopped):
      save_figure(tmp_path / 'one.png', figure)
  assert not list(tmp_path.iterdir())
