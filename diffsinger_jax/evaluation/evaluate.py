"""Measures a voice on a split of a prepared corpus, beside the recordings.

    diffsinger-jax evaluate --voice DIR --corpus PREPARED --split test --out DIR --html DIR

--out gets evaluation.json, evaluation.md, a picture of the first piece of every song with all
systems' mels side by side, and, with --wavs, what was heard; --html a page to hear and see it.
"""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from diffsinger_jax import plots
from diffsinger_jax.audio.wav import write_wav
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.page import PagePiece, write_page
from diffsinger_jax.evaluation.recordings import piece_recordings, song_of
from diffsinger_jax.evaluation.report import write_report
from diffsinger_jax.evaluation.systems import (
    AUXILIARY,
    PREDICTED_ALL,
    TRUE_MEL,
    Singer,
    Sung,
    diffusion_name,
    diffusion_systems,
    mels_of,
    sing_all,
    vocode,
)
from diffsinger_jax.evaluation.tables import (
    RECORDING,
    Measured,
    Table,
    compute,
    duration_table,
    measure_mels,
    patch_aucs,
    sound_table,
)
from diffsinger_jax.pipeline.mix import numbered_as
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus, text
from diffsinger_jax.plots import Span
from diffsinger_jax.types import CorpusInfo, MelSpec

DEFAULT_K_STEPS = (10, 25, 51)
"""Beside the voice's own k and the whole length of its schedule."""
MEL_TITLE = "The mel, before any vocoder (true durations and f0 but in the last two rows)"
DURATION_TITLE = "The durations that are sung, each note beginning as recorded"
SPOKEN_TITLE = "The durations that are spoken"
WAV_TITLE = "The sound, by the harmonic-plus-noise vocoder: mel and f0 extracted again"


@dataclasses.dataclass(frozen=True)
class Options:
    """How to evaluate.

    Attributes:
      k_steps: None for `DEFAULT_K_STEPS`, the voice's own, and the whole schedule.
      temperatures: factors on the noise; None for the voice's own.
      seed: of the noise.
      frames_per_batch: bounds memory, changes no number.
      sound: also render and measure the sound, which takes longest.
      wavs: keep what was rendered.
      recordings: the folder of the corpus's sound files, for measures that need the recorded
        sound itself.
      classifier_split: the songs that the classifier of patches is trained on; without them it is
        left out.
      page: a folder for the page to hear it all; needs `sound`.
    """

    k_steps: Sequence[float] | None = None
    temperatures: Sequence[float] | None = None
    seed: int = 0
    frames_per_batch: int = 4096
    sound: bool = True
    wavs: bool = False
    recordings: Path | None = None
    classifier_split: str = "validation"
    page: Path | None = None


