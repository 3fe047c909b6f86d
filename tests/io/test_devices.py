import jax
import pytest

from vae_jax.errors import UserError
from vae_jax.io import devices


def test_select_describes_the_device():
  assert devices.select('auto').startswith(jax.devices()[0].platform)
  assert devices.select('cpu').startswith('cpu')


def test_one_of_several_devices_is_said(monkeypatch):
  (device, *_) = jax.devices('cpu')
  monkeypatch.setattr(jax, 'devices', lambda platform=None: [device] * 4)
  assert devices.select('auto').endswith(', one of 4 devices)')
  monkeypatch.setattr(jax, 'devices', lambda platform=None: [device])
  assert 'one of' not in devices.select('auto')


@pytest.mark.parametrize('platform', ['gpu', 'tpu'])
def test_a_missing_device_is_an_error_and_not_a_fallback(platform):
  if any(device.platform == platform for device in jax.devices()):
    pytest.skip(f'this machine has a {platform}')
  with pytest.raises(UserError, match=f'--platform={platform}: jax finds no'):
    devices.select(platform)


def test_devices_are_chosen_by_number(monkeypatch):
  (device, *_) = jax.devices('cpu')
  monkeypatch.setattr(jax, 'devices', lambda platform=None: [device] * 4)
  assert len(devices.choose('auto', 3)) == 3
  assert len(devices.choose('cpu', 0)) == 4
  expected = '--num_devices: got 5, expected at most 4, the cpu devices'
  with pytest.raises(UserError, match=expected):
    devices.choose('cpu', 5)
