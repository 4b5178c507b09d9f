"""How a voice's pitch lives and when its phonemes come, beside the singer: tables and pictures.

    diffsinger-jax evaluate --voice DIR --corpus PREPARED --split test --expression --out DIR

Pitch is of the singer's durations. No row is asked to be the recording's pitch: movement, note
changes and deviations from the notes are distributions that a performance has.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from diffsinger_jax import plots
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.pieces import mean_frames, median_frames
from diffsinger_jax.evaluation.recordings import song_of
from diffsinger_jax.evaluation.report import write_report
from diffsinger_jax.evaluation.systems import batches_of, fitted_frames, real_rows, row_keys
from diffsinger_jax.evaluation.tables import Table, compute
from diffsinger_jax.metrics import liveliness
from diffsinger_jax.metrics import measures as metrics
from diffsinger_jax.pipeline.mix import numbered_as
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus, text
from diffsinger_jax.plots import Span
from diffsinger_jax.score.phonology import is_rest, is_vowel
from diffsinger_jax.synthesis.expression import Expression, notes_on_frames
from diffsinger_jax.types import Batch, CorpusInfo, MelSpec, Vocabulary
from diffsinger_jax.voices.voice import Voice

SINGER, REGRESSION, GENERATED = "the singer", "regression", "generated"
UNCORRECTED = "generated, without pitch correction"
CORRECTED = "generated, full pitch correction"
TAKES = 3
FRAMES_PER_BATCH = 4096
PITCH_TITLE = "Pitch, with the singer's durations"
TIMING_TITLE = "Timing, each note beginning as recorded"
Predict = Callable[[Batch, np.ndarray], Any]
"""(batch, numbers of its examples) -> one row of values for each."""


def evaluate_expression(
    voice: Voice,
    corpus: PreparedCorpus,
    splits: Sequence[str],
    out: Path | None,
    *,
    seed: int = 0,
    frames_per_batch: int = FRAMES_PER_BATCH,
) -> dict[str, Table]:
    """Measures pitch and durations of every piece of some splits.

    Args:
      voice: with or without a variance model; its mel must be the corpus's.
      out: for the report and a picture of each song; None writes nothing.
      seed: of the first take; the others follow it.
      frames_per_batch: bounds memory, changes no number.

    Returns:
      title -> system -> measures.

    Raises:
      InputError: if voice and corpus do not belong together, or the voice predicts no pitch.
    """
    spec, numbered = voice.info.mel, numbered_as(corpus, voice.info)
    if differences := spec.differences(corpus.info.mel):
        raise InputError(
            f"the voice's mel is not the corpus's ({'; '.join(differences)}); prepare the corpus "
            "again with the voice's --mel"
        )
    examples = [example for split in splits for example in numbered.source(split)]
    takes = pitch_takes(voice, examples, seed, frames_per_batch)
    if not takes:
        raise InputError(f"the voice {voice.name} predicts no pitch, so there is none to measure")
    singer = [[example["f0"] for example in examples]]
    pitch = {
        name: pitch_row(examples, sung, singer, spec)
        for name, sung in ({SINGER: singer} | takes).items()
    }
    training = list(numbered.source("train")) if "train" in numbered.splits else []
    tables = {
        PITCH_TITLE: pitch,
        TIMING_TITLE: timing_table(voice, examples, training, frames_per_batch),
    }
    if out is not None:
        about = {
            "title": f"Expression of {voice.name} on {corpus.info.name}, {' and '.join(splits)}",
            "pieces": len(examples),
            "long notes": len(_long_notes(examples, spec)),
            "takes": len(takes.get(GENERATED, [])),
            "seed": seed,
        }
        write_report(out, about, tables)
        _draw(out, examples, takes, voice.info)
    return tables


def pitch_takes(
    voice: Voice, examples: Sequence[Example], seed: int, frames_per_batch: int = FRAMES_PER_BATCH
) -> dict[str, list[list[np.ndarray]]]:
    """System -> takes -> f32[T] Hz of each example, 0 unvoiced."""
    shown = [{k: v for k, v in e.items() if k not in ("f0", "mel")} for e in examples]

    def rows(predict: Predict) -> list[np.ndarray]:
        return _rows(predict, shown, voice.info.mel.n_mels, frames_per_batch, frames=True)

    takes: dict[str, list[list[np.ndarray]]] = {}
    if "f0" not in voice.requires:
        takes[REGRESSION] = [rows(lambda batch, numbers: voice.predict_f0(batch))]
    variance = voice.variance
    if variance is None or "f0" not in variance.predicts:
        return takes

    def take(number: int) -> list[np.ndarray]:
        return rows(lambda batch, numbers: variance.sample_f0(batch, row_keys(number, numbers)))

    drawn = [take(seed + number) for number in range(TAKES)]
    spec, own = voice.info.mel, variance.correction
    takes[GENERATED] = corrected(examples, drawn, own, spec)
    if own:
        takes[UNCORRECTED] = drawn
    takes[CORRECTED] = corrected(examples, drawn, 1.0, spec)
    return takes


def corrected(
    examples: Sequence[Example],
    takes: Sequence[Sequence[np.ndarray]],
    correction: float,
    spec: MelSpec,
) -> list[list[np.ndarray]]:
    """Takes of all examples with a correction, see `Expression`."""
    how = Expression(correction=correction)
    return [
        [_steered(how, e, f0, spec) for e, f0 in zip(examples, take, strict=True)] for take in takes
    ]


def least_correction(voice: Voice, examples: Sequence[Example], seed: int = 0) -> float:
    """The least by which a voice's notes are in tune as often as its singer's, in steps of 0.05.

    Args:
      voice: with a variance model that draws pitch; its own correction does not count.
      examples: of songs that it has not seen, numbered as the voice's.
      seed: of the first take.
    """
    assert voice.variance is not None
    plain = dataclasses.replace(voice.variance, correction=0.0)
    takes = pitch_takes(dataclasses.replace(voice, variance=plain), examples, seed)[GENERATED]
    spec, singer = voice.info.mel, [[example["f0"] for example in examples]]
    wanted = pitch_row(examples, singer, singer, spec)["notes_within_50_cents"]
    for step in range(20):
        sung = corrected(examples, takes, step / 20, spec)
        if pitch_row(examples, sung, singer, spec)["notes_within_50_cents"] >= wanted:
            return step / 20
    return 1.0


def _steered(how: Expression, example: Example, f0: np.ndarray, spec: MelSpec) -> np.ndarray:
    mel2ph = np.repeat(np.arange(1, len(example["tokens"]) + 1), example["ph_frames"])
    line, note = notes_on_frames(example, mel2ph, spec.frames_per_sec)
    return how.applied(f0, line, note, spec.frames_per_sec)


def pitch_row(
    examples: Sequence[Example],
    takes: Sequence[Sequence[np.ndarray]],
    singer: Sequence[Sequence[np.ndarray]],
    spec: MelSpec,
) -> dict[str, float]:
    """All measures of one system's pitch; what is measured of notes is of all takes together."""
    rate, notes = spec.frames_per_sec, [_notes(example) for example in examples]
    own = [(f0, these) for take in takes for f0, these in zip(take, notes, strict=True)]
    vibratos = [
        found
        for f0, these in own
        for note in these
        if (found := liveliness.vibrato(f0, note, rate)) is not None
    ]
    changes = [change for f0, these in own for change in liveliness.changes(f0, these, rate)]
    within = [(liveliness.notes_within(f0, these), len(these)) for f0, these in own if these]
    voicing = [
        metrics.pitch(true, f0) for take in takes for true, f0 in zip(singer[0], take, strict=True)
    ]
    rates = [found.rate_hz for found in vibratos if found.is_vibrato]
    return {
        "movement_cents": _mean([found.rms_cents**2 for found in vibratos]) ** 0.5,
        "vibrato_share": _mean([found.is_vibrato for found in vibratos]),
        "vibrato_rate": float(np.median(rates)) if rates else float("nan"),
        "preparation_cents": _mean([change.preparation for change in changes]),
        "overshoot_cents": _mean([change.overshoot for change in changes]),
        "distance_cents": liveliness.wasserstein(
            _distances(takes, notes), _distances(singer, notes)
        ),
        "notes_within_50_cents": _mean([v for v, n in within for _ in range(n) if v == v]),
        "vuv_error": compute(voicing)["vuv_error"],
        "take_spread_cents": liveliness.take_spread([np.concatenate(list(t)) for t in takes])
        if len(takes) > 1
        else float("nan"),
    }


