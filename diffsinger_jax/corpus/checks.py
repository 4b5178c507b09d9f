"""Looks at every song before it is used: do audio, labels and notes tell the same story?"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from diffsinger_jax.corpus.features import SongFeatures
from diffsinger_jax.corpus.nuclei import is_nucleus
from diffsinger_jax.corpus.songs import SungPhoneme, SungSong
from diffsinger_jax.corpus.speech_checks import speech_findings
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.types import MelSpec

# Thresholds stand where PJS has a gap between its good and its faulty songs.
END_FAIL_SEC = 0.1  # 81 songs within 0.03 s, the others off by 0.15 s and more
CLIPPED_RUNS_FAIL = 20
# Audiobooks are made loud: clips of LJSpeech have up to 20 runs in a second and sound well.
CLIPPED_RUNS_PER_SEC_FAIL = 50.0  # of speech
LATE_FAIL_SEC = 0.08  # median of a song: 88 songs within 0.02 s, the others 0.26 s and more
LATE_NOTE_SEC, LATE_NOTES_FAIL = 0.15, 0.1
# Notes shorter than this are slid over rather than sung, and tell little of the pitch.
PITCHED_SEC = 0.12
OFF_PITCH_SEMITONES, OFF_PITCH_WARN, OFF_PITCH_FAIL = 1.0, 0.2, 0.4
UNVOICED_WARN, UNVOICED_FAIL = 0.05, 0.15

VERDICTS = ("ok", "warn", "fail")
Finding = tuple[str, str]
"""(verdict, reason in words)"""


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found in one song: the worst verdict and all reasons in words."""

    verdict: str
    reason: str


def check_song(song: SungSong, features: SongFeatures | None, spec: MelSpec) -> Report:
    """All checks of one song.

    Args:
      features: of its audio; None if there is no sound file.
    """
    findings: list[Finding] = [("fail", fault) for fault in song.faults]
    findings += [("warn", doubt) for doubt in song.doubts]
    if features is None:
        findings.append(("fail", f"there is no audio, expected {song.wav.name}"))
    else:
        per_sec = CLIPPED_RUNS_PER_SEC_FAIL * features.duration_sec
        findings += _sound(features, per_sec if song.spoken else CLIPPED_RUNS_FAIL)
    if song.phonemes and song.spoken:
        if features is not None:
            findings += _extent(song, features)
            findings += speech_findings(song, features, spec)
    elif song.phonemes:
        findings += _score(song)
        if features is not None:
            findings += _extent(song, features)
            findings += _voicing(song, features, spec)
            findings += _pitch(song, features, spec)
    worst = max((VERDICTS.index(verdict) for verdict, _ in findings), default=0)
    return Report(VERDICTS[worst], "; ".join(reason for _, reason in findings))


def _sound(features: SongFeatures, clipped_runs_fail: float) -> Iterator[Finding]:
    """The samples by themselves."""
    if features.channels != 1:
        yield "fail", f"the audio has {features.channels} channels, expected one"
    if features.peak == 0.0:
        yield "fail", "the audio is silent"
    if features.clipped_runs:
        verdict = "fail" if features.clipped_runs >= clipped_runs_fail else "warn"
        yield verdict, f"the audio is clipped, in {features.clipped_runs} place(s)"
    for name, curve in features.curves.items():
        if curve.shape != features.f0.shape:
            yield "fail", f"the curve {name} has {curve.shape} values for {len(features.f0)} frames"
        elif not np.all(np.isfinite(curve)):
            yield "fail", f"the curve {name} has values that are no numbers"


def _extent(song: SungSong, features: SongFeatures) -> Iterator[Finding]:
    """Do labels and audio end together?"""
    end_sec, audio_sec = song.phonemes[-1].end_sec, features.duration_sec
    late_sec = end_sec - audio_sec
    if abs(late_sec) > END_FAIL_SEC:
        where = "after" if late_sec > 0 else "before"
        yield (
            "fail",
            f"the labels end {abs(late_sec):.2f} s {where} the audio "
            f"({end_sec:.2f} s, {audio_sec:.2f} s)",
        )


