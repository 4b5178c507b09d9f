"""The `.ds` format of openvpi DiffSinger and OpenUtau: reader, writer, and a check.

docs/ds.md writes the schema down; `diffsinger-jax validate FILE ...` checks files.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from diffsinger_jax.atomic_write import atomic_write
from diffsinger_jax.errors import InputError, first_line
from diffsinger_jax.pitch import hz_to_midi
from diffsinger_jax.score.ds_schema import (
    CURVE_KEYS,
    SPEAKER_PREFIX,
    SPEAKERS,
    Segment,
    curve_keys,
    parse_segment,
)
from diffsinger_jax.score.phonology import CODAS, is_rest, is_vowel, nucleus_index
from diffsinger_jax.score.pitch_names import name_of_midi
from diffsinger_jax.types import BREATH, SILENCE, Note, Phoneme, Piece, Score


def read_ds(path: str | Path) -> Score:
    """Reads a `.ds` file, one piece per segment, with its phonemes.

    Given `ph_dur` and curves are kept. The notes are those of the file; where there are none
    they come from f0 (the median over each word, to the nearest semitone). Where `ph_dur` and
    `note_dur` of a word differ by more than a millisecond, its notes are stretched to its
    phonemes. A vowel sung on several notes becomes a phoneme on each.

    Raises:
      InputError: naming the segment and key of the first fault.
    """
    source = str(path)
    pieces = []
    language = ""
    for count, raw in enumerate(_segments(path), 1):
        segment, faults = parse_segment(raw)
        if segment is None:
            raise InputError(f"{source}: segment {count}: {faults[0]}")
        language = language or segment.language
        pieces.append(piece_of_segment(segment, f"segment {count}"))
    pieces.sort(key=lambda piece: piece.offset_sec)
    return Score(Path(path).stem, language, tuple(pieces), source)


def faults_of(path: str | Path) -> list[str]:
    """All faults of a file, each "segment 2: key: what is wrong".

    Raises:
      InputError: if it is not JSON at all.
    """
    return [
        f"segment {count}: {fault}"
        for count, raw in enumerate(_segments(path), 1)
        for fault in parse_segment(raw)[1]
    ]


def write_ds(path: str | Path, score: Score) -> None:
    """Writes a score whose pieces have phonemes, whole or not at all.

    Reading it again gives the same pieces: times and curves to the last bit, pitches to the
    cent, `where` and the source by the new file.

    Raises:
      InputError: if a piece has no phonemes yet, or the place cannot be written to.
    """
    path = Path(path)
    segments = [_segment_json(piece, score) for piece in score.pieces]
    text = json.dumps(segments, ensure_ascii=False, indent=2) + "\n"
    try:
        with atomic_write(path) as partial:
            partial.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written ({error.strerror}); choose another place"
        ) from error


def _segments(path: str | Path) -> list[Any]:
    try:
        parsed = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); check the path") from error
    except (ValueError, RecursionError) as error:  # also numbers of thousands of digits
        raise InputError(
            f"{path}: not JSON in UTF-8 ({first_line(error)}); export it again"
        ) from error
    if isinstance(parsed, dict):
        return [parsed]
    if not isinstance(parsed, list) or not parsed:
        raise InputError(f"{path}: expected a list of segments (JSON objects), with at least one")
    return parsed


# Reading: a segment to a piece


def piece_of_segment(segment: Segment, where: str) -> Piece:
    """The piece that a checked segment says."""
    words = _spans(segment.word_sizes)
    if segment.midis is None:
        assert segment.ph_sec is not None  # `parse_segment` asks for one of the two
        midis, slurs = _midis_from_f0(segment, words), (False,) * len(words)
        note_sec = np.asarray([segment.ph_sec[a:b].sum() for a, b in words])
    else:
        assert segment.slurs is not None and segment.note_sec is not None  # they come together
        midis, slurs, note_sec = segment.midis, segment.slurs, segment.note_sec.copy()
    heads = [i for i, slur in enumerate(slurs) if not slur]
    note_spans = list(zip(heads, [*heads[1:], len(midis)], strict=True))
    if segment.ph_sec is not None:
        for (a, b), (first, stop) in zip(words, note_spans, strict=True):
            sung, written = segment.ph_sec[a:b].sum(), note_sec[first:stop].sum()
            if abs(sung - written) > 1e-3:
                note_sec[first:stop] *= sung / written
    lyrics: list[str | None] = [None] * len(midis)
    for word, head in enumerate(heads):
        if segment.words and midis[head] is not None:
            lyrics[head] = segment.words[word]
    notes = tuple(
        Note(float(sec), midi, lyric, slur, f"note {i}")
        for i, (sec, midi, lyric, slur) in enumerate(
            zip(note_sec, midis, lyrics, slurs, strict=True), 1
        )
    )
    phonemes: list[Phoneme] = []
    for word in range(len(words)):
        phonemes += _word_phonemes(segment, word, words[word], note_spans, note_sec, midis)
    return Piece(
        segment.offset_sec, notes, tuple(phonemes), segment.curves, where, segment.language
    )


def _spans(sizes: Sequence[int]) -> list[tuple[int, int]]:
    ends = np.cumsum(sizes).tolist()
    return list(zip([0, *ends[:-1]], ends, strict=True))


def _word_phonemes(
    segment: Segment,
    word: int,
    span: tuple[int, int],
    note_spans: Sequence[tuple[int, int]],
    note_sec: np.ndarray,
    midis: Sequence[float | None],
) -> list[Phoneme]:
    """The phonemes of one word: its vowel on each of its notes, then the consonants."""
    symbols = segment.symbols[span[0] : span[1]]
    seconds = (
        [None] * len(symbols)
        if segment.ph_sec is None
        else segment.ph_sec[span[0] : span[1]].tolist()
    )
    first, stop = note_spans[word]
    count = stop - first
    # Only the first word of a segment can start with consonants.
    nucleus = 0 if word or is_rest(symbols[0]) else nucleus_index(symbols)
    phonemes = [
        Phoneme(symbol, first, False, sec)
        for symbol, sec in zip(symbols[:nucleus], seconds[:nucleus], strict=True)
    ]
    vowel, tail = symbols[nucleus], nucleus + 1
    if symbols[nucleus : nucleus + count] == (vowel,) * count:
        tail = nucleus + count  # already there once per note
        parts = seconds[nucleus:tail]
    else:
        parts = _split(seconds[nucleus], note_sec[first:stop], sum(filter(None, seconds[:nucleus])))
    phonemes += [Phoneme(vowel, first + i, True, sec) for i, sec in enumerate(parts)]
    note = stop - 1
    sung_follows = stop < len(midis) and midis[stop] is not None
    for symbol, sec in zip(symbols[tail:], seconds[tail:], strict=True):
        coda = symbol in CODAS or is_vowel(symbol) or is_rest(symbol)
        if sung_follows and not coda:
            note = stop  # a consonant of the next syllable, and all after it
        phonemes.append(Phoneme(symbol, note, False, sec))
    if word == 0 and not phonemes[0].onset:
        phonemes[0] = dataclasses.replace(phonemes[0], onset=True)
        phonemes[nucleus] = dataclasses.replace(phonemes[nucleus], onset=False)
    return phonemes


def _split(sec: float | None, note_sec: np.ndarray, late_sec: float) -> list[float | None]:
    """A vowel's duration over its notes: up to where each note ends, if it lasts that long.

    Args:
      sec: of the vowel, None if not given.
      note_sec: f64[n] of its notes.
      late_sec: how long after its first note it starts.
    """
    if sec is None or len(note_sec) == 1:
        return [sec] * len(note_sec)
    inner_ends = np.cumsum(note_sec)[:-1] - late_sec
    if inner_ends[0] <= 0 or inner_ends[-1] >= sec:
        inner_ends = sec * np.cumsum(note_sec)[:-1] / note_sec.sum()
    return np.diff([0.0, *inner_ends, sec]).tolist()


def _midis_from_f0(segment: Segment, words: Sequence[tuple[int, int]]) -> tuple[float | None, ...]:
    """Median f0 of each word, to the nearest semitone; unvoiced words keep the pitch before."""
    assert segment.ph_sec is not None
    curve = segment.curves["f0"]
    ends = np.concatenate([[0.0], np.cumsum(segment.ph_sec)]) / curve.timestep_sec
    midis: list[float | None] = []
    last: float | None = None
    for start, stop in words:
        if is_rest(segment.symbols[start]):
            midis.append(None)
            continue
        f0 = curve.values[int(round(ends[start])) : int(round(ends[stop]))]
        voiced = f0[f0 > 0]
        if len(voiced):
            last = float(np.round(hz_to_midi(np.median(voiced))))
        midis.append(last)
    return tuple(midis)


# Writing: a piece to a segment


def _segment_json(piece: Piece, score: Score) -> dict[str, Any]:
    if piece.phonemes is None:
        raise InputError(
            f"{score.source or score.title}: the score has no phonemes yet, which .ds needs; read "
            "its lyrics with a dictionary first"
        )
    words: list[list[Phoneme]] = []
    for phoneme in piece.phonemes:
        if phoneme.onset and not piece.notes[phoneme.note_index].slur:
            words.append([])
        words[-1].append(phoneme)
    timed = all(phoneme.duration_sec is not None for phoneme in piece.phonemes)
    if not timed:
        words = [_merged(word, piece) for word in words]
    phonemes = [phoneme for word in words for phoneme in word]
    segment: dict[str, Any] = {"offset": piece.offset_sec}
    if piece.language or score.language:
        segment["lang"] = piece.language or score.language
    heads = [note for note in piece.notes if not note.slur]
    if all(note.lyric for note in heads if note.midi is not None):
        segment["text"] = " ".join(
            BREATH
            if word[0].symbol == BREATH and note.midi is None
            else "_".join((note.lyric or SILENCE if note.midi is not None else SILENCE).split())
            for note, word in zip(heads, words, strict=True)
        )
    segment["ph_seq"] = " ".join(phoneme.symbol for phoneme in phonemes)
    if timed:
        segment["ph_dur"] = _joined(phoneme.duration_sec for phoneme in phonemes)
    segment["ph_num"] = _joined(len(word) for word in words)
    segment["note_seq"] = " ".join(name_of_midi(note.midi) for note in piece.notes)
    segment["note_dur"] = _joined(note.duration_sec for note in piece.notes)
    segment["note_slur"] = _joined(int(note.slur) for note in piece.notes)
    for name in (*CURVE_KEYS, *sorted(set(piece.curves) - set(CURVE_KEYS))):
        if name not in piece.curves or name.startswith(SPEAKER_PREFIX):
            continue
        key, step_key = curve_keys(name)
        # str of a float32 has the fewest digits that give it back.
        segment[key] = " ".join(map(str, np.asarray(piece.curves[name].values, np.float32)))
        segment[step_key] = float(piece.curves[name].timestep_sec)
    segment |= _speakers_json(piece)
    return segment


def _speakers_json(piece: Piece) -> dict[str, Any]:
    shares = {
        name.removeprefix(SPEAKER_PREFIX): curve
        for name, curve in piece.curves.items()
        if name.startswith(SPEAKER_PREFIX)
    }
    steps = [float(curve.timestep_sec) for curve in shares.values() if len(curve.values) > 1]
    said = {n: " ".join(map(str, np.asarray(c.values, np.float32))) for n, c in shares.items()}
    return ({SPEAKERS: said} if said else {}) | (
        {f"{SPEAKERS}_timestep": steps[0]} if steps else {}
    )


def _joined(values) -> str:
    return " ".join(map(repr, values))


def _merged(word: list[Phoneme], piece: Piece) -> list[Phoneme]:
    """Without the repeats of the vowel on slurs, as other programs write it."""
    repeats = [p for p in word if p.onset and piece.notes[p.note_index].slur]
    merged = [p for p in word if p not in repeats]
    symbols = [p.symbol for p in merged]
    nucleus = 0 if is_rest(symbols[0]) else nucleus_index(symbols)
    # A vowel that follows itself would read as the repeat.
    return word if symbols[nucleus] in symbols[nucleus + 1 : nucleus + 2] else merged
