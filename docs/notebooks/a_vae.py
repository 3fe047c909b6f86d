# %% [markdown]
# # A variational autoencoder, end to end
#
# Digits of scikit-learn: train, evaluate, encode, sample.

# %%
import jax
import jax.numpy as jnp
from sklearn.datasets import load_digits

import vae_jax as vj

images = jnp.round(load_digits().images / 16)  # in {0, 1}
train, test = images[:1500], images[1500:]

# %% [markdown]
# Encoder, decoder and prior from the tables of parts.

# %%
vae = vj.make_vae(data_shape=(8, 8), latent_dim=8, hidden_sizes=(100,))
fit_key, elbo_key, nll_key, sample_key = jax.random.split(jax.random.key(0), 4)
params, history = vj.fit(
  fit_key, vae, train, num_epochs=30, batch_size=100, learning_rate=3e-3
)
print(f'ELBO {history["elbo"][0]:.1f} -> {history["elbo"][-1]:.1f} nats')

# %% [markdown]
# The NLL by importance sampling bounds -log p(x) tighter than the ELBO does.

# %%
elbo = vj.estimate_nll(elbo_key, vae, params, test, num_samples=1)
nll = vj.estimate_nll(nll_key, vae, params, test, num_samples=200)
print(f'-ELBO {elbo.mean:.1f}, NLL {nll.mean:.1f} +- {nll.standard_error:.1f}')

# %% [markdown]
# q(z|x) of a batch, and new images.

# %%
q = jax.vmap(vae.encode, (None, 0))(params, test[:5])
print('means', q.loc.shape)
z = vj.sample_many(sample_key, vae.prior(params), 4)
decode = lambda z: vae.decode(params, z).mean()
for row in jnp.concatenate(list(jax.vmap(decode)(z)), axis=1):
  print(''.join(' .:*#'[int(4.99 * value)] for value in row))