def evaluate(  # long: the parts of a report, one after the other
    voice: Singer, corpus: PreparedCorpus, split: str, out: Path | None, options: Options
) -> dict[str, Table]:
    """Sings and measures every piece of a split.

    Args:
      voice: its mel must be the corpus's.
      out: for the report, pictures and wavs; None writes nothing.

    Returns:
      title -> system -> measures, as the report has them.

    Raises:
      InputError: if voice and corpus do not belong together, the split is empty, or a piece is
        not in the recordings.
    """
    spec = voice.info.mel
    if differences := spec.differences(corpus.info.mel):
        raise InputError(
            f"the voice's mel is not the corpus's ({'; '.join(differences)}); prepare the corpus "
            "again with the voice's --mel"
        )
    numbered = numbered_as(corpus, voice.info)
    k_steps, temperatures = _settings(voice, options)
    examples = list(numbered.source(split))
    names = [text(example["name"]) for example in examples]
    recorded = piece_recordings(options.recordings, examples, spec) if options.recordings else None
    started = time.monotonic()
    by_system = sing_all(
        voice,
        examples,
        k_steps,
        temperatures=temperatures,
        seed=options.seed,
        frames_per_batch=options.frames_per_batch,
        on_system=lambda name: print(f"singing {len(examples)} pieces: {name}", flush=True),
    )
    measured = measure_mels(examples, by_system, spec)
    tables = {MEL_TITLE: {system: compute(parts) for system, parts in measured.items()}}
    if (other := options.classifier_split) in numbered.splits and other != split:
        print(f"singing the {other} songs for the classifier of patches", flush=True)
        settings, others = diffusion_systems(voice, k_steps, temperatures), numbered.source(other)
        aucs = _sing_and_tell(voice, others, options, settings, examples, by_system)
        for system, auc in aucs.items():
            tables[MEL_TITLE][system]["patch_auc"] = auc
    training = list(numbered.source("train")) if "train" in numbered.splits else []
    tables[SPOKEN_TITLE if voice.speaks else DURATION_TITLE] = duration_table(
        examples, by_system, training, voice.info.vocabulary, spec, fitted=not voice.speaks
    )
    sounds = _render(by_system, options, spec) if options.sound else {}
    if sounds:
        tables[WAV_TITLE] = sound_table(examples, sounds, recorded, spec)
    about = {
        "title": f"{getattr(voice, 'name', 'A voice')} on {corpus.info.name}, {split}",
        "songs": ", ".join(sorted(set(map(song_of, names)))),
        "pieces": len(examples),
        "seconds of singing": round(sum(len(e["mel"]) for e in examples) / spec.frames_per_sec, 1),
        "the voice's own k": voice.sampling.k_step,
        "seed": options.seed,
        "measured in seconds": round(time.monotonic() - started, 1),
    }
    if out is not None:
        _draw(out, names, by_system, spec)
        write_report(out, about, tables | _song_tables(names, measured))
        for system, wavs in sounds.items() if options.wavs else ():
            _write_wavs(out, system, names, wavs, voice)
    if options.page is not None and sounds:
        takes = {RECORDING: recorded} if recorded else {}
        takes |= {name: sounds[name] for name in _page_systems(voice, k_steps, temperatures)}
        predicted = [sung.f0 for sung in by_system[PREDICTED_ALL]]
        pieces = _page_pieces(examples, takes, predicted, voice.info)
        pieces.sort(key=lambda piece: piece.name)
        write_page(options.page, about | {"licence": corpus.info.licence}, tables, pieces, spec)
    return tables


def _settings(voice: Singer, options: Options) -> tuple[list[float], list[float]]:
    """The k and the temperatures to sing at."""
    whole = voice.path.depth
    shallow = (k for k in (*DEFAULT_K_STEPS, voice.sampling.k_step) if 0 < k < whole)
    asked = [*shallow, whole] if options.k_steps is None else options.k_steps
    k_steps = sorted(set(asked)) if whole else []  # a voice without diffusion has its mel alone
    if wrong := [k for k in k_steps if not 0 < k <= whole]:
        raise InputError(
            f"--k_step is {wrong[0]}, expected above 0 and at most {whole}, where this voice has "
            "noise alone"
        )
    return k_steps, list(options.temperatures or [voice.sampling.temperature])


def _seconds(examples: Sequence[Example], spec: MelSpec) -> float:
    return sum(len(example["mel"]) for example in examples) / spec.frames_per_sec


def _sing_and_tell(
    voice: Singer,
    others: Sequence[Example],
    options: Options,
    settings: Mapping[str, Sampling],
    examples: Sequence[Example],
    by_system: Mapping[str, Sequence[Sung]],
) -> dict[str, float]:
    """Sings other songs for the classifier of patches; its area under the ROC curve by system."""
    others = list(others)
    how = {"seed": options.seed, "frames_per_batch": options.frames_per_batch}
    sung = {
        system: mels_of(voice, others, sampling, **how) for system, sampling in settings.items()
    }
    return patch_aucs(examples, by_system, others, sung, voice.info.mel)


