import contextlib
import os
import signal
import time

import pytest

from vae_jax.io import signals


def stopped_by(number, body):
  """Runs a body that sends itself a signal; returns the exception."""
  with pytest.raises(signals.Stopped) as stopped, signals.installed():
    body(lambda: os.kill(os.getpid(), number))
  return stopped.value


@pytest.mark.parametrize(
  ('number', 'name', 'exit_code'),
  [
    (signal.SIGTERM, 'SIGTERM', 143),
    (signal.SIGUSR1, 'SIGUSR1', 143),
    (signal.SIGINT, 'SIGINT', 130),
    (signal.SIGHUP, 'SIGHUP', 129),
  ],
)
def test_a_signal_raises_stopped_at_the_current_statement(
  number, name, exit_code
):
  after = []

  def body(send):
    send()
    after.append('reached')

  stopped = stopped_by(number, body)
  assert stopped.exit_code == exit_code
  assert name in str(stopped)
  assert not after


def test_a_deferred_block_is_completed_first():
  done = []

  def body(send):
    with signals.deferred():
      send()
      signals.check()
      done.append('all of it')
    done.append('more')

  stopped_by(signal.SIGTERM, body)
  assert done == ['all of it']


def test_a_second_signal_kills_the_process():
  before = signal.getsignal(signal.SIGTERM)
  numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
  found = []

  def body(send):
    with signals.deferred():
      send()
      found.extend(map(signal.getsignal, numbers))

  stopped_by(signal.SIGUSR1, body)
  assert found == [signal.SIG_DFL] * 3
  assert signal.getsignal(signal.SIGTERM) == before


def test_a_swallowed_stop_is_raised_at_the_next_check():
  def body(send):
    with contextlib.suppress(BaseException):
      send()
    signals.check()
    pytest.fail('not stopped')

  stopped_by(signal.SIGTERM, body)


def test_stopped_is_not_caught_as_an_exception():
  assert not issubclass(signals.Stopped, Exception)


def test_without_a_signal_nothing_happens():
  with signals.installed():
    with signals.deferred():
      pass
    signals.check()


def test_hangup_twice_does_not_kill_while_the_state_is_saved():
  def body(send):
    with signals.deferred():
      send()
      send()

  assert stopped_by(signal.SIGHUP, body).exit_code == 129


def test_ignored_hangup_stays_ignored_as_under_nohup():
  before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
  try:
    with signals.installed():
      os.kill(os.getpid(), signal.SIGHUP)
      assert signal.getsignal(signal.SIGHUP) == signal.SIG_IGN
  finally:
    signal.signal(signal.SIGHUP, before)


def test_stop_that_python_swallows_prints_no_traceback(capsys):
  class Loud:
    def __del__(self):
      os.kill(os.getpid(), signal.SIGTERM)
      time.sleep(0)

  def body(send):
    Loud()
    signals.check()

  stopped_by(signal.SIGTERM, body)
  assert capsys.readouterr().err == ''
