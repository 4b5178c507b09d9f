"""Every contradiction in a config is one sentence, before anything is computed."""

import pytest
from diffsinger_jax.configs import (
    ablations,
    base,
    curves_pjs_small,
    flow_pjs_small,
    lj_diffspeech,
    lj_fastspeech2,
    lj_mini,
    lynxnet2,
    opencpop,
    openvpi_acoustic,
    pjs,
    pjs_field,
    pjs_flow,
    pjs_gpu,
    pjs_mid,
    pjs_small,
    popcs,
    tiny,
)
from ml_collections import ConfigDict

from diffsinger_jax.engine.run_config import check_layout
from diffsinger_jax.engine.typed_config import as_dict
from diffsinger_jax.errors import InputError
from diffsinger_jax.tasks.acoustic import task
from diffsinger_jax.tasks.acoustic.config import (
    AUTO,
    BOUNDARY_METHODS,
    acoustic_config,
    check_stage,
)


def check(config, stage="all"):
    check_stage(acoustic_config(as_dict(config)), stage)


SHIPPED = [
    base,
    curves_pjs_small,
    flow_pjs_small,
    lj_diffspeech,
    lj_fastspeech2,
    lj_mini,
    lynxnet2,
    opencpop,
    openvpi_acoustic,
    pjs,
    pjs_field,
    pjs_flow,
    pjs_gpu,
    pjs_mid,
    pjs_small,
    popcs,
    tiny,
]


@pytest.mark.parametrize("module", SHIPPED)
def test_the_configs_that_ship_are_sound(module):
    for stage in ("all", "auxiliary", "boundary", "denoiser"):
        check(module.get_config(), stage)


@pytest.mark.parametrize(
    "name", [f"{s}/{a}" for s in ablations.SCALES for a in ablations.ABLATIONS]
)
def test_the_ablations_are_sound(name):
    check(ablations.get_config(name))


WRONG = {
    # field: value -> what is said
    "a flow on a schedule": ({"process": "velocity"}, "'velocity' and .* goes with .straight."),
    "a flow's sampler": ({"sampling.method": "euler"}, "method is 'euler'.* takes one of ddpm"),
    "k beyond the schedule": ({"sampling.k_step": 101}, "0 to 100 .config.schedule.steps. or 'a"),
    "k of another kind": ({"sampling.k_step": "half"}, "got 'half'"),
    "more steps than k": ({"sampling.steps": 9}, "steps is 9, expected 1 to 8, since a sampler"),
    "no steps": ({"sampling.steps": 0}, "steps is 0, expected 1 to 8"),
    "steps not learnt": (
        {"denoiser.t_below": 7},
        "k_step is 8, but the denoiser learns only the steps below 7",
    ),
    "learning beyond the schedule": (
        {"denoiser.t_below": 101},
        "t_below is 101, expected 1 to 100",
    ),
    "learning nothing": ({"denoiser.t_below": 0}, "t_below is 0"),
    "an empty schedule": ({"schedule.steps": 0}, "needs steps >= 1 .* got steps=0"),
    "a schedule of no name": (
        {"schedule.name": "sine"},
        "linear, cosine, variance_preserving, straight, got 'sine'",
    ),
    "a process": ({"process": "flow"}, "config.process is one of eps, x0, residual.*got 'flow'"),
    "a distance": ({"denoiser.distance": "l3"}, "distance is one of l1, l2, got 'l3'"),
    "no auxiliary mel, but predictors": (
        {"model.auxiliary": "none"},
        "durations is True, expected False with config.model.auxiliary .none.",
    ),
    "no auxiliary mel to start from": (
        {"model.auxiliary": "none", "model.durations": False, "model.pitch": "none"}
        | {"model.condition_on_prior": False, "process": "eps"},
        "k_step is 8; with config.model.auxiliary .none. there is noise alone.* and here 100",
    ),
    "a dtype": ({"model.dtype": "float16"}, "dtype is one of float32, bfloat16"),
    "a method": ({"boundary.method": "guess"}, "method is one of learned, closed_form"),
    "a sampler": ({"sampling.method": "heun"}, "config.sampling.method is one of ddpm.*'heun'"),
    "an optimizer": ({"denoiser.optimizer": "sgd"}, "denoiser.optimizer is one of adamw, muon"),
    "a dictionary": ({"dictionary": "tlh"}, "config.dictionary is 'tlh'.*there is one for.*ja"),
    "a learning rate": ({"denoiser.learning_rate.name": "flat"}, "rsqrt, halving, cosine.* 'flat'"),
    "another rate's fields": (
        {"auxiliary.learning_rate.name": "halving"},
        "auxiliary.learning_rate has .*, which the halving one does not know",
    ),
    "a rate with no end": (
        {"denoiser.learning_rate.warmup_steps": 20},
        "learning_rate cannot be cosine with .*total_steps = 20",
    ),
    "beta": ({"schedule.beta_max": 1.5}, "cannot be linear with .*beta_max = 1.5"),
    "heads": ({"model.heads": 3}, "hidden is 32, which 3 attention heads"),
    "an even kernel": ({"model.kernel_size": 4}, "kernel_size is 4, expected an odd number"),
    "no layers": ({"model.encoder_layers": 0}, "encoder_layers is 0, expected 1 or more"),
    "negative channels": ({"model.denoiser_channels": -1}, "denoiser_channels is -1, expected 1"),
    "settings of a pitch predictor": (
        {"model.pitch": "wavelet", "model.pitch_settings": {"widht": 3}},
        "pitch_settings has widht, which pitch = 'wavelet' does not know; it takes .*width",
    ),
    "settings of no predictor": (
        {"model.pitch": "none", "model.pitch_settings": {"width": 3}},
        "pitch_settings has width, but pitch = 'none' takes none",
    ),
    "a pitch predictor": ({"model.pitch": "notes"}, "config.model.pitch is one of note_residual,"),
    "dropout": ({"model.dropout": 1.0}, "dropout is 1.0, expected a number from 0 to below 1"),
    "betas": ({"denoiser.betas": (0.9, 1.5)}, "denoiser.betas is .0.9, 1.5., expected a number"),
    "a rate of 0": ({"denoiser.learning_rate.peak": 0.0}, "peak is 0.0, expected more than 0"),
    "a loss below 0": ({"auxiliary.weights.pitch": -1.0}, "weights.pitch is -1.0, expected 0"),
    "no frames": ({"auxiliary.frames_per_batch": 0}, "frames_per_batch is 0, expected 1 or more"),
    "no buckets": ({"buckets": 0}, "config.buckets is 0"),
    "never saved": ({"save_every_steps": 0}, "save_every_steps is 0, expected 1 or more"),
    "never kept": ({"keep_checkpoints": -3}, "keep_checkpoints is -3"),
    "no number": ({"sampling.temperature": float("nan")}, "temperature is nan"),
    "stage 2 without stage 1": (
        {"auxiliary.steps": 0},
        "auxiliary.steps is 0, but stage 2 builds on stage 1",
    ),
    "no denoiser": ({"denoiser.steps": 0}, "denoiser.steps is 0, but the voice sings with it"),
    "no predictor": ({"boundary.steps": 0, "sampling.k_step": AUTO}, "to learn the boundary"),
    "edges": ({"bucket_edges": (64, -1)}, "bucket_edges is .64, -1."),
    "paths": ({"freeze": (1,)}, "freeze is .1,., expected each of them a text"),
}


