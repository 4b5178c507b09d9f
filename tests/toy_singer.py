"""A GAN-Singer that compiles in a moment: each part of its model is a line or two."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from diffsinger_jax.engine.adversarial import DISCRIMINATORS, GENERATOR
from diffsinger_jax.models.mel_discriminators import MelDiscriminators
from diffsinger_jax.models.scaling import MelScaling
from diffsinger_jax.modules.length_regulator import expand_to_frames

DISCRIMINATORS_MODEL = MelDiscriminators(
    windows=(8, 20), bands=((0.0, 1.0), (0.25, 0.75)), channels=4
)
WEIGHTS = dict.fromkeys(
    ("mel_l1", "mel_ssim", "duration_phoneme", "duration_note", "pitch", "voicing"), 1.0
) | {"adversarial": 0.5, "features": 0.25}


@functools.cache
def discriminator_params():
    shapes = jax.eval_shape(
        DISCRIMINATORS_MODEL.init,
        jax.random.key(0),
        jnp.zeros((1, 20, 12, 3)),
        jnp.full(1, 20),
        jnp.zeros((1, 2)),
    )["params"]
    rng = np.random.default_rng(0)
    return jax.tree.map(lambda x: rng.normal(0, 0.2, x.shape).astype("f4"), shapes)


class ToySinger(nn.Module):
    """The parts of an acoustic model that are asked here, each a line or two: quick to compile."""

    durations = True
    predicted_curves = ()
    pitch = "note_residual"

    def setup(self):
        self.encoder = nn.Dense(4)
        self.auxiliary_decoder = nn.Dense(12)
        self.dropout = nn.Dropout(0.1)

    def encode(self, batch, *, train=False):
        return self.dropout(self.encoder(batch.note_midi[..., None] / 60), deterministic=not train)

    def predict_durations(self, encoded, batch, *, train=False):
        return encoded[..., 0]

    def predict_pitch(self, encoded, batch, *, train=False):
        frames = expand_to_frames(encoded, batch.mel2ph)
        return expand_to_frames(batch.note_midi, batch.mel2ph), frames[..., 1], frames[..., 2]

    def condition(self, encoded, batch):
        return expand_to_frames(encoded, batch.mel2ph)

    def auxiliary_mel(self, cond, mask, *, train=False):
        return jnp.tanh(self.auxiliary_decoder(cond)) * mask[..., None]


SCALING = MelScaling(low=jnp.full(12, -6.0), high=jnp.zeros(12))


def toy_params():
    """Of both sides, and the encoder's, which is frozen."""
    rng = np.random.default_rng(3)
    shapes = {"encoder": (1, 4), "auxiliary_decoder": (4, 12)}
    params = {
        name: {"kernel": rng.normal(size=shape).astype("f4"), "bias": np.zeros(shape[1:], "f4")}
        for name, shape in shapes.items()
    }
    frozen = {"encoder": params.pop("encoder")}
    return {GENERATOR: params, DISCRIMINATORS: discriminator_params()}, frozen
