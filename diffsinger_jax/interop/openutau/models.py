"""The graphs of a voicebank over one phrase, each given what OpenUtau gives it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau import expressions
from diffsinger_jax.interop.openutau.curves import (
    FrameGrid,
    TimedCurve,
    drawn_pitch,
    given_curve,
    given_pitch,
    on_other_frames,
)
from diffsinger_jax.interop.openutau.dictionary import SoundTable
from diffsinger_jax.interop.openutau.melody import melody
from diffsinger_jax.interop.openutau.model_folder import ModelFolder
from diffsinger_jax.interop.openutau.phrases import Phone, Phrase
from diffsinger_jax.interop.openutau.settings import Settings
from diffsinger_jax.interop.openutau.speakers import Cast
from diffsinger_jax.interop.openutau.steering import UNSTEERED, Steering
from diffsinger_jax.interop.openutau.timing import (
    NoteGroups,
    phones_at,
    require_durations,
    words_by_vowel,
)
from diffsinger_jax.interop.openutau.voicebank import Voicebank
from diffsinger_jax.pitch import midi_to_hz
from diffsinger_jax.score.phonology import is_voiceless
from diffsinger_jax.synthesis.expression import spliced
from diffsinger_jax.synthesis.sung_pitch import SPLICE_SEC
from diffsinger_jax.types import SILENCE

PITCH_STEPS, VARIANCE_STEPS = 10, 20
"""Those that OpenUtau takes unless its user says otherwise."""
_PITCH_NOTHING = 60.0
"""What OpenUtau gives as the pitch that is to be predicted anew."""


@dataclasses.dataclass(frozen=True)
class Steps:
    """How the acoustic graph samples.

    Attributes:
      depth: how much of the diffusion it runs, in [0, 1].
      steps: of its sampler.
    """

    depth: float
    steps: int


@dataclasses.dataclass(frozen=True)
class PhraseMel:
    """A phrase before the vocoder.

    Attributes:
      phrase: what it is of.
      phones: where each phoneme is.
      grid: the acoustic model's frames.
      pitch: f64[T] MIDI numbers, without the tone shift.
      curves: f64[T] each, that the acoustic model was shown.
      mel: f32[T, M].
    """

    phrase: Phrase
    phones: tuple[Phone, ...]
    grid: FrameGrid
    pitch: np.ndarray
    curves: Mapping[str, np.ndarray]
    mel: np.ndarray

    @property
    def f0(self) -> np.ndarray:
        """f32[T] Hz."""
        return midi_to_hz(self.pitch).astype(np.float32)

    @property
    def voiced_f0(self) -> np.ndarray:
        """f32[T] Hz, 0 in silence and voiceless consonants."""
        voiceless = [is_voiceless(phone.symbol) for phone in self.phones]
        return np.where(np.repeat([True, *voiceless, True], self.grid.ph_dur), 0, self.f0)


def sing_phrase(
    voicebank: Voicebank,
    phrase: Phrase,
    cast: Cast,
    steps: Steps,
    *,
    steering: Steering = UNSTEERED,
    shifts_tone: bool = False,
) -> PhraseMel:
    """Durations, pitch, curves and mel of a phrase, each predicted where the score gives none.

    Args:
      voicebank: that sings.
      phrase: of a prepared score.
      cast: who of it sings.
      steps: how the acoustic graph samples.
      steering: of what its pitch graph draws.
      shifts_tone: whether its vocoder takes another f0 than the mel was made for.

    Raises:
      InputError: for what neither the score gives nor the voicebank predicts, or a graph that
        fails.
    """
    phones = phrase.given or predict_phones(voicebank, phrase, cast)
    grid = FrameGrid.of(phones, voicebank.acoustic.settings.frame_sec)
    pitch_curve = given_pitch(phrase)
    if pitch_curve is None and voicebank.pitch is not None:
        pitch_curve = predict_pitch(voicebank.pitch, phrase, phones, cast, steering)
    pitch = (pitch_curve or drawn_pitch(phrase, grid)).at(grid.times_sec)
    chosen = steering.chosen(phrase, grid.times_sec)
    if steering.retaker is not None and chosen.any():
        given = grid.curve(pitch)
        again = predict_pitch(steering.retaker, phrase, phones, cast, steering, given)
        blend = round(SPLICE_SEC / grid.frame_sec)
        pitch = spliced(pitch, again.at(grid.times_sec), chosen, blend)
    curves = _curves(voicebank, phrase, phones, grid, grid.curve(pitch), cast)
    part = voicebank.acoustic
    symbols = _padded(phones)
    shift = expressions.tone_shift(phrase, grid.times_sec) if shifts_tone else 0.0
    feed = {
        "tokens": part.tokens(symbols, phrase.piece.where),
        **part.language_ids(symbols),
        "durations": grid.ph_dur[None],
        "f0": midi_to_hz(pitch + shift).astype(np.float32)[None],
        **{name: values.astype(np.float32)[None] for name, values in curves.items()},
        **cast.by_frame(part, phrase, phones, grid),
        **acoustic_steps(part, steps),
    }
    mel = next(iter(part.run("acoustic", feed).values()))
    expected = (1, grid.frames, part.settings.num_mel_bins)
    if mel.shape != expected:
        raise InputError(
            f"{part.graph('acoustic').where}: made a mel of shape {mel.shape}, expected "
            f"{expected}; correct hop_size or num_mel_bins in {part.settings.where}"
        )
    shown = {name: curves[name] for name in part.settings.shown_curves}
    return PhraseMel(phrase, phones, grid, pitch, shown, np.asarray(mel[0], np.float32))


def predict_phones(voicebank: Voicebank, phrase: Phrase, cast: Cast) -> tuple[Phone, ...]:
    """Places of the phonemes by the duration model, each vowel at its note.

    Raises:
      InputError: if there is no such model, or what it predicts cannot be.
    """
    part = voicebank.dur
    if part is None or not part.settings.predict_dur:
        raise InputError(
            f"{phrase.piece.where or voicebank.name}: the voicebank predicts no durations, it has "
            "no dsdur, and the score gives none; give ph_dur in a .ds"
        )
    language = phrase.language or voicebank.info.vocabulary.languages[0]
    groups = NoteGroups(phrase, voicebank.table(language), SILENCE)
    symbols = [symbol for group in groups.symbols for symbol in group]
    frame_sec = part.settings.frame_sec
    feed = groups.feed(frame_sec)
    ph_midi = feed.pop("ph_midi")
    encoded = part.run(
        "linguistic",
        {"tokens": part.tokens(symbols, phrase.piece.where)} | part.language_ids(symbols) | feed,
    )
    midis = ph_midi[0].tolist()
    found = part.run("dur", encoded | {"ph_midi": ph_midi} | cast.by_phoneme(part, midis))
    predicted = next(iter(found.values())).reshape(-1)
    require_durations(predicted, len(symbols), frame_sec, part.graph("dur").where)
    return phones_at(phrase, groups.aligned_sec(predicted, frame_sec, phrase.room_sec))


def predict_pitch(
    part: ModelFolder,
    phrase: Phrase,
    phones: Sequence[Phone],
    cast: Cast,
    steering: Steering = UNSTEERED,
    given: TimedCurve | None = None,
) -> TimedCurve:
    """MIDI numbers by the pitch model: all of them, or those to be drawn anew of a given pitch."""
    grid = FrameGrid.of(phones, part.settings.frame_sec)
    notes = melody(phrase, phones, grid, part.table)
    frames = np.ones((1, grid.frames), np.float32)
    pitch, retake = _PITCH_NOTHING * frames, frames.astype(bool)
    if given is not None:
        pitch = given.at(grid.times_sec).astype(np.float32)[None]
        retake = steering.chosen(phrase, grid.times_sec)[None]
    feed = {
        **_encoded(part, phrase, phones, grid),
        "ph_dur": grid.ph_dur[None],
        "note_midi": notes.midi.astype(np.float32)[None],
        "note_dur": notes.frames[None],
        "pitch": pitch,
        "retake": retake,
        **cast.by_frame(part, phrase, phones, grid),
        **sampler_steps(part, "pitch", PITCH_STEPS),
    }
    if part.settings.use_note_rest:
        feed["note_rest"] = notes.rest[None]
    if part.settings.use_expr:
        expr = given_curve(phrase, "expr")
        values = expressions.expressiveness(phrase, grid.times_sec)
        if expr is not None:
            values = np.clip(expr.at(grid.times_sec), 0.0, 1.0)
        shares = frames if values is None else values.astype(np.float32)[None]
        feed["expr"] = np.float32(steering.expressiveness) * shares
    predicted = next(iter(part.run("pitch", feed).values())).reshape(-1)
    _require_frames(predicted, grid, part, "pitch")
    return grid.curve(predicted)


def predict_curves(
    part: ModelFolder, phrase: Phrase, phones: Sequence[Phone], pitch: TimedCurve, cast: Cast
) -> tuple[FrameGrid, dict[str, np.ndarray]]:
    """Curves f[T] by name, by the variance model, and its frames."""
    grid = FrameGrid.of(phones, part.settings.frame_sec)
    names = part.settings.predicted_curves
    shifted = pitch.at(grid.times_sec) + expressions.tone_shift(phrase, grid.times_sec)
    nothing = np.zeros((1, grid.frames), np.float32)
    feed = {
        **_encoded(part, phrase, phones, grid),
        "ph_dur": grid.ph_dur[None],
        "pitch": shifted.astype(np.float32)[None],
        **dict.fromkeys(names, nothing),
        "retake": np.ones((1, grid.frames, len(names)), bool),
        **cast.by_frame(part, phrase, phones, grid),
        **sampler_steps(part, "variance", VARIANCE_STEPS),
    }
    found = {name: v.reshape(-1) for name, v in part.run("variance", feed).items()}
    for values in found.values():
        _require_frames(values, grid, part, "variance")
    return grid, {name.removesuffix("_pred"): values for name, values in found.items()}


def _curves(
    voicebank: Voicebank,
    phrase: Phrase,
    phones: Sequence[Phone],
    grid: FrameGrid,
    pitch: TimedCurve,
    cast: Cast,
) -> dict[str, np.ndarray]:
    """f64[T] of what the acoustic model is shown beside f0: given, else predicted or neutral."""
    settings = voicebank.acoustic.settings
    given = {name: given_curve(phrase, name) for name in settings.shown_curves}
    predicted: dict[str, np.ndarray] = {}
    missing = [name for name, curve in given.items() if curve is None]
    if missing and voicebank.variance is not None:
        source, found = predict_curves(voicebank.variance, phrase, phones, pitch, cast)
        predicted = {name: on_other_frames(v, source, grid) for name, v in found.items()}
    if lost := [name for name in missing if name not in predicted]:
        raise InputError(
            f"{phrase.piece.where or voicebank.name}: the acoustic model is shown {lost[0]}, which "
            "the voicebank does not predict and the score does not give; add a dsvariance that "
            f"predicts it, or give {lost[0]} in a .ds"
        )
    times = grid.times_sec
    shown = {
        name: expressions.offset(phrase, name, times)
        + (predicted[name] if curve is None else curve.at(times))
        for name, curve in given.items()
    }
    drawn = {
        "gender": (settings.use_key_shift_embed, 0.0, lambda: _gender(settings, phrase, times)),
        "velocity": (settings.use_speed_embed, 1.0, lambda: expressions.velocity(phrase, times)),
    }
    for name, (used, neutral, expressed) in drawn.items():
        if not used:
            continue
        if (curve := given_curve(phrase, name)) is not None:
            shown[name] = curve.at(times)
        else:
            values = expressed()
            shown[name] = np.full(grid.frames, neutral) if values is None else values
    return shown


def _gender(settings: Settings, phrase: Phrase, times_sec: np.ndarray) -> np.ndarray | None:
    return expressions.gender(phrase, settings.range, times_sec)


def acoustic_steps(part: ModelFolder, steps: Steps) -> dict[str, np.ndarray]:
    """depth and steps, or in the older contract depth and speedup in thousandths."""
    settings = part.settings
    depth = min(steps.depth, settings.max_depth)
    if not settings.use_variable_depth or settings.use_continuous_acceleration:
        feed = sampler_steps(part, "acoustic", steps.steps)
        if settings.use_variable_depth:
            feed["depth"] = _scalar(part, "acoustic", "depth", depth)
        return feed
    thousandths = round(1000 * depth)
    speedup = max(1, thousandths // steps.steps)
    return {
        "depth": _scalar(part, "acoustic", "depth", thousandths // speedup * speedup),
        "speedup": _scalar(part, "acoustic", "speedup", speedup),
    }


def sampler_steps(part: ModelFolder, role: str, steps: int) -> dict[str, np.ndarray]:
    """steps, or the largest divisor of 1000 that is at most 1000 / steps as speedup."""
    if part.settings.use_continuous_acceleration:
        return {"steps": _scalar(part, role, "steps", steps)}
    speedup = max(1, 1000 // steps)
    while 1000 % speedup:
        speedup -= 1
    return {"speedup": _scalar(part, role, "speedup", speedup)}


def _scalar(part: ModelFolder, role: str, name: str, value: float) -> np.ndarray:
    """Of rank 0, or of one element where the graph says so."""
    shape = part.graph(role).inputs[name].shape
    return np.asarray(value if shape == () else [value])


def _encoded(
    part: ModelFolder, phrase: Phrase, phones: Sequence[Phone], grid: FrameGrid
) -> dict[str, np.ndarray]:
    """encoder_out f32[1, N + 2, H] of the padded phrase."""
    symbols = _padded(phones)
    feed = {"tokens": part.tokens(symbols, phrase.piece.where)} | part.language_ids(symbols)
    if part.settings.predict_dur:
        table: SoundTable = part.table
        div, dur = words_by_vowel([p.symbol for p in phones], grid.ph_dur, table.is_vowel)
        feed |= {"word_div": div[None], "word_dur": dur[None]}
    else:
        feed["ph_dur"] = grid.ph_dur[None]
    return {"encoder_out": part.run("linguistic", feed)["encoder_out"]}


def _padded(phones: Sequence[Phone]) -> list[str]:
    return [SILENCE, *(phone.symbol for phone in phones), SILENCE]


def _require_frames(values: np.ndarray, grid: FrameGrid, part: ModelFolder, role: str) -> None:
    if len(values) != grid.frames:
        raise InputError(
            f"{part.graph(role).where}: made {len(values)} frames, expected {grid.frames}; export "
            "it again"
        )
