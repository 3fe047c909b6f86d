"""Figures of the tests, recorded in place of drawn."""

import pytest

from vae_jax import plots


@pytest.fixture
def seen(monkeypatch):
  """Arguments of the figures, which are not drawn."""
  calls = []
  for name in ('image_grid', 'image_rows'):
    monkeypatch.setattr(plots, name, lambda *a, **k: calls.append((*a, k)))
  return calls