def _distances(
    takes: Sequence[Sequence[np.ndarray]], notes: Sequence[Sequence[liveliness.SungNote]]
) -> np.ndarray:
    return np.concatenate(
        [
            liveliness.distances(f0, these)
            for take in takes
            for f0, these in zip(take, notes, strict=True)
        ]
    )


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else float("nan")


def _notes(example: Example) -> list[liveliness.SungNote]:
    """A note reaches from its vowel up to the next one's."""
    frames = np.asarray(example["ph_frames"])
    firsts = np.flatnonzero(example["onset"])
    word = np.maximum(np.cumsum(example["onset"]) - 1, 0)
    midi = np.repeat(np.asarray(example["note_midi"])[firsts][word], frames)
    onset = np.zeros(len(midi), bool)
    onset[(np.cumsum(frames) - frames)[firsts]] = True
    return liveliness.notes_of_frames(midi, onset)


def _long_notes(examples: Sequence[Example], spec: MelSpec) -> list[liveliness.SungNote]:
    least = liveliness.LONG_NOTE_SEC * spec.frames_per_sec
    return [n for example in examples for n in _notes(example) if n.last - n.first >= least]


def timing_table(
    voice: Voice, examples: Sequence[Example], training: Sequence[Example], frames_per_batch: int
) -> Table:
    """Durations as they are sung, beside each phoneme's mean and median of the training songs.

    Args:
      training: pieces to take those of; without them their rows are left out.
    """
    n_mels, vocabulary = voice.info.mel.n_mels, voice.info.vocabulary
    predicted: dict[str, list[np.ndarray]] = {}

    def rows(predict: Predict) -> list[np.ndarray]:
        return _rows(predict, examples, n_mels, frames_per_batch, frames=False)

    for name, of in (("mean", mean_frames), ("median", median_frames)) if training else ():
        table = of(training)
        predicted[f"{name} of each phoneme"] = [
            np.array([table.get(int(token), 1.0) for token in e["tokens"]]) for e in examples
        ]
    if "durations" not in voice.requires:
        predicted[REGRESSION] = rows(lambda batch, numbers: voice.predict_frames(batch))
    variance = voice.variance
    if variance is not None and "durations" in variance.predicts:
        predicted["variance model"] = rows(lambda batch, numbers: variance.predict_frames(batch))
    return {
        name: compute(
            [
                _timing(example, fitted_frames(example, frames, vocabulary), voice.info)
                for example, frames in zip(examples, durations, strict=True)
            ]
        )
        for name, durations in predicted.items()
    }


