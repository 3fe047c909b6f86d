"""The numbers of a trained model on the test split, as a table."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from vae_jax import checkpoint, data, devices, logger, workdir
from vae_jax.config import Config, EvaluateConfig
from vae_jax.evaluate import (
  estimate_nll,
  evaluation_keys,
  make_evaluate_elbo,
  mean_and_standard_error,
)
from vae_jax.model import VAE, make_vae
from vae_jax.optimizer import make_optimizer
from vae_jax.train_step import TrainState, init_train_state
from vae_jax.types import Params


def load_test(config: Config) -> tuple[data.Split, np.ndarray]:
  """Returns the test split, and its images as zeros and ones, uint8.

  Raises:
    UserError: no such set, or grey pixels where the flags want none.
  """
  test = data.load_test(config.dataset, data_dir=config.data_dir)
  if config.binarisation == 'none':
    data.check_binary(config.dataset, test.images)
  prepare = data.make_prepare(config.binarisation)
  key = evaluation_keys().binarise
  return test, data.prepare_once(prepare, key, test.images)


def measure(
  vae: VAE, params: Params, images: np.ndarray, num_samples: int
) -> dict[str, Any]:
  """Returns the ELBO, its two parts and the NLL of a whole split, in nats."""
  keys = evaluation_keys()
  terms = make_evaluate_elbo(vae)(keys.elbo, params, jnp.asarray(images))
  elbo, elbo_error = mean_and_standard_error(np.asarray(terms.elbo))
  nll = estimate_nll(
    keys.nll,
    vae,
    params,
    images,
    num_samples=num_samples,
    progress=lambda chunks: logger.track(f'NLL, K = {num_samples}', chunks),
  )
  return {
    'elbo': elbo,
    'elbo_standard_error': elbo_error,
    'log_likelihood': float(jnp.mean(terms.log_likelihood)),
    'kl': float(jnp.mean(terms.kl)),
    'nll': nll.mean,
    'nll_standard_error': nll.standard_error,
    'nll_num_samples': num_samples,
  }


def rows(metrics: dict[str, Any]) -> list[tuple[str, str]]:
  """Returns the rows of the table that `measure`'s numbers fill."""
  value = lambda name: f'{metrics[name]:10.3f}'
  error = lambda name: f'+- {metrics[f"{name}_standard_error"]:.3f} nats'
  return [
    ('ELBO', f'{value("elbo")} {error("elbo")}'),
    ('= log likelihood', f'{value("log_likelihood")} nats'),
    ('- KL', f'{value("kl")} nats'),
    (
      f'NLL, K = {metrics["nll_num_samples"]}',
      f'{value("nll")} {error("nll")}',
    ),
  ]


def abstract_state(config: Config, vae: VAE) -> TrainState:
  """Returns the shapes of a `TrainState`, to restore a checkpoint into."""
  # The schedule's length changes no shape.
  optimizer = make_optimizer(config, steps_per_epoch=1)
  init = lambda key: init_train_state(vae.init(key), optimizer)
  return jax.eval_shape(init, jax.random.key(0))


def evaluate_run(options: EvaluateConfig) -> None:
  """Measures a trained run on its test split; prints and logs the numbers.

  Raises:
    UserError: no run in the folder, no good checkpoint, no data.
  """
  device = devices.select(options.platform)
  folder = workdir.find(options.workdir)
  config = workdir.read_config(folder, data_dir=options.data_dir)
  checkpoints = folder / workdir.CHECKPOINTS
  test, binary = load_test(config)
  vae = make_vae(config, test.images.shape[1:])
  step, state = checkpoint.restore_latest(
    checkpoints, abstract_state(config, vae)
  )
  metrics = measure(vae, state.params, binary, options.num_samples)
  log = logger.MetricsLogger(folder / workdir.METRICS)
  epoch = max((r['epoch'] for r in log.read() if r['step'] == step), default=0)
  log.write_once(step, epoch, 'test', metrics)
  title = (
    f'{folder} at step {step} (epoch {epoch}), '
    f'{len(binary)} test images of {config.dataset}, on {device}'
  )
  print(logger.format_table(title, rows(metrics)))
