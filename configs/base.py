"""Every default, each with its unit. Other configs are small deltas of this one.

The numbers are the reference implementation's for PopCS, where it has them.
"""

from ml_collections import ConfigDict, FieldReference


def get_config() -> ConfigDict:
    config = ConfigDict()

    config.kind = "acoustic"  # what is trained: a voice
    config.name = "voice"  # of the voice that training writes, for metadata and people
    # Folder written by data/prepare.py; or several, by weight: "prepared/pjs,prepared/more=0.5"
    config.corpus = "prepared/pjs"
    config.dictionary = "ja"  # how the voice reads lyrics: a table of data/dictionaries
    config.seed = 1234
    config.start_from = ""  # a voice to go on from; its model, schedule and process replace ours
    config.new_denoiser = False  # but for the denoiser, which is ours and begins at random
    config.freeze = ()  # paths of params that are not trained, as "encoder", "denoiser/input"

    config.model = model()
    config.schedule = ConfigDict()
    config.schedule.name = "linear"  # or "cosine"
    config.schedule.steps = 100  # S
    config.schedule.beta_max = 0.06

    config.process = "eps"  # what the denoiser predicts, a name in PROCESSES: "eps" is the paper's

    config.sampling = ConfigDict()  # how the finished voice sings unless told otherwise
    # K, where sampling starts; "auto" finds it between the stages, see config.boundary
    config.sampling.k_step = FieldReference(51, field_type=int | float | str)
    config.sampling.steps = 51  # of the sampler, at most K
    config.sampling.temperature = 1.0  # factor on the noise
    config.sampling.method = "ddpm"  # a name in SAMPLERS of diffsinger_jax/diffusion/samplers

    config.buckets = 6  # number of batch shapes, one compile each
    config.bucket_edges = ()  # their lengths in frames; () finds those with the least padding
    config.remat = False  # keep only matmuls for the backward pass: less memory
    running(config)

    config.auxiliary = auxiliary()
    config.boundary = boundary()
    config.denoiser = denoiser()
    return config


def model() -> ConfigDict:
    """Sizes of the acoustic model."""
    section = ConfigDict()
    section.hidden = 256  # H
    section.encoder_layers = 4
    section.decoder_layers = 4  # of the auxiliary decoder
    section.heads = 2
    section.kernel_size = 9  # of the FFT blocks' convolutions
    section.dropout = 0.1
    section.predictor_layers = 5
    section.predictor_hidden = 256
    section.predictor_dropout = 0.5
    section.predictor_gradient = 0.1  # factor on what the predictors send to the encoder
    section.denoiser_channels = 256  # C
    section.denoiser_layers = 20
    section.dilation_cycle = 4  # layer i has dilation 2^(i mod cycle)
    section.condition_on_prior = False  # show the denoiser the auxiliary mel too
    section.dtype = "float32"  # of matmuls' inputs: "float32" or "bfloat16"
    return section


def auxiliary() -> ConfigDict:
    """Stage 1."""
    section = ConfigDict()
    section.steps = 160_000
    section.frames_per_batch = 18_000  # over all devices
    section.learning_rate = ConfigDict()
    section.learning_rate.name = "rsqrt"
    section.learning_rate.peak = 2.8e-3
    section.learning_rate.warmup_steps = 2000
    section.optimizer = "adamw"  # or "muon"
    section.betas = (0.9, 0.999)
    section.weight_decay = 0.01
    section.clip_norm = 1.0
    section.weights = ConfigDict()  # of the losses
    section.weights.mel_l1 = 0.5
    section.weights.mel_ssim = 0.5
    section.weights.duration_phoneme = 1.0
    section.weights.duration_note = 1.0
    section.weights.pitch = 1.0
    section.weights.voicing = 1.0
    section.weights.curves = 1.0  # that the model predicts, see model.predicted_curves
    return section


def boundary() -> ConfigDict:
    """Between the stages, for k_step = "auto" or --stage=boundary."""
    section = ConfigDict()
    section.method = "learned"  # what "auto" goes by: "learned" or "closed_form"
    section.channels = 128  # of the boundary predictor
    section.layers = 6
    section.steps = 30_000
    section.frames_per_batch = 18_000  # over all devices
    section.learning_rate = cosine(1e-3, 500, 30_000)
    section.optimizer = "adamw"
    section.betas = (0.9, 0.999)
    section.weight_decay = 0.0
    section.clip_norm = 1.0
    return section


def denoiser() -> ConfigDict:
    """Stage 2."""
    section = ConfigDict()
    section.steps = 160_000
    section.frames_per_batch = 20_000  # over all devices
    # Steps are drawn from [0, t_below); K if that is "auto". Of a flow: times from 1 - t_below.
    section.t_below = FieldReference(100, field_type=int | float)
    section.distance = "l1"  # "l1" or "l2"
    section.weighting = "uniform"  # of a flow's times: "uniform" or "logit_normal"
    section.drop_condition = 0.0  # share of the rows trained without the condition
    section.drop_prior = 0.0  # without the auxiliary mel, where the denoiser is shown it
    # Largest slow random error on the auxiliary mel that is shown, in z (half of a bin's range)
    section.prior_error = 0.0
    section.crop_frames = 0  # of each piece, at random places; 0 for whole pieces
    section.learning_rate = ConfigDict()
    section.learning_rate.name = "halving"
    section.learning_rate.peak = 1e-3
    section.learning_rate.every_steps = 50_000
    section.optimizer = "adamw"
    section.betas = (0.9, 0.98)
    section.weight_decay = 0.0
    section.clip_norm = 1.0
    return section


def running(config: ConfigDict) -> None:
    """How any training runs, whatever it trains."""
    config.ema_decay = 0.999
    config.read_threads = 4

    config.microbatches = 1  # a power of two; see docs/training.md: less memory, the same bits
    config.mesh = ConfigDict()
    config.mesh.fsdp = 1  # so many devices share one copy of params and optimizer
    config.peak_flops = 0.0  # of a device, for the MFU; 0 takes it from a table by its name
    config.stop_after_nonfinite = 10  # updates left out in a row
    # Of training, all starts together; a voice's stages share them as their steps are, and a
    # stage ends with its steps or its minutes. 0 for steps alone
    config.stop_after_minutes = 0.0

    config.log_every_steps = 100
    config.evaluate_every_steps = 2000
    config.songs_shown = 2  # validation songs whose pictures and sounds an evaluation writes
    config.save_every_steps = 2000
    config.save_every_minutes = 0.0  # besides, looked at when it logs; 0 for steps only
    config.keep_checkpoints = 3  # the last ones
    config.keep_every_steps = 0  # of multiples of it all are kept; 0 for the last ones only


def by_time(peak: float, warmup_steps: int) -> ConfigDict:
    """A learning rate that falls with the minutes spent, for runs with `stop_after_minutes`."""
    return ConfigDict({"name": "by_time", "peak": peak, "warmup_steps": warmup_steps})


def cosine(peak: float, warmup_steps: int, total_steps: int) -> ConfigDict:
    """A learning rate that rises on a line and falls on a cosine, for runs of known length."""
    return ConfigDict(
        {
            "name": "cosine",
            "peak": peak,
            "warmup_steps": warmup_steps,
            "total_steps": total_steps,
        }
    )
