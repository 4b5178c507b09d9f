"""Small variance models and what they are shown, for tests."""

import functools

import jax
import numpy as np
from random_batches import INFO, SPEC, random_batch, random_values

from diffsinger_jax.models.variance_inputs import inputs_of_batch
from diffsinger_jax.models.variance_model import variance_model
from diffsinger_jax.voices.variance import VarianceVoice, empty_inputs

TRUNK = {"trunk": "wavenet", "repeats": 2, "channels": 8, "layers": 1, "dilation_cycle": 1}
MODEL = dict(
    hidden=8,
    encoder_layers=1,
    heads=2,
    kernel_size=3,
    dropout=0.1,
    durations="resnet",
    duration_settings={"layers": 1, "hidden": 6, "kernel_size": 3, "dropout": 0.1},
    melody_settings={"width": 8, "layers": 1, "heads": 2, "kernel_size": 3, "dropout": 0.1},
    pitch_settings=TRUNK,
    voicing_settings={"layers": 1, "hidden": 6, "kernel_size": 3, "dropout": 0.1},
    speaker_in_condition=True,
)
FLOW = {"process": "velocity", "schedule": {"name": "straight"}}


def small_variance_model(*, process="velocity", schedule=FLOW["schedule"], **model):
    return variance_model({**MODEL, **model}, schedule, process, INFO.vocabulary)


def random_variance_params(variance, seed=0):
    """As after training: nothing is zero."""
    init = functools.partial(variance.model.init, jax.random.key(seed), empty_inputs(variance))
    return random_values(jax.eval_shape(init)["params"], seed)


def random_inputs(curves=(), seed=0, batch=None):
    """Of a random batch; curves have values of about their size."""
    batch = random_batch(seed=seed) if batch is None else batch
    rng = np.random.default_rng(seed + 1)
    values = {name: rng.uniform(-60, -20, batch.mask.shape).astype("f4") for name in curves}
    batch = batch._replace(curves={name: x * batch.mask for name, x in values.items()})
    return inputs_of_batch(batch, SPEC.frames_per_sec, curves)


def small_variance_voice(sampling, **settings):
    """Untrained, of the made-up corpus."""
    variance = small_variance_model(**settings)
    return VarianceVoice(
        name="small",
        vocabulary=INFO.vocabulary,
        sample_rate=SPEC.sample_rate,
        hop=SPEC.hop,
        model={**MODEL, **settings},
        schedule=FLOW["schedule"],
        process="velocity",
        sampling=sampling,
        params=random_variance_params(variance),
        licence="CC0",
    )
