"""The same VAE as a PyTorch module and a loop over batches."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from experiments.lab.benchmark.timing import Call
from experiments.lab.benchmark.workloads import LEARNING_RATE, Workload


class _Vae(nn.Module):
  """Negative bound of a batch."""

  def __init__(self, workload: Workload) -> None:
    super().__init__()
    activation = {'relu': nn.ReLU, 'tanh': nn.Tanh}[workload.activation]
    self.encoder = _network(workload.encoder_sizes, activation)
    self.decoder = _network(workload.decoder_sizes, activation)
    self.num_samples = workload.num_samples

  def forward(self, x: Any) -> Any:
    mean, log_scale = self.encoder(x).chunk(2, dim=-1)
    eps = torch.randn(self.num_samples, *mean.shape, device=x.device)
    z = mean + log_scale.exp() * eps
    logits = self.decoder(z)
    log_likelihood = -functional.binary_cross_entropy_with_logits(
      logits, x.expand_as(logits), reduction='none'
    ).sum(-1)
    if self.num_samples == 1:
      kl = 0.5 * ((2 * log_scale).exp() + mean**2 - 1 - 2 * log_scale).sum(-1)
      return (kl - log_likelihood[0]).mean()
    log_ratio = (0.5 * (eps**2 - z**2) + log_scale).sum(-1)
    log_weights = log_likelihood + log_ratio
    return (np.log(self.num_samples) - log_weights.logsumexp(0)).mean()


def _network(
  sizes: list[tuple[int, int]], activation: Callable[[], nn.Module]
) -> nn.Module:
  layers: list[nn.Module] = []
  for inputs, outputs in sizes:
    layers += [nn.Linear(inputs, outputs), activation()]
  return nn.Sequential(*layers[:-1])


def make(
  workload: Workload, images: np.ndarray, *, compiled: bool, fused: bool
) -> Call:
  """Returns a call of many steps.

  Args:
    workload: the model.
    images: 8-bit pixels, `[N, 28, 28, 1]`.
    compiled: whether `torch.compile` compiles the loss.
    fused: whether Adam updates all parameters in one kernel.
  """
  device = 'cuda' if torch.cuda.is_available() else 'cpu'
  torch.manual_seed(0)
  data = torch.as_tensor(images.reshape(len(images), -1), device=device)
  module = _Vae(workload).to(device)
  loss_of = torch.compile(module) if compiled else module
  optimizer = torch.optim.Adam(
    module.parameters(), lr=LEARNING_RATE, fused=fused
  )

  def call(count: int) -> None:
    order = torch.randperm(len(data), device=device)
    for index in order.split(workload.batch_size)[:count]:
      x = torch.bernoulli(data[index].float() / 255)
      optimizer.zero_grad(set_to_none=True)
      loss = loss_of(x)
      loss.backward()
      optimizer.step()
    loss.item()  # Waits for the device.

  return call
