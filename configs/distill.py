"""A student of few calls: the voice `start_from` is the teacher, and brings model and process."""

from diffsinger_jax.configs import base
from ml_collections import ConfigDict


def get_config() -> ConfigDict:
    config = base.get_config()
    config.kind = "distill"
    config.name = "student"
    config.start_from = "pjs"  # the teacher; what it learns stays the auxiliary model's
    config.ema_decay = 0.95  # of the student's average, which consistency takes for a target

    section = config.distill = ConfigDict()
    section.method = "consistency"  # or "progressive", or "reflow" of a flow
    section.calls = 1  # of the student, from the auxiliary mel at the teacher's k
    section.intervals = 25  # of the teacher's steps, for consistency and reflow
    section.distance = "l2"  # "l1" or "l2"
    section.steps = 50_000
    section.frames_per_batch = 20_000  # over all devices
    section.learning_rate = ConfigDict({"name": "halving", "peak": 5e-5, "every_steps": 50_000})
    section.optimizer = "adamw"
    section.betas = (0.9, 0.999)
    section.weight_decay = 0.0
    section.clip_norm = 1.0
    return config
