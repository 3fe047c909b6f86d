import types

import pytest

from vae_jax.runs import EvaluateConfig, switches

PARTS = {
  'dead_units': '_without_dead_units',
  'gaps': '_gaps',
  'sandwich': '_sandwich',
}


@pytest.mark.parametrize('asked', [(), *((name,) for name in PARTS)])
def test_only_what_is_asked_for_is_measured(asked, monkeypatch):
  for name, function in PARTS.items():
    monkeypatch.setattr(switches, function, lambda *args, name=name: {name: 1})
  options = EvaluateConfig(workdir='w', **dict.fromkeys(asked, True))
  more = switches.measure_more(
    options, types.SimpleNamespace(), types.SimpleNamespace()
  )
  assert list(more.metrics) == list(asked)
