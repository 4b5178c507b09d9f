"""Measures trained vocoders on recordings, beside the built-in one, Griffin-Lim and the truth.

    python benchmarks/vocoder_training.py workdir/start/vocoder workdir/end/vocoder \\
        --recordings data/pjs_mini/pjs026/pjs026_song.flac

prints a row for each way to make sound of the recordings' mel and f0 (pyworld's Harvest), all of
the vocoders' mel; "start" and "end" are names by which a training's folders can be compared:

    MCD        mel cepstral distortion in dB (`metrics.measures.mcd`), the sound analysed again
    mel        mean |ln A - ln A^| of the mel
    STFT       multi-resolution STFT distance (`metrics.measures.stft_distance`)
    cents      median |f0 error| over the frames voiced in both
    >50 cents  share of those frames that are off by more
    V/UV       share of all frames whose voicing differs
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import jax
import numpy as np

# The package beside this folder serves a clone that is not installed.
sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from vocoder import griffin_lim  # noqa: E402

from diffsinger_jax.audio.f0 import extract_f0  # noqa: E402
from diffsinger_jax.audio.mel import log_mel  # noqa: E402
from diffsinger_jax.audio.wav import read_wav, write_wav  # noqa: E402
from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.metrics import measures as metrics  # noqa: E402
from diffsinger_jax.synthesis.harmonic import render_rows  # noqa: E402
from diffsinger_jax.types import MelSpec  # noqa: E402
from diffsinger_jax.voices.vocoder import NeuralVocoder, load_vocoder  # noqa: E402

COLUMNS = ("MCD", "mel", "STFT", "cents", ">50 cents", "V/UV")
MakeSound = Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray]
"""(recording f32[L], its mel f32[T, M], its f0 f32[T]) -> sound of about L samples."""


def ways(vocoders: dict[str, NeuralVocoder], spec: MelSpec) -> dict[str, MakeSound]:
    """All that is compared, by name."""
    keys = jax.random.split(jax.random.key(0), 1)

    def harmonic(wav: np.ndarray, mel: np.ndarray, f0: np.ndarray) -> np.ndarray:
        mask = np.ones((1, len(f0)), bool)
        return np.asarray(render_rows(mel[None], f0[None], mask, keys, spec)[0])

    def neural(vocoder: NeuralVocoder) -> MakeSound:
        return lambda wav, mel, f0: vocoder(mel[None], f0[None], keys)[0]

    return {
        "truth": lambda wav, mel, f0: wav,
        "harmonic": harmonic,
        "Griffin-Lim": lambda wav, mel, f0: griffin_lim(mel, spec, len(wav)),
        **{name: neural(vocoder) for name, vocoder in vocoders.items()},
    }


def measure(wav: np.ndarray, sound: np.ndarray, spec: MelSpec) -> dict[str, metrics.Measure]:
    """The measures of one recording, f32[L], and a sound of it."""
    sound = np.pad(sound, (0, max(0, len(wav) - len(sound))))[: len(wav)]
    mels = log_mel(wav, spec), log_mel(sound, spec)
    return {
        "mcd": metrics.mcd(*mels, spec),
        "mel": metrics.mel_distance(*mels, spec),
        "stft": metrics.stft_distance(wav, sound),
        **metrics.pitch(extract_f0(wav, spec), extract_f0(sound, spec)),
    }


def row(measures: dict[str, metrics.Measure]) -> list[float]:
    """Numbers in the order of `COLUMNS`."""
    numbers: dict[str, float] = {name: measure.compute() for name, measure in measures.items()}
    return [
        *(numbers[name] for name in ("mcd", "mel", "stft", "f0_median_cents")),
        100 * (1 - numbers["f0_within_50_cents"]),
        100 * numbers["vuv_error"],
    ]


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("vocoders", nargs="+", type=Path, help="folders")
    parser.add_argument("--recordings", nargs="+", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="write all sounds into this folder")
    flags = parser.parse_args()
    runtime.remember_compiled_programs()  # vocoders of one size share theirs
    vocoders = {str(path): load_vocoder(path) for path in flags.vocoders}
    spec = next(iter(vocoders.values())).mel
    for name, vocoder in vocoders.items():
        if differences := spec.differences(vocoder.mel):
            raise InputError(f"{name} has another mel ({'; '.join(differences)}); measure it apart")
    width = max(map(len, [*vocoders, "Griffin-Lim"])) + 2
    print(f"{'':{width}}" + "".join(f"{column:>11}" for column in COLUMNS))
    recordings = [(path, read_wav(path, spec.sample_rate)[0]) for path in flags.recordings]
    for name, make_sound in ways(vocoders, spec).items():
        parts = []
        for path, wav in recordings:
            sound = make_sound(wav, log_mel(wav, spec), extract_f0(wav, spec))
            parts.append(measure(wav, sound, spec))
            if flags.out:
                flags.out.mkdir(parents=True, exist_ok=True)
                file = f"{path.stem}_{name.replace('/', '_')}.wav"
                write_wav(flags.out / file, sound, spec.sample_rate)
        numbers = row(metrics.merge_all(parts))
        print(f"{name:{width}}" + "".join(f"{x:11.3f}" for x in numbers), flush=True)


if __name__ == "__main__":
    runtime.run(main)
