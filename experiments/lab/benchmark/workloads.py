"""VAEs that every contender trains, from pixels to the update by Adam."""

import itertools
from typing import NamedTuple

IMAGE = (28, 28, 1)
PIXELS = 784
LEARNING_RATE = 1e-3


class Workload(NamedTuple):
  """A Bernoulli VAE with a normal posterior, on binarised 28 x 28 images.

  Attributes:
    hidden_sizes: hidden layers of the encoder; the decoder mirrors them.
    activation: 'relu' or 'tanh'.
    latent_dim: latent dimensions.
    batch_size: images per step.
    num_samples: K of the importance-weighted bound; 1 is the ELBO, with the KL
      in closed form.
  """

  hidden_sizes: tuple[int, ...]
  activation: str
  latent_dim: int
  batch_size: int
  num_samples: int = 1

  @property
  def encoder_sizes(self) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer; the last gives mean and log-scale."""
    sizes = (PIXELS, *self.hidden_sizes, 2 * self.latent_dim)
    return list(itertools.pairwise(sizes))

  @property
  def decoder_sizes(self) -> list[tuple[int, int]]:
    """Inputs and outputs of each layer."""
    sizes = (self.latent_dim, *reversed(self.hidden_sizes), PIXELS)
    return list(itertools.pairwise(sizes))


WORKLOADS = {
  'A': Workload((500,), 'relu', 20, 128),
  'B20': Workload((200, 200), 'tanh', 50, 20),
  'B100': Workload((200, 200), 'tanh', 50, 100),
  'C': Workload((200, 200), 'tanh', 50, 20, num_samples=50),
}