def changed(fields):
    config = tiny.get_config()
    config.schedule.steps = 100
    with config.ignore_type(), config.unlocked():
        for path, value in fields.items():
            section, _, name = path.rpartition(".")
            (config[section] if section else config)[name] = value
    return config


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_is_said(case):
    fields, said = WRONG[case]
    with pytest.raises(InputError, match=said) as caught:
        check(changed(fields))
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 300


def test_weights_of_nothing():
    config = tiny.get_config()
    for name in config.auxiliary.weights:
        config.auxiliary.weights[name] = 0.0
    with pytest.raises(InputError, match="all of config.auxiliary.weights .*mel_l1, .* are 0"):
        check(config)
    check(config, "denoiser")


def test_fields_that_nothing_reads_and_fields_that_lack():
    config = tiny.get_config()
    config.sampling.k_stop = 5
    with pytest.raises(InputError, match="config.sampling.k_stop.*nearest.*config.sampling.k_step"):
        check(config)
    del config.sampling.k_stop
    config.auxiliary.weights.energy = 1.0
    with pytest.raises(InputError, match="config.auxiliary.weights.energy, which nothing reads"):
        check(config)
    del config.auxiliary.weights.energy
    check(config)
    del config.denoiser.clip_norm
    with pytest.raises(InputError, match="lacks the field config.denoiser.clip_norm"):
        check(config)
    config = tiny.get_config()
    config.model.depth = 3
    with pytest.raises(InputError, match="config.model.depth, which nothing reads"):
        check(config)


def test_a_stage():
    with pytest.raises(InputError, match="--stage is one of all, auxiliary, boundary, denoiser"):
        check(tiny.get_config(), "vocoder")
    assert set(task.BOUNDARY_METHODS) == set(BOUNDARY_METHODS)


def test_a_voice_may_stand_for_a_stage_and_bring_another_model():
    config = tiny.get_config()
    config.start_from = "voices/any"
    config.auxiliary.steps = 0
    own = {"hidden": 8, "score_inputs": "midi", "decoder_kernel_size": 9}
    config.model = ConfigDict({**config.model.to_dict(), **own})
    check(config)
    check(config, "denoiser")


LAYOUT = dict(devices=8, hosts=2, microbatches=8, fsdp=2)


@pytest.mark.parametrize(
    "changes,words",
    [
        ({"devices": 4, "hosts": 3}, "4 devices do not divide among 3 hosts"),
        ({"microbatches": 6}, "microbatches is 6, expected a power of two.*take 8"),
        ({"devices": 3, "hosts": 1, "fsdp": 1}, "microbatches is 8, which 3 devices"),
        ({"fsdp": 3}, "fsdp is 3, which does not divide 8 devices"),
    ],
)
def test_layouts_that_do_not_divide(changes, words):
    check_layout(**LAYOUT)
    check_layout(devices=6, hosts=2, microbatches=1, fsdp=1)
    with pytest.raises(InputError, match=words):
        check_layout(**{**LAYOUT, **changes})


@pytest.mark.parametrize("changes", [{"sampling.k_step": 0.7}, {"denoiser.t_below": 1.5}], ids=str)
def test_a_flow_starts_no_deeper_than_it_learns(changes):
    config = flow_pjs_small.get_config()
    config.update_from_flattened_dict(changes)
    with pytest.raises(InputError, match="of a flow they are 1 - t"):
        check(config)