def _timing(
    example: Example, frames: np.ndarray, info: CorpusInfo
) -> Mapping[str, metrics.Measure]:
    vowels, rests = _kinds(example, info.vocabulary)
    return {
        **metrics.timing(example["ph_frames"], frames, vowels, rests, info.mel),
        **metrics.durations(example["ph_frames"], frames, info.mel),
    }


def _kinds(example: Example, vocabulary: Vocabulary) -> tuple[np.ndarray, np.ndarray]:
    symbols = [vocabulary.phonemes[token - 1] for token in example["tokens"]]
    return np.array(list(map(is_vowel, symbols))), np.array(list(map(is_rest, symbols)))


def _rows(
    predict: Predict,
    examples: Sequence[Example],
    n_mels: int,
    frames_per_batch: int,
    *,
    frames: bool,
) -> list[np.ndarray]:
    """What is predicted of each example, without padding: f32[T] with `frames`, else f32[N]."""
    found: list[np.ndarray] = [np.zeros(0, np.float32)] * len(examples)
    for numbers, batch in batches_of(examples, n_mels, frames_per_batch):
        values = np.asarray(jax.device_get(predict(batch, numbers)), np.float32)
        mask = batch.mask if frames else batch.tokens > 0
        for row, number in real_rows(numbers):
            found[number] = values[row][mask[row]]
    return found


def _draw(
    out: Path,
    examples: Sequence[Example],
    takes: Mapping[str, Sequence[Sequence[np.ndarray]]],
    info: CorpusInfo,
) -> None:
    """A picture of each song's longest piece: notes, singer, regression, takes."""
    longest: dict[str, int] = {}
    for number, example in enumerate(examples):
        song = song_of(text(example["name"]))
        if song not in longest or len(example["f0"]) > len(examples[longest[song]]["f0"]):
            longest[song] = number
    spec = info.mel
    for song, number in longest.items():
        curves = {SINGER: examples[number]["f0"]}
        if REGRESSION in takes:
            curves[REGRESSION] = takes[REGRESSION][0][number]
        for take, sung in enumerate(takes.get(GENERATED, ()), 1):
            curves[f"take {take}"] = sung[number]
        notes = [
            Span(float(spec.seconds(n.first)), float(spec.seconds(n.last)), n.midi)
            for n in _notes(examples[number])
        ]
        plots.f0_rows(out / f"{song}_f0.png", curves, spec, notes=notes, title=song)
