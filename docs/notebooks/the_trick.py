# %% [markdown]
# # The reparameterisation trick
#
# The gradient of E_q[f(z)] in the parameters of q, by two estimators.

# %%
import jax
import jax.numpy as jnp

import vae_jax as vj


def f(z):
  return z**2  # E[f(z)] = theta^2 + 1 for z ~ N(theta, 1)


# %% [markdown]
# A draw is a function of its parameter and of noise that has none.

# %%
q = vj.Normal(3.0, 0.0)
eps = q.noise(jax.random.key(0))
print(jnp.allclose(q.transform(eps), 3 + eps))

# %% [markdown]
# Both estimators are unbiased for 2 theta = 6; their variances differ.


# %%
def gradients(estimator, key):
  objective = lambda key, theta: estimator(key, vj.Normal(theta, 0.0), f)
  return vj.sample_gradients(key, objective, 3.0, num_samples=20_000)


keys = jax.random.split(jax.random.key(1))
for estimator, key in zip((vj.pathwise, vj.score_function), keys, strict=True):
  found = vj.gradient_statistics(gradients(estimator, key))
  print(
    f'{estimator.__name__:15s} {found.mean:6.2f} +- {found.standard_error:.2f}'
    f'  variance {found.variance:.0f}'
  )

# %% [markdown]
# Which one to use at this q is measured, not guessed.

# %%
choice = vj.choose_estimator(jax.random.key(2), q, f)
print(choice)
