import contextlib
import os
import signal

import pytest

from vae_jax import signals


def stopped_by(number, body):
  """Runs a body that sends itself a signal; returns what that raises."""
  with pytest.raises(signals.Stopped) as stopped, signals.installed():
    body(lambda: os.kill(os.getpid(), number))
  return stopped.value


@pytest.mark.parametrize(
  ('number', 'name', 'exit_code'),
  [
    (signal.SIGTERM, 'SIGTERM', 143),
    (signal.SIGUSR1, 'SIGUSR1', 143),
    (signal.SIGINT, 'SIGINT', 130),
  ],
)
def test_a_signal_stops_where_the_program_is(number, name, exit_code):
  after = []

  def body(send):
    send()
    after.append('reached')

  stopped = stopped_by(number, body)
  assert stopped.exit_code == exit_code
  assert name in str(stopped)
  assert not after


def test_a_held_block_comes_to_its_end_first():
  done = []

  def body(send):
    with signals.held():
      send()
      signals.check()
      done.append('all of it')
    done.append('more')

  stopped_by(signal.SIGTERM, body)
  assert done == ['all of it']


def test_a_second_signal_meets_what_kills():
  before = signal.getsignal(signal.SIGTERM)
  numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
  found = []

  def body(send):
    with signals.held():
      send()
      found.extend(map(signal.getsignal, numbers))

  stopped_by(signal.SIGUSR1, body)
  assert found == [signal.SIG_DFL] * 3
  assert signal.getsignal(signal.SIGTERM) == before


def test_what_a_library_swallows_is_raised_at_the_next_check():
  def body(send):
    with contextlib.suppress(BaseException):
      send()
    signals.check()
    pytest.fail('not stopped')

  stopped_by(signal.SIGTERM, body)


def test_no_library_that_catches_all_errors_hides_it():
  assert not issubclass(signals.Stopped, Exception)


def test_without_a_signal_nothing_happens():
  with signals.installed():
    with signals.held():
      pass
    signals.check()