def _score(song: SungSong) -> Iterator[Finding]:
    """Do labels and notes agree, in number and in time?"""
    if all(p.midi == 0 for p in song.phonemes):
        yield "fail", "no phoneme has a note"
    if song.notes is None:
        return
    vowels = [p for p in song.phonemes if is_nucleus(p.symbol, song.language) and not p.slur]
    if len(vowels) != len(song.notes):
        yield "fail", f"{len(vowels)} vowels for {len(song.notes)} notes"
        return
    late_sec = np.asarray(
        [p.start_sec - note.start_sec for p, note in zip(vowels, song.notes, strict=True)]
    )
    median_sec = float(np.median(late_sec))
    share = float(np.mean(np.abs(late_sec) > LATE_NOTE_SEC))
    if abs(median_sec) > LATE_FAIL_SEC:
        where = "after" if median_sec > 0 else "before"
        yield "fail", f"the vowels are labelled {abs(median_sec):.2f} s {where} their notes"
    elif share > LATE_NOTES_FAIL:
        yield "fail", f"{share:.0%} of the vowels are {LATE_NOTE_SEC} s or more off their notes"


def _voicing(song: SungSong, features: SongFeatures, spec: MelSpec) -> Iterator[Finding]:
    """Are the vowels voiced?"""
    voiced = [
        np.mean(f0 > 0) >= 0.5
        for p in song.phonemes
        if p.onset and p.midi and len(f0 := middle_f0(p, features.f0, spec))
    ]
    share = 1.0 - float(np.mean(voiced)) if voiced else 1.0
    if share > UNVOICED_WARN:
        verdict = "fail" if share > UNVOICED_FAIL else "warn"
        yield verdict, f"{share:.0%} of the notes have no voice in the middle of their vowel"


def _pitch(song: SungSong, features: SongFeatures, spec: MelSpec) -> Iterator[Finding]:
    """Is sung what is written?"""
    long = [p for p in song.phonemes if p.duration_sec >= PITCHED_SEC]
    off = np.asarray([d for _, d in sung_deviations(long, features.f0, spec)])
    if len(off) == 0:
        return
    median = float(np.median(off))
    share = float(np.mean(np.abs(off) > OFF_PITCH_SEMITONES))
    moved_share = float(np.mean(np.abs(off - median) > OFF_PITCH_SEMITONES))
    if share > OFF_PITCH_FAIL and moved_share <= OFF_PITCH_FAIL:
        where = "above" if median > 0 else "below"
        octaves = round(abs(median) / 12)
        what = f"{octaves} octave(s)" if abs(abs(median) - 12 * octaves) < 1 and octaves else ""
        what = what or f"{abs(median):.1f} semitones"
        yield "fail", f"the song is sung {what} {where} its notes (median {median:+.2f} semitones)"
    elif share > OFF_PITCH_WARN:
        yield (
            "fail" if share > OFF_PITCH_FAIL else "warn",
            f"{share:.0%} of the notes are sung more than {OFF_PITCH_SEMITONES:g} semitone off",
        )


def middle_f0(phoneme: SungPhoneme, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    """f0 in the middle half of a phoneme, at least one frame where there is audio."""
    start, length = spec.frames(phoneme.start_sec), spec.frames(phoneme.duration_sec)
    first = int(start + length / 4 + 0.5)
    return f0[first : max(int(start + length * 3 / 4 + 0.5), first + 1)]


def sung_deviations(
    phonemes: Sequence[SungPhoneme], f0: np.ndarray, spec: MelSpec
) -> list[tuple[SungPhoneme, float]]:
    """Semitones from each note to the median of what is sung in its vowel's middle half."""
    deviations = []
    for phoneme in phonemes:
        if phoneme.onset and phoneme.midi:
            voiced = middle_f0(phoneme, f0, spec)
            voiced = voiced[voiced > 0]
            if len(voiced):
                sung = hz_to_midi(np.median(voiced))
                deviations.append((phoneme, float(sung - phoneme.midi)))
    return deviations
