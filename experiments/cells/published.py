"""Published numbers that the cells are compared with, each with its source.

The protocol of a cell is its flagfile, `experiments/flagfiles/<name>.flags`;
this table is the one place of the numbers that other people printed.
"""

from typing import NamedTuple

TRAIN, GRADIENT_VARIANCE = 'train', 'gradient_variance'
NLL, ELBO = 'nll', 'elbo'


class Published(NamedTuple):
  """A published number, and the kind of the cell that is compared with it.

  Attributes:
    source: paper and table.
    value: test NLL in nats with the digits of the paper; '' where no published
      number compares.
    active: active units beside the number, as the paper prints them; '' for
      none.
    note: remark on the comparison; '' for none.
    metric: 'nll', or 'elbo' for a cell whose paper draws bounds.
    command: command that measures the cell.
  """

  source: str
  value: str = ''
  active: str = ''
  note: str = ''
  metric: str = NLL
  command: str = TRAIN


def _iwae(value: str, active: str, note: str = '') -> Published:
  return Published('Burda et al. 2015, table 1', value, active, note)


def _rainforth(value: str) -> Published:
  return Published('Rainforth et al. 2018', value)


def _priors(value: str) -> Published:
  return Published('Norouzi et al. 2020', value)


def _nvae(value: str) -> Published:
  return Published('Davidson et al. 2018', value)


_PLAIN = 'published with the plain gradient'
_AFTER = 'starts at iwae_1_vae'
_FIGURE = Published(
  'Kingma and Welling 2013, figure 2', note='curves, no number', metric=ELBO
)

# Name of a flagfile -> its published number.
PUBLISHED = {
  'mnist_fast': _iwae('86.76', '19', 'half as long as iwae_1_vae'),
  'iwae_1_vae': _iwae('86.76', '19'),
  'iwae_5_vae': _iwae('86.47', '20', _AFTER),
  'iwae_5': _iwae('85.54', '22', _AFTER),
  'iwae_5_dreg': _iwae('85.54', '22', f'{_AFTER}; {_PLAIN}'),
  'iwae_50_vae': _iwae('86.35', '20'),
  'iwae_50': _iwae('84.78', '25'),
  'iwae_50_dreg': _iwae('84.78', '25', _PLAIN),
  'iwae_2l_1_vae': _iwae('85.33', '16+5'),
  'iwae_2l_5_vae': _iwae('85.01', '17+5'),
  'iwae_2l_5': _iwae('83.89', '21+5'),
  'iwae_2l_5_dreg': _iwae('83.89', '21+5', _PLAIN),
  'static_1_50': Published('Burda et al. 2015, table 3', '87.10'),
  'iwae_64': _rainforth('84.52'),
  'miwae_8_8': _rainforth('84.97'),
  'piwae_8_8': _rainforth('84.46'),
  'ciwae_05': _rainforth('84.57'),
  'vamp_standard': _priors('84.45'),
  'vamp_500': _priors('82.43'),
  'vamp_fashion_standard': _priors('228.70'),
  'vamp_fashion_500': _priors('227.35'),
  'nvae_2': _nvae('135.7'),
  'nvae_5': _nvae('110.2'),
  'nvae_10': _nvae('93.8'),
  'realnvp_prior': Published(
    'Xu et al. 2019', note='their number was not verified'
  ),
  'caltech_silhouettes': Published(
    'Marlin et al. 2010 (data)',
    note='no number compares: another test split',
  ),
  **{f'aevb_mnist_{size}': _FIGURE for size in (3, 5, 10, 20, 200)},
  **{f'aevb_frey_{size}': _FIGURE for size in (2, 5, 10, 20)},
  'mcge_logistic': Published(
    'Mohamed et al. 2020, section 8.3',
    note='order of variances: pathwise and measure-valued, then the score '
    'function with delta baseline, with moving average, without',
    command=GRADIENT_VARIANCE,
  ),
}
