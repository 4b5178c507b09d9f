"""Looks at recordings of speech: a usual speed, a voice in its vowels, not too much silence."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from diffsinger_jax.corpus.features import SongFeatures
from diffsinger_jax.corpus.nuclei import is_rest
from diffsinger_jax.corpus.songs import SungPhoneme, SungSong
from diffsinger_jax.score.phonology import is_vowel
from diffsinger_jax.types import MelSpec

LONG_PHONE_SEC = 0.6
"""No phone of speech lasts so long; an aligner that was lost puts a word into one."""
LONG_PAUSE_SEC = 2.0
PHONES_PER_SEC = (5.0, 25.0)
"""Speech without its pauses, slow to fast; the middle is about 12."""
SPOKEN_SHARE = 0.4
"""Less of a recording than this is spoken: it is cut badly."""
UNVOICED_WARN, UNVOICED_FAIL = 0.25, 0.5
"""Share of vowels without voice; whispered and creaky vowels are common at the ends of phrases."""
QUIET = 0.02
"""Peak below which a recording is almost silent."""


def speech_findings(
    song: SungSong, features: SongFeatures, spec: MelSpec
) -> Iterator[tuple[str, str]]:
    """(verdict, reason in words) of a spoken recording, beside those of its sound by itself."""
    if 0.0 < features.peak < QUIET:
        yield "warn", f"the audio is very quiet, its peak is {features.peak:.3f} of full scale"
    yield from _durations(song)
    yield from _voicing(song, features, spec)


def _durations(song: SungSong) -> Iterator[tuple[str, str]]:
    """Lengths that speech does not have."""
    spoken = [p for p in song.phonemes if not is_rest(p.symbol)]
    long = [p for p in spoken if p.duration_sec > LONG_PHONE_SEC]
    for phoneme in long[:3]:
        yield (
            "fail" if phoneme.duration_sec > 2 * LONG_PHONE_SEC else "warn",
            f"{phoneme.symbol} at {phoneme.start_sec:.2f} s lasts {phoneme.duration_sec:.2f} s",
        )
    for pause in song.phonemes[1:-1]:
        if is_rest(pause.symbol) and pause.duration_sec > LONG_PAUSE_SEC:
            yield (
                "warn",
                f"a pause of {pause.duration_sec:.1f} s at {pause.start_sec:.2f} s; cut it better",
            )
    spoken_sec = sum(p.duration_sec for p in spoken)
    if not spoken_sec:
        return
    rate = len(spoken) / spoken_sec
    if not PHONES_PER_SEC[0] <= rate <= PHONES_PER_SEC[1]:
        yield "fail", f"{rate:.1f} phones in a second, which nobody speaks"
    share = spoken_sec / song.phonemes[-1].end_sec
    if share < SPOKEN_SHARE:
        yield "warn", f"only {share:.0%} of it is speech, by its alignment"


def _voicing(song: SungSong, features: SongFeatures, spec: MelSpec) -> Iterator[tuple[str, str]]:
    """Are the vowels voiced? If not, the alignment is shifted."""
    vowels = [p for p in song.phonemes if is_vowel(p.symbol)]
    voiced = [bool(np.any(f0 > 0)) for p in vowels if len(f0 := _frames(p, features.f0, spec))]
    share = 1.0 - float(np.mean(voiced)) if voiced else 1.0
    if vowels and share > UNVOICED_WARN:
        verdict = "fail" if share > UNVOICED_FAIL else "warn"
        yield verdict, f"{share:.0%} of the vowels have no voice; the alignment may be shifted"


def _frames(phoneme: SungPhoneme, values: np.ndarray, spec: MelSpec) -> np.ndarray:
    """The values in the frames of a phoneme."""
    return values[spec.nearest_frame(phoneme.start_sec) : spec.nearest_frame(phoneme.end_sec)]
