"""How fast phonemes become a mel: FastSpeech 2 and DiffSpeech, beside PyTorch in one run.

    python benchmarks/speech_speed.py
        8 s at 22.05 kHz / hop 256, the sizes of lj_diffspeech, k = 71, DDPM
    python benchmarks/speech_speed.py --voice runs/lj/voice
        seconds to the first sound of a text, and the real-time factor of all of it, once the
        programs are loaded (the text is spoken twice and the second time counts)

Both sides get phonemes, their durations and the same weights, and predict durations, f0 and energy,
too. Ours are the programs that a voice calls, one for each prediction; the peer is eager and
encodes once. Columns:

    s, RTF      seconds from phonemes to mel, p50 of rounds in turn; of those of the sound
    peer s      of the eager peer
    x eager     our time over the peer's, median of the rounds; below 1 ours is faster
    difference  largest, of values in [-1, 1], both at temperature 0 and the same f0 and energy
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.diffusion.sampling import Sampling  # noqa: E402
from diffsinger_jax.diffusion.schedule import make_schedule  # noqa: E402
from diffsinger_jax.models.acoustic import AcousticModel, acoustic_model  # noqa: E402
from diffsinger_jax.pipeline.collate import collate  # noqa: E402
from diffsinger_jax.pipeline.plan import Bucket  # noqa: E402
from diffsinger_jax.types import MEL_SPECS, Batch, CorpusInfo, Vocabulary  # noqa: E402
from diffsinger_jax.voices.voice import empty_batch  # noqa: E402

SPEC = MEL_SPECS["22k_hop256"]
FRAMES_PER_PHONEME = 7
K_STEP = 71
TEXT = "The quick brown fox jumps over the lazy dog. It was not seen again, they say."


def make_model() -> tuple[AcousticModel, Any, Any]:
    """The model of lj_diffspeech, params as after training, and its config."""
    config = measure.load_config(ROOT / "configs" / "lj_diffspeech.py", ROOT)
    low, high = np.full(SPEC.n_mels, -5.0, np.float32), np.zeros(SPEC.n_mels, np.float32)
    vocabulary = Vocabulary(tuple(f"p{i}" for i in range(70)), languages=("en",))
    info = CorpusInfo("made up", SPEC, vocabulary, low, high)
    plain = config.model.to_dict()
    acoustic = acoustic_model(plain, config.schedule.to_dict(), config.process, info)
    init = jax.jit(acoustic.model.init)
    params = init(jax.random.key(1), empty_batch(acoustic))["params"]
    head = params["denoiser"]["head"]["dense"]["kernel"]
    noise = 0.1 * jax.random.normal(jax.random.key(2), head.shape)
    params["denoiser"]["head"]["dense"]["kernel"] = noise
    return acoustic, params, config


def make_batch(frames: int) -> Batch:
    """One row without padding."""
    phonemes = frames // FRAMES_PER_PHONEME
    ph_frames = np.full(phonemes, FRAMES_PER_PHONEME, np.int32)
    ph_frames[-1] += frames - int(ph_frames.sum())
    tokens = np.random.default_rng(0).integers(1, 71, phonemes).astype(np.int32)
    example = {"tokens": tokens, "ph_frames": ph_frames, "speaker": np.int32(0)}
    return collate([example], Bucket(1, frames, phonemes), SPEC.n_mels)


def our_calls(
    acoustic: AcousticModel, params: Any, batch: Batch
) -> dict[str, Callable[..., np.ndarray]]:
    """system -> (temperature) -> z [1, T, M], by the programs that a voice calls."""
    frames, f0, curves = map(
        jax.jit, (acoustic.predict_frames, acoustic.predict_f0, acoustic.predict_curves)
    )
    mel = jax.jit(acoustic.sample_mel, static_argnames="sampling")
    keys = jax.random.split(jax.random.key(3), 1)

    def caller(sampling: Sampling) -> Callable[..., np.ndarray]:
        def call(temperature: float = 1.0) -> np.ndarray:
            np.asarray(frames(params, batch))
            told = batch._replace(f0=f0(params, batch), curves=curves(params, batch))
            made = mel(params, told, keys, np.float32(temperature), sampling=sampling)
            return np.asarray(acoustic.scaling.scale(made))

        return call

    return {
        "FastSpeech 2": caller(Sampling(0, 1)),
        f"DiffSpeech k={K_STEP}": caller(Sampling(K_STEP, K_STEP)),
    }


def peer_calls(
    acoustic: AcousticModel, params: Any, batch: Batch, config: Any
) -> dict[str, Callable[..., np.ndarray]]:
    """The same in PyTorch; told (f0, energy) it takes them for its own."""
    import torch
    from peer_torch import DdpmSampler, denoiser_from_flax
    from peer_torch_speech import FastSpeech2

    host = jax.tree.map(np.asarray, params)
    speech = FastSpeech2(host, acoustic.model.heads).eval()
    denoiser = denoiser_from_flax(params["denoiser"], cycle=acoustic.model.dilation_cycle).eval()
    sampler = DdpmSampler(denoiser, make_schedule(config.schedule.to_dict()).alpha_bar)
    tokens = torch.from_numpy(batch.tokens.astype(np.int64))
    frames = torch.from_numpy(batch.ph_frames[0].astype(np.int64))
    shape = (K_STEP + 1, 1, SPEC.n_mels, batch.mask.shape[1])

    def caller(diffuses: bool) -> Callable[..., np.ndarray]:
        def call(
            temperature: float = 1.0, told: tuple[np.ndarray, np.ndarray] | None = None
        ) -> np.ndarray:
            _, expanded, f0, energy = speech.variance(speech.encode(tokens), frames)
            if told is not None:
                f0, energy = (torch.from_numpy(np.array(x)) for x in told)
            cond = speech.condition(expanded, f0, energy)
            z = speech.mel(cond)
            if diffuses:
                noise = temperature * torch.randn(shape)
                z = sampler(z.transpose(1, 2), cond.transpose(1, 2), noise).transpose(1, 2)
            return z.numpy()

        return call

    return {"FastSpeech 2": caller(False), f"DiffSpeech k={K_STEP}": caller(True)}


def first_sound(voice: str) -> dict[str, Any]:
    """A row: how soon a voice is heard, and how fast it speaks."""
    from diffsinger_jax.cli import runtime
    from diffsinger_jax.synthesis.speaking import Speaker
    from diffsinger_jax.synthesis.synthesizer import Synthesizer

    runtime.remember_compiled_programs()
    speaker = Speaker(Synthesizer.from_checkpoint(voice))
    rate = speaker.synthesizer.voice.info.mel.sample_rate
    for _ in range(2):
        started, moments, samples = time.perf_counter(), [], 0
        for block in speaker.stream([TEXT]):
            moments.append(time.perf_counter() - started)
            samples += len(block)
    audio_sec = samples / rate
    rtf = moments[-1] / audio_sec
    return {"voice": voice, "audio s": audio_sec, "first sound s": moments[0], "RTF": rtf}


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=8.0, help="of speech")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--voice", help="measure how soon this voice is heard instead")
    measure.add_report_flags(parser)
    flags = parser.parse_args(arguments)
    if flags.voice is not None:
        measure.report(flags, "First sound of speech", [first_sound(flags.voice)], TEXT)
        return
    measure.require_torch()
    acoustic, params, config = make_model()
    batch = make_batch(round(SPEC.frames(flags.seconds)))
    ours, peers = our_calls(acoustic, params, batch), peer_calls(acoustic, params, batch, config)
    f0 = np.asarray(jax.jit(acoustic.predict_f0)(params, batch))
    energy = np.asarray(jax.jit(acoustic.predict_curves)(params, batch)["energy"]) / 96.0
    rows = []
    for name in ours:
        apart = np.abs(ours[name](0.0) - peers[name](0.0, told=(f0, energy))).max()
        seconds = measure.in_turn({"ours": ours[name], "peer": peers[name]}, flags.repeats)
        p50 = measure.percentile(seconds["ours"], 0.5)
        rows.append(
            {
                "system": name,
                "s": p50,
                "RTF": p50 / flags.seconds,
                "peer s": measure.percentile(seconds["peer"], 0.5),
                "x eager": measure.ratio(seconds["ours"], seconds["peer"]),
                "difference": float(apart),
            }
        )
        print(measure.line(rows[-1]), flush=True)
    about = (
        f"{flags.seconds:g} s of speech in one row without padding, "
        f"{int(batch.tokens.shape[1])} phonemes, the sizes of lj_diffspeech."
    )
    measure.report(flags, "Speech beside PyTorch", rows, about)


if __name__ == "__main__":
    main()
