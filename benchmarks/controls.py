"""What a voice's controls do to its mels: whether each moves the sound as it should, and how far.

    python benchmarks/controls.py --voice workdir/pjs/voice --corpus prepared/pjs

Pieces of a prepared corpus are sung with the singer's durations, f0 and curves; then again with
each control moved, all else and the noise the same:

    energy       level of voiced frames, dB
    breathiness  what lies between the lowest harmonics, dB below them: the share without period
    tension      energy above 3.5 f0 in voiced frames, dB of all
    key_shift    how far the envelope of voiced frames moved in log frequency, semitones
    speed        seconds that a consonant and its way into the vowel last: frames from its start to
                 the middle of the vowel that are nearer to its own middle than to the vowel's;
                 and, as "speed, way", how long the way from the one middle to the other takes at
                 its fastest, since the durations, which are given, say where a consonant ends

The column "asked" is what was added to the control (speed: its factor), "change" what came of it,
"as should" whether it has the right sign.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import librosa
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.cli import runtime  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.evaluation.systems import mels_of  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, open_corpus  # noqa: E402
from diffsinger_jax.score.phonology import is_rest, is_vowel  # noqa: E402
from diffsinger_jax.types import MelSpec, Vocabulary  # noqa: E402
from diffsinger_jax.voices.sampling import resolve_sampling  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice  # noqa: E402

ASKED = {
    "energy": (-6.0, 6.0),
    "breathiness": (-12.0, 12.0),
    "tension": (-1.0, 1.0),
    "key_shift": (-4.0, 4.0),
    "speed": (0.6, 1.7),
}
HEARD_AS = {"speed": ("speed", "speed, way")}
"""The rows of a control that has more than one."""
FRAMES_PER_BATCH = 4096
HARMONICS_BELOW_HZ, LOWEST_F0_HZ = 1000.0, 160.0
"""Where the bands of a mel tell harmonics apart: below the one, if they are the other apart."""
SMOOTHING_BINS = 7
POINTS_PER_SEMITONE = 4

Pair = tuple[Example, np.ndarray]
"""A piece with a mel of it f32[T, M]."""


def decibels(mel: np.ndarray, spec: MelSpec) -> np.ndarray:
    """A log mel in dB."""
    return 20.0 * np.log10(np.maximum(np.exp(mel) if spec.log_base == "e" else 10.0**mel, 1e-9))


def level_db(pair: Pair, spec: MelSpec) -> float:
    """Mean level of voiced frames."""
    example, mel = pair
    power = 10.0 ** (decibels(mel, spec) / 10.0)
    return float(10.0 * np.log10(power.sum(axis=1))[example["f0"] > 0].mean())


def aperiodic_db(pair: Pair, spec: MelSpec) -> float:
    """Between the harmonics over on them, mean of frames high enough to tell them apart."""
    example, mel = pair
    level, f0, centres = decibels(mel, spec), np.asarray(example["f0"]), band_centres(spec)
    found = []
    for frame, hz in zip(level, f0, strict=True):
        if hz < LOWEST_F0_HZ:
            continue
        orders = np.arange(1, int(HARMONICS_BELOW_HZ / hz) + 1)
        on = np.interp(orders * hz, centres, frame).mean()
        found.append(np.interp((orders + 0.5) * hz, centres, frame).mean() - on)
    return float(np.mean(found)) if found else float("nan")


def high_share_db(pair: Pair, spec: MelSpec) -> float:
    """Energy above 3.5 f0 over all of it, mean of voiced frames."""
    example, mel = pair
    f0 = np.asarray(example["f0"])[:, None]
    power = 10.0 ** (decibels(mel, spec) / 10.0)
    above = (power * (band_centres(spec)[None] > 3.5 * f0)).sum(axis=1)
    share = 10.0 * np.log10(np.maximum(above, 1e-12) / power.sum(axis=1))
    return float(share[f0[:, 0] > 0].mean())


def envelope_shift(before: Pair, after: Pair, spec: MelSpec) -> float:
    """Semitones by which the mean envelope of voiced frames has to be moved to be the other's."""
    kernel = np.hanning(SMOOTHING_BINS + 2)[1:-1]
    low_hz, high_hz = 300.0, 0.5 * spec.fmax
    points = round(12 * np.log2(high_hz / low_hz) * POINTS_PER_SEMITONE)
    grid = low_hz * 2.0 ** (np.arange(points) / (12 * POINTS_PER_SEMITONE))

    def envelope(pair: Pair) -> np.ndarray:
        voiced = np.asarray(pair[0]["f0"]) > 0
        mean = decibels(pair[1], spec)[voiced].mean(axis=0)
        smooth = np.convolve(np.pad(mean, SMOOTHING_BINS // 2, mode="edge"), kernel, mode="valid")
        return np.interp(grid, band_centres(spec), smooth / kernel.sum())

    one, other = envelope(before), envelope(after)
    # Half the difference of both ways: a likeness that is lopsided by itself moves nothing.
    return 0.5 * (_moved_by(one, other) - _moved_by(other, one)) / POINTS_PER_SEMITONE


def _moved_by(one: np.ndarray, other: np.ndarray) -> float:
    """Points by which f[n] has to be moved to be most like another, parts of a point too."""
    reach = 8 * POINTS_PER_SEMITONE
    inner = other[reach:-reach]
    lags = np.arange(-reach, reach + 1)
    likeness = np.array(
        [np.corrcoef(one[reach - lag : len(one) - reach - lag], inner)[0, 1] for lag in lags]
    )
    return float(lags[0]) + _peak(likeness)


def _peak(values: np.ndarray) -> float:
    """Where f[n] is largest, between its places by a parabola through the three around it."""
    i = int(np.argmax(values))
    if not 0 < i < len(values) - 1:
        return float(i)
    before, at, after = values[i - 1 : i + 2]
    return float(i + 0.5 * (before - after) / (before - 2.0 * at + after))


def _to_vowels(pair: Pair, vocabulary: Vocabulary) -> Iterator[tuple[int, int, int]]:
    """Of each consonant before a vowel: the frames of its start, its middle and the vowel's."""
    example, mel = pair
    names = [vocabulary.phonemes[token - 1] for token in example["tokens"]]
    ends = np.cumsum(example["ph_frames"])
    starts = ends - example["ph_frames"]
    for i, (first, second) in enumerate(zip(names, names[1:], strict=False)):
        if is_rest(first) or is_vowel(first) or not is_vowel(second):
            continue
        stop = min((starts[i + 1] + ends[i + 1]) // 2, len(mel) - 1)
        yield starts[i], (starts[i] + ends[i]) // 2, stop


def consonant_sec(pair: Pair, spec: MelSpec, vocabulary: Vocabulary) -> float:
    """Mean seconds of consonants before vowels, see the module's docstring."""
    mel, found = pair[1], []
    for start, middle, stop in _to_vowels(pair, vocabulary):
        between = mel[start:stop]
        own = np.linalg.norm(between - mel[middle], axis=1)
        found.append(int((own < np.linalg.norm(between - mel[stop], axis=1)).sum()))
    return float(np.mean(found)) / spec.frames_per_sec if found else float("nan")


def way_sec(pair: Pair, spec: MelSpec, vocabulary: Vocabulary) -> float:
    """Mean seconds from consonants to vowels at the fastest, see the module's docstring."""
    level, found = decibels(pair[1], spec), []
    for _, middle, stop in _to_vowels(pair, vocabulary):
        if stop - middle > 1:
            steps = np.linalg.norm(np.diff(level[middle : stop + 1], axis=0), axis=1)
            found.append(np.linalg.norm(level[stop] - level[middle]) / steps.max())
    return float(np.mean(found)) / spec.frames_per_sec if found else float("nan")


@functools.lru_cache(maxsize=4)
def band_centres(spec: MelSpec) -> np.ndarray:
    """Hz of each band."""
    edges = librosa.mel_frequencies(
        spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax, htk=spec.mel_scale == "htk"
    )
    return edges[1:-1]


def moved(example: Example, name: str, asked: float) -> Example:
    """A piece with a control changed."""
    curve = np.asarray(example[name])
    return {**example, name: curve * asked if name == "speed" else curve + asked}


def change(
    name: str, before: Sequence[Pair], after: Sequence[Pair], spec: MelSpec, words: Vocabulary
) -> float:
    """What became of the measure of a control, mean over the pieces."""
    one: dict[str, Callable[[Pair], float]] = {
        "energy": lambda pair: level_db(pair, spec),
        "breathiness": lambda pair: aperiodic_db(pair, spec),
        "tension": lambda pair: high_share_db(pair, spec),
        "speed": lambda pair: consonant_sec(pair, spec, words),
        "speed, way": lambda pair: way_sec(pair, spec, words),
    }
    if name == "key_shift":
        found = [envelope_shift(*both, spec) for both in zip(before, after, strict=True)]
    else:
        found = [one[name](b) - one[name](a) for a, b in zip(before, after, strict=True)]
    return float(np.nanmean(found))


def rows_of(
    voice: Voice, examples: Sequence[Example], how: Mapping[str, Any]
) -> list[dict[str, Any]]:
    """A row for each value of each control that the voice has."""
    sampling = resolve_sampling(voice, **how)
    sing = functools.partial(
        mels_of, voice, sampling=sampling, seed=0, frames_per_batch=FRAMES_PER_BATCH
    )
    spec, words = voice.info.mel, voice.info.vocabulary
    before = list(zip(examples, sing(examples), strict=True))
    rows = []
    for name in (n for n in ASKED if n in voice.curves):
        for asked in ASKED[name]:
            mels = sing([moved(example, name, asked) for example in examples])
            after = list(zip(examples, mels, strict=True))
            should = -np.sign(asked - 1.0) if name == "speed" else np.sign(asked)
            for label in HEARD_AS.get(name, (name,)):
                found = change(label, before, after, spec, words)
                right = "yes" if np.sign(found) == should else "no"
                rows.append({"control": label, "asked": asked, "change": found, "as should": right})
                print(measure.line(rows[-1]), flush=True)
    return rows


def main(arguments: Sequence[str] | None = None) -> None:
    """Measures every control of a voice."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--voice", required=True, metavar="DIR")
    parser.add_argument("--corpus", required=True, help="prepared with the voice's curves")
    parser.add_argument("--split", default="test")
    parser.add_argument("--pieces", type=int, help="only the first so many")
    parser.add_argument("--k_step", type=float, help="where sampling starts; the voice's own")
    measure.add_report_flags(parser)
    options = parser.parse_args(arguments)
    voice = load_voice(options.voice)
    if not set(ASKED) & set(voice.curves):
        raise InputError(
            f"{options.voice} has none of the controls {', '.join(ASKED)}; train a voice with "
            "--config=curves_pjs_small"
        )
    corpus = open_corpus(options.corpus, voice.curves)
    examples = list(corpus.source(options.split))[: options.pieces]
    runtime.remember_compiled_programs()
    rows = rows_of(voice, examples, {} if options.k_step is None else {"k_step": options.k_step})
    about = f"{voice.name}, {len(examples)} pieces of {options.split}."
    measure.report(options, "What the controls do", rows, about)


if __name__ == "__main__":
    runtime.run(main)