def _render(
    by_system: Mapping[str, Sequence[Sung]], options: Options, spec: MelSpec
) -> dict[str, list[np.ndarray]]:
    """system -> f32[T * hop] sound of each piece."""
    sounds = {}
    for system, pieces in by_system.items():
        print(f"rendering {len(pieces)} pieces: {system}", flush=True)
        sounds[system] = vocode(
            pieces, spec, seed=options.seed, frames_per_batch=options.frames_per_batch
        )
    return sounds


def _song_tables(
    names: Sequence[str], measured: Mapping[str, Sequence[Measured]]
) -> dict[str, Table]:
    """One more table for each song, of its mels."""
    return {
        f"Mel of {song}": {
            system: compute(
                [part for part, name in zip(parts, names, strict=True) if song_of(name) == song]
            )
            for system, parts in measured.items()
        }
        for song in sorted(set(map(song_of, names)))
    }


def _page_systems(
    voice: Singer, k_steps: Sequence[float], temperatures: Sequence[float]
) -> list[str]:
    """Those that the page lets hear: the voice's own k if it was sung, else the smallest."""
    whole, own = voice.path.depth, voice.sampling.k_step
    ks = [own if own in k_steps else k_steps[0]] if k_steps else []
    ks += [whole] if whole in k_steps and whole not in ks else []
    return [
        TRUE_MEL,
        AUXILIARY,
        *(diffusion_name(voice.path, k, temperatures[0]) for k in ks),
        PREDICTED_ALL,
    ]


def _page_pieces(
    examples: Sequence[Example],
    takes: Mapping[str, Sequence[np.ndarray]],
    predicted_f0: Sequence[np.ndarray],
    info: CorpusInfo,
) -> list[PagePiece]:
    """All takes of each piece, on the recording's notes and phonemes."""
    pieces = []
    for index, example in enumerate(examples):
        frames = np.asarray(example["ph_frames"])
        ends_sec = np.cumsum(frames) / info.mel.frames_per_sec
        starts_sec = ends_sec - frames / info.mel.frames_per_sec
        symbols = [info.vocabulary.phonemes[token - 1] for token in example["tokens"]]
        firsts = np.flatnonzero(example["onset"])
        lasts = np.append(firsts[1:], len(symbols)) - 1
        notes = [
            Span(float(starts_sec[i]), float(ends_sec[j]), midi=float(example["note_midi"][i]))
            for i, j in zip(firsts, lasts, strict=True)
            if example["note_midi"][i] > 0
        ]
        phonemes = [
            Span(float(start), float(end), label=symbol)
            for start, end, symbol in zip(starts_sec, ends_sec, symbols, strict=True)
        ]
        pieces.append(
            PagePiece(
                name=text(example["name"]),
                sounds={name: sounds[index] for name, sounds in takes.items()},
                curves={"recorded f0": example["f0"], "predicted f0": predicted_f0[index]},
                notes=notes,
                phonemes=phonemes,
            )
        )
    return pieces


def _write_wavs(
    out: Path, system: str, names: Sequence[str], wavs: Sequence[np.ndarray], voice: Singer
) -> None:
    folder = out / "wavs"
    folder.mkdir(exist_ok=True)
    for name, wav in zip(names, wavs, strict=True):
        tags = {"software": "diffsinger_jax", "comment": f"synthetic singing: {system}"}
        file = (
            f"{name}_{system}.wav".replace("#", "_")
            .replace(" ", "_")
            .replace("=", "")
            .replace(",", "")
        )
        write_wav(folder / file, wav, voice.info.mel.sample_rate, tags=tags)


def _draw(
    out: Path, names: Sequence[str], by_system: Mapping[str, Sequence[Sung]], spec: MelSpec
) -> None:
    """One picture for each song, of its first piece."""
    first = {song_of(names[i]): i for i in sorted(range(len(names)), key=names.__getitem__)[::-1]}
    for song, i in sorted(first.items()):
        mels = {system: pieces[i].mel for system, pieces in by_system.items()}
        plots.mel_panels(out / f"{song}.png", mels, spec, title=names[i])
