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
    config.freeze = ()  # paths of params that are not trained, as "encoder", "denoiser/input"

    config.model = ConfigDict()
    config.model.hidden = 256  # H
    config.model.encoder_layers = 4
    config.model.decoder_layers = 4  # of the auxiliary decoder
    config.model.heads = 2
    config.model.kernel_size = 9  # of the FFT blocks' convolutions
    config.model.dropout = 0.1
    config.model.predictor_layers = 5
    config.model.predictor_hidden = 256
    config.model.predictor_dropout = 0.5
    config.model.predictor_gradient = 0.1  # factor on what the predictors send to the encoder
    config.model.denoiser_channels = 256  # C
    config.model.denoiser_layers = 20
    config.model.dilation_cycle = 4  # layer i has dilation 2^(i mod cycle)
    config.model.condition_on_prior = False  # show the denoiser the auxiliary mel too
    config.model.dtype = "float32"  # of matrix products' inputs: "float32" or "bfloat16"

    config.schedule = ConfigDict()
    config.schedule.name = "linear"  # or "cosine"
    config.schedule.steps = 100  # S
    config.schedule.beta_max = 0.06

    config.process = "eps"  # what the denoiser predicts: "eps" (the paper) or "residual"

    config.sampling = ConfigDict()  # how the finished voice sings unless told otherwise
    # K, where sampling starts; "auto" finds it between the stages, see config.boundary
    config.sampling.k_step = FieldReference(51, field_type=int | str)
    config.sampling.steps = 51  # of the sampler, at most K
    config.sampling.temperature = 1.0  # factor on the noise
    config.sampling.method = "ddpm"  # a name in SAMPLERS of diffsinger_jax/diffusion/samplers.py

    config.buckets = 6  # number of batch shapes, one compile each
    config.bucket_edges = ()  # their lengths in frames; () finds those with the least padding
    config.remat = False  # keep only matrix products for the backward pass: less memory
    running(config)

    config.auxiliary = ConfigDict()  # stage 1
    config.auxiliary.steps = 160_000
    config.auxiliary.frames_per_batch = 18_000  # over all devices
    config.auxiliary.learning_rate = ConfigDict()
    config.auxiliary.learning_rate.name = "rsqrt"
    config.auxiliary.learning_rate.peak = 2.8e-3
    config.auxiliary.learning_rate.warmup_steps = 2000
    config.auxiliary.optimizer = "adamw"  # or "muon"
    config.auxiliary.betas = (0.9, 0.999)
    config.auxiliary.weight_decay = 0.01
    config.auxiliary.clip_norm = 1.0
    config.auxiliary.weights = ConfigDict()  # of the losses
    config.auxiliary.weights.mel_l1 = 0.5
    config.auxiliary.weights.mel_ssim = 0.5
    config.auxiliary.weights.duration_phoneme = 1.0
    config.auxiliary.weights.duration_note = 1.0
    config.auxiliary.weights.pitch = 1.0
    config.auxiliary.weights.voicing = 1.0

    config.boundary = ConfigDict()  # between the stages, for k_step = "auto" or --stage=boundary
    config.boundary.method = "learned"  # what "auto" goes by: "learned" or "closed_form"
    config.boundary.channels = 128  # of the boundary predictor
    config.boundary.layers = 6
    config.boundary.steps = 30_000
    config.boundary.frames_per_batch = 18_000  # over all devices
    config.boundary.learning_rate = cosine(1e-3, 500, 30_000)
    config.boundary.optimizer = "adamw"
    config.boundary.betas = (0.9, 0.999)
    config.boundary.weight_decay = 0.0
    config.boundary.clip_norm = 1.0

    config.denoiser = ConfigDict()  # stage 2
    config.denoiser.steps = 160_000
    config.denoiser.frames_per_batch = 20_000  # over all devices
    config.denoiser.t_below = 100  # steps are drawn from [0, t_below); K if that is "auto"
    config.denoiser.distance = "l1"  # "l1" or "l2"
    config.denoiser.learning_rate = ConfigDict()
    config.denoiser.learning_rate.name = "halving"
    config.denoiser.learning_rate.peak = 1e-3
    config.denoiser.learning_rate.every_steps = 50_000
    config.denoiser.optimizer = "adamw"
    config.denoiser.betas = (0.9, 0.98)
    config.denoiser.weight_decay = 0.0
    config.denoiser.clip_norm = 1.0

    return config


def running(config: ConfigDict) -> None:
    """How any training runs, whatever it trains."""
    config.ema_decay = 0.999
    config.read_threads = 4

    config.microbatches = 1  # a power of two; see docs/training.md: less memory, the same bits
    config.mesh = ConfigDict()
    config.mesh.fsdp = 1  # so many devices share one copy of params and optimizer
    config.peak_flops = 0.0  # of a device, for the MFU; 0 takes it from a table by its name
    config.stop_after_nonfinite = 10  # updates left out in a row

    config.log_every_steps = 100
    config.evaluate_every_steps = 2000
    config.songs_shown = 2  # validation songs whose pictures and sounds an evaluation writes
    config.save_every_steps = 2000
    config.save_every_minutes = 0.0  # besides, looked at when it logs; 0 for steps only
    config.keep_checkpoints = 3  # the last ones
    config.keep_every_steps = 0  # of multiples of it all are kept; 0 for the last ones only


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
