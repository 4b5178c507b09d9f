"""Measures the vocoder on true mel and f0, beside librosa's mel inversion with Griffin-Lim.

    taskset -c 0 python benchmarks/vocoder.py FOLDER/*_song.flac --mel 24k_hop256 24k_hop128

prints a row for each recording, f0 by pyworld's Harvest from the recording and from the sound
rendered of its mel and f0:

    cents      median |f0 error| over the frames voiced in both
    >50 cents  share of those frames that are off by more
    V/UV       share of all frames whose voicing differs
    MCD        mel cepstral distortion in dB (`metrics.measures.mcd`), rendered sound analysed
               again against the mel it was rendered from; then the same for Griffin-Lim
    RTF        seconds of processor time per second of sound, after compilation; on one core that
               is what the clock shows if nothing else runs
    compile    seconds of processor time to compile, once for each length
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import jax
import librosa
import numpy as np

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import log_mel
from diffsinger_jax.audio.vocoder import harmonic_plus_noise
from diffsinger_jax.audio.wav import read_wav, write_wav
from diffsinger_jax.cli import runtime
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.types import MEL_SPECS, MelSpec

GRIFFIN_LIM_ITERATIONS = 32
COLUMNS = ("cents", ">50 cents", "V/UV", "MCD", "MCD G-L", "RTF", "compile")


def griffin_lim(mel: np.ndarray, spec: MelSpec, length: int) -> np.ndarray:
    """librosa's mel inversion: non-negative least squares, then phases by iteration."""
    magnitude = librosa.feature.inverse.mel_to_stft(
        np.exp(metrics.natural_log(mel, spec)).T,
        sr=spec.sample_rate,
        n_fft=spec.n_fft,
        power=1.0,
        fmin=spec.fmin,
        fmax=spec.fmax,
        htk=spec.mel_scale == "htk",
    )
    return librosa.griffinlim(
        magnitude,
        n_iter=GRIFFIN_LIM_ITERATIONS,
        hop_length=spec.hop,
        win_length=spec.win,
        n_fft=spec.n_fft,
        pad_mode="constant",
        length=length,
        random_state=0,
    )


def measure(wav: np.ndarray, spec: MelSpec, *, with_griffin_lim: bool, out: Path | None) -> list:
    """The numbers of one recording, in the order of `COLUMNS`."""
    mel, f0 = log_mel(wav, spec), extract_f0(wav, spec)
    vocoder = jax.jit(harmonic_plus_noise, static_argnums=2)

    def render():
        start = time.process_time()
        sound = np.asarray(vocoder(mel[None], f0[None], spec, key=jax.random.key(0))[0])
        seconds = time.process_time() - start
        # T * hop may be shorter than the recording (reflect) or longer (centered).
        return np.pad(sound, (0, max(0, len(wav) - len(sound))))[: len(wav)], seconds

    _, first_sec = render()
    sound, render_sec = render()
    if out:
        write_wav(out, sound, spec.sample_rate)
    sound_mel = log_mel(sound, spec)
    pitch = metrics.pitch(f0, extract_f0(sound, spec))
    inverted = np.nan
    if with_griffin_lim:
        inverted_mel = log_mel(griffin_lim(mel, spec, len(wav)), spec)
        inverted = metrics.mcd(mel, inverted_mel, spec).compute()
    return [
        pitch["f0_median_cents"].compute(),
        100 * (1 - pitch["f0_within_50_cents"].compute()),
        100 * pitch["vuv_error"].compute(),
        metrics.mcd(mel, sound_mel, spec).compute(),
        inverted,
        render_sec / (len(wav) / spec.sample_rate),
        first_sec - render_sec,
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("recordings", nargs="+", type=Path)
    parser.add_argument("--mel", nargs="+", choices=MEL_SPECS, default=["24k_hop256"])
    parser.add_argument("--skip_griffin_lim", action="store_true", help="it takes minutes")
    parser.add_argument("--out", type=Path, help="write the rendered sound into this folder")
    arguments = parser.parse_args()
    for name in arguments.mel:
        spec, rows = MEL_SPECS[name], []
        print(f"{name:24}" + "".join(f"{column:>11}" for column in COLUMNS))
        for path in arguments.recordings:
            wav, _ = read_wav(path, spec.sample_rate)
            out = arguments.out and arguments.out / f"{path.stem}_{name}.wav"
            skip = arguments.skip_griffin_lim
            rows.append(measure(wav, spec, with_griffin_lim=not skip, out=out))
            print(f"{path.stem:24}" + "".join(f"{x:11.2f}" for x in rows[-1]), flush=True)
        print(f"{'mean':24}" + "".join(f"{x:11.2f}" for x in np.mean(rows, axis=0)))


if __name__ == "__main__":
    runtime.run(main)
