"""Score -> sound with a DiffSinger voicebank of OpenUtau; the interface of `Synthesizer`."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import jax
import numpy as np

from diffsinger_jax.errors import InputError
from diffsinger_jax.interop.openutau.assembly import assembled, song_samples, start_sample
from diffsinger_jax.interop.openutau.dictionary import SingerDictionary
from diffsinger_jax.interop.openutau.expressions import is_color, loudness, of_curves
from diffsinger_jax.interop.openutau.models import PhraseMel, Steps, sing_phrase
from diffsinger_jax.interop.openutau.phrases import Phrase, phrases_of
from diffsinger_jax.interop.openutau.speakers import Cast
from diffsinger_jax.interop.openutau.steering import steering_of
from diffsinger_jax.interop.openutau.voicebank import (
    Voicebank,
    language_of_phonemizer,
    model_roles,
    open_voicebank,
)
from diffsinger_jax.score.dictionary import Dictionary
from diffsinger_jax.score.ds_schema import SPEAKER_PREFIX
from diffsinger_jax.score.phonemize import Reading, phonemize
from diffsinger_jax.score.pronunciation import Pronunciation
from diffsinger_jax.score.tables import read_table
from diffsinger_jax.score.transform import change_tempo, is_silent, split_at_rests, transpose
from diffsinger_jax.synthesis.controls import name_phonemes
from diffsinger_jax.synthesis.expression import Expression
from diffsinger_jax.synthesis.mixing import Mixer
from diffsinger_jax.synthesis.rendering import Renderer, open_renderer
from diffsinger_jax.synthesis.song import Song
from diffsinger_jax.synthesis.sung_pitch import EXPRESSION, EXPRESSIVENESS, RETAKE
from diffsinger_jax.types import Piece, Score
from diffsinger_jax.voices.onnx_vocoder import OnnxVocoder
from diffsinger_jax.voices.qualities import QUALITIES
from diffsinger_jax.voices.vocoder_spec import log_factor

STEPS = 20
"""What OpenUtau takes unless its user says otherwise."""


class VoicebankSynthesizer:
    """Sings scores with a voicebank, phrase by phrase as OpenUtau does.

    Example:
      synthesizer = VoicebankSynthesizer.from_checkpoint("singers/Anna.zip")
      song = synthesizer(read_score("song.ustx"), seed=1)
    """

    def __init__(self, voice: Voicebank, *, vocoder: str | os.PathLike | None = None):
        """Takes an open voicebank.

        Args:
          voice: see `voicebank.open_voicebank`.
          vocoder: see `rendering.open_renderer`; None for the one in the voicebank.

        Raises:
          InputError: if there is no vocoder, or it expects another mel.
        """
        self.voice = voice
        spec = voice.info.mel
        if vocoder is None:
            own = voice.vocoder()
            self._render = Renderer(own, spec, log_factor(spec, own.mel))
        else:
            self._render = open_renderer(vocoder, spec)

    @classmethod
    def from_checkpoint(
        cls, path: str | os.PathLike, vocoder: str | os.PathLike | None = None
    ) -> VoicebankSynthesizer:
        """Opens a voicebank, a folder or a package, and a vocoder if one is named.

        Raises:
          InputError: if they are none, or do not fit each other.
        """
        return cls(open_voicebank(path), vocoder=vocoder)

    def __call__(
        self,
        score: Score,
        *,
        seed: int = 0,
        key: float = 0.0,
        tempo: float = 1.0,
        sampling: Steps | None = None,
        speaker: str | None = None,
    ) -> Song:
        """Sings a score: `prepare`, then `sing`, with their arguments."""
        prepared = self.prepare(score, key=key, tempo=tempo)
        return self.sing(prepared, seed=seed, sampling=sampling, speaker=speaker)

    def resolve_sampling(
        self,
        *,
        quality: str | None = None,
        k_step: float | None = None,
        steps: int | None = None,
        method: str | None = None,
    ) -> Steps:
        """What is asked for, as the acoustic graph takes it.

        Args:
          quality: a name in `QUALITIES`, of which the number of steps counts.
          k_step: the depth, in [0, 1], or in thousandths above 1.
          steps: of the sampler.
          method: none: the sampler is inside the graph.

        Raises:
          InputError: for what the graph cannot do.
        """
        settings = self.voice.acoustic.settings
        if method is not None:
            raise InputError(
                f"the sampler of a voicebank is inside its graph, so it cannot be {method}; leave "
                "--method away"
            )
        if k_step is not None and not settings.use_variable_depth:
            raise InputError("the depth of this voicebank is fixed; leave --k_step away")
        depth = settings.max_depth if k_step is None else k_step / (1 if k_step <= 1 else 1000)
        if depth > settings.max_depth and settings.use_variable_depth:
            raise InputError(
                f"this voicebank has a depth of at most {settings.max_depth:g}, got --k_step "
                f"{k_step:g}; give less"
            )
        meant = QUALITIES[quality].steps if quality is not None else None
        return Steps(depth, min(steps or meant or STEPS, 1000))

    def prepare(
        self,
        score: Score,
        *,
        key: float = 0.0,
        tempo: float = 1.0,
        pronunciation: Pronunciation | None = None,
    ) -> Score:
        """Everything that can go wrong with a score, before anything slow; see `Synthesizer`.

        Raises:
          InputError: for a lyric or phoneme that the voicebank does not know, or a score without
            notes.
        """
        vocabulary = self.voice.info.vocabulary
        if not any(note.midi is not None for piece in score.pieces for note in piece.notes):
            raise InputError(f"{score.source or score.title}: there is no note in it to sing")
        said = score.language or language_of_phonemizer(score.phonemizer)
        language = said.lower().split("-")[0]
        if language not in vocabulary.languages:
            language = vocabulary.languages[0]
        dictionary = self._dictionary(score, language, pronunciation or Pronunciation())
        score = dataclasses.replace(score, language=language)
        score = phonemize(name_phonemes(score, vocabulary), dictionary, vocabulary)
        return split_at_rests(change_tempo(transpose(score, key), tempo))

    def sing(
        self,
        score: Score,
        *,
        seed: int = 0,
        sampling: Steps | None = None,
        speaker: str | None = None,
        expression: Expression = EXPRESSION,
        on_pieces: Callable[[int], None] = lambda count: None,
    ) -> Song:
        """Sings a prepared score; see `Synthesizer.sing`.

        Raises:
          InputError: for an unknown speaker, what neither the score gives nor the voicebank
            predicts, or an expression that its graphs have no input for.
        """
        sung, sounds = [], []
        for mel in self._mels(score, seed, sampling, speaker, expression, on_pieces):
            sung.append(mel)
            sounds.append(self._sound(mel, seed))
        return assembled(score, sung, sounds, self.voice.info.mel)

    def stream(
        self,
        score: Score,
        *,
        seed: int = 0,
        sampling: Steps | None = None,
        speaker: str | None = None,
        expression: Expression = EXPRESSION,
        on_pieces: Callable[[int], None] = lambda count: None,
    ) -> Iterator[np.ndarray]:
        """Sings a prepared score as it is heard; see `Synthesizer.stream`."""
        spec = self.voice.info.mel
        mixer = Mixer(song_samples(score, spec), spec)
        for mel in self._mels(score, seed, sampling, speaker, expression, on_pieces):
            start = start_sample(mel, spec)
            if (block := mixer.settled(max(start, 0))).size:
                yield block
            mixer.add(self._sound(mel, seed), start)
        yield mixer.settled()

    def warm_up(self, *, sampling: Steps | None = None) -> Iterator[int]:
        """Nothing is compiled for a voicebank."""
        yield from ()

    @property
    def shapes(self) -> list[int]:
        """None are compiled for."""
        return []

    def song_samples(self, score: Score) -> int:
        """How many samples the song of a prepared score has."""
        return song_samples(score, self.voice.info.mel)

    @staticmethod
    def sung_pieces(score: Score) -> list[Piece]:
        """Those of a prepared score that are not silent."""
        return [piece for piece in score.pieces if not is_silent(piece)]

    def range_remark(self, score: Score) -> str | None:
        """None: a voicebank does not say what it was trained on."""
        return None

    def ignored_curves(self, score: Score) -> list[str]:
        """Names of the curves that a score gives and the voicebank has no input for, sorted."""
        settings, pitch = self.voice.acoustic.settings, self.voice.pitch
        read = {"f0", *settings.shown_curves}
        read |= {"gender"} if settings.use_key_shift_embed else set()
        read |= {"velocity"} if settings.use_speed_embed else set()
        read |= {RETAKE} if pitch is not None else set()
        read |= {EXPRESSIVENESS} if pitch is not None and pitch.settings.use_expr else set()
        given = {name for piece in score.pieces for name in piece.curves}
        given |= set(score.expressions)
        # As OpenUtau names them, in its units.
        read |= {"dyn", *of_curves(settings.shown_curves)}
        read |= {"genc"} if "gender" in read else set()
        read |= {"velc"} if "velocity" in read else set()
        read |= {"pexp"} if EXPRESSIVENESS in read else set()
        read |= {"shfc"} if self._shifts_tone or self.voice.variance is not None else set()
        if settings.speakers:
            read |= {name for name in given if name.startswith(SPEAKER_PREFIX) or is_color(name)}
        return sorted(given - read)

    def _dictionary(self, score: Score, language: str, asked: Pronunciation) -> Reading:
        languages = self.voice.info.vocabulary.languages
        if asked.phoneme_map is not None:
            return asked.dictionary(score.language, languages, languages[0])
        try:
            rules = Dictionary.of(language)
        except InputError:
            rules = None
        own: dict[str, tuple[str, ...]] = {}
        for path in reversed(asked.dictionaries):
            own |= read_table(Path(path))
        return SingerDictionary(language, self.voice.table(language), rules, own)

    def _cast(self, speaker: str | None) -> Cast:
        vocabulary, settings = self.voice.info.vocabulary, self.voice.acoustic.settings
        entries = dict(zip(vocabulary.speakers, settings.speakers, strict=False))
        chosen = None
        if speaker is not None:
            chosen = self.voice.speaker_entry(vocabulary.speaker_id(speaker))
        return Cast(self.voice.character, entries, chosen)

    def _mels(
        self,
        score: Score,
        seed: int,
        sampling: Steps | None,
        speaker: str | None,
        expression: Expression,
        on_pieces: Callable[[int], None],
    ) -> Iterator[PhraseMel]:
        pieces, cast = self.sung_pieces(score), self._cast(speaker)
        steps = sampling or self.resolve_sampling()
        pitch_seed = seed if expression.seed is None else expression.seed
        steering = steering_of(self.voice, score, pieces, expression, pitch_seed)
        self._begin_noise(seed, pitch_seed)
        phrases: list[Phrase] = phrases_of(score, pieces)
        for phrase, following in zip(phrases, (*phrases[1:], None), strict=True):
            yield sing_phrase(
                self.voice, phrase, cast, steps, steering=steering, shifts_tone=self._shifts_tone
            )
            on_pieces((following.index if following else len(pieces)) - phrase.index)

    def _begin_noise(self, seed: int, pitch_seed: int) -> None:
        """The same seeds draw the same noise, whatever was sung before."""
        for part, roles in model_roles(self.voice):
            for role in roles:
                part.graph(role).seed(seed if role == "acoustic" else pitch_seed)
        if isinstance(self._render.vocoder, OnnxVocoder):
            self._render.vocoder.graph.seed(seed)

    def _sound(self, mel: PhraseMel, seed: int) -> np.ndarray:
        """f32[T * hop], as loud as the score says."""
        key = jax.random.fold_in(jax.random.key(seed), mel.phrase.index)
        # OpenUtau's vocoders are given f0 without gaps, this program's learned where it has some.
        f0 = mel.f0 if isinstance(self._render.vocoder, OnnxVocoder) else mel.voiced_f0
        wav = np.concatenate(list(self._render.stream(mel.mel, f0, len(mel.mel), key)))
        times = mel.grid.start_sec + np.arange(len(wav)) / self.voice.info.mel.sample_rate
        factor = loudness(mel.phrase, times)
        return wav if factor is None else (wav * factor).astype(np.float32)

    @property
    def _shifts_tone(self) -> bool:
        return getattr(self._render.vocoder, "pitch_controllable", False)
