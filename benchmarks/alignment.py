"""How near alignments are that were found without an aligner.

    python benchmarks/alignment.py --corpus prepared/ljspeech --raw LJSpeech-1.1 \\
        --voice runs/glow/voice runs/tacotron/voice

Every clip of the corpus that has durations (of the Montreal Forced Aligner) is aligned on the same
phonemes by a Glow-TTS's monotonic alignment search, by the attention of a Tacotron 2 that is shown
the recording, and by the models that `diffsinger-jax align` trains; "cut evenly" is what they must
better. Columns: the median distance of the boundaries between phonemes in ms, and the shares that
are within 25 and 50 ms. A Glow-TTS's are of whole frames, a Tacotron 2's of its steps.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.audio.mel import log_mel  # noqa: E402
from diffsinger_jax.audio.wav import read_wav, resample  # noqa: E402
from diffsinger_jax.corpus.forced_alignment import ALIGNMENT_MEL, align_phones  # noqa: E402
from diffsinger_jax.corpus.speech import find_utterances  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.evaluation.systems import batches_of, real_rows  # noqa: E402
from diffsinger_jax.pipeline.mix import MixedCorpus, numbered_as  # noqa: E402
from diffsinger_jax.pipeline.prepared import Example, PreparedCorpus, open_corpus, text  # noqa: E402
from diffsinger_jax.types import MelSpec, Vocabulary  # noqa: E402
from diffsinger_jax.voices.voice import Voice, load_voice  # noqa: E402

FAMILIES = {"glow_tts": "Glow-TTS", "tacotron2": "Tacotron 2, attention"}
"""Those that align, with the names of their rows."""


def boundaries(ph_frames: np.ndarray, sec_per_frame: float) -> np.ndarray:
    """f64[N - 1] seconds of the boundaries between phonemes."""
    return np.cumsum(ph_frames)[:-1] * sec_per_frame


def by_voice(voice: Voice, examples: Sequence[Example]) -> list[np.ndarray]:
    """Seconds of the boundaries of each clip, by a Glow-TTS's search or a Tacotron 2's attention.

    Raises:
      InputError: for a voice of another family.
    """
    if voice.family not in FAMILIES:
        raise InputError(
            f"--voice {voice.name} is a {voice.family}; give one that aligns, of "
            f"{' or '.join(FAMILIES)}"
        )
    align, spec = jax.jit(voice.acoustic.align), voice.info.mel
    found: list[np.ndarray] = [np.zeros(0)] * len(examples)
    for indices, batch in batches_of(examples, spec.n_mels, 4096):
        frames = np.asarray(align(voice.params, batch))
        for row, index in real_rows(indices):
            found[index] = boundaries(
                frames[row, : len(examples[index]["tokens"])], spec.sec_per_frame
            )
    return found


def by_models(raw: Path, examples: Sequence[Example], vocabulary: Vocabulary) -> list[np.ndarray]:
    """The same by the hidden Markov models of `diffsinger-jax align`, trained on these clips."""
    wavs = {utterance.name: utterance.wav for utterance in find_utterances(raw)}
    mels = []
    for example in examples:
        wav, rate = read_wav(wavs[text(example["name"]).partition("#")[0]], downmix=True)
        mels.append(log_mel(resample(wav, rate, ALIGNMENT_MEL.sample_rate), ALIGNMENT_MEL))
    phones = [[vocabulary.phonemes[token - 1] for token in e["tokens"]] for e in examples]
    # Frame t is about the moment t hop: the border of two frames lies between their moments.
    half_sec = 0.5 * ALIGNMENT_MEL.sec_per_frame
    return [
        boundaries(frames, ALIGNMENT_MEL.sec_per_frame) - half_sec
        for frames in align_phones(mels, phones)
    ]


def clips(corpus: PreparedCorpus | MixedCorpus) -> tuple[list[Example], list[np.ndarray]]:
    """All clips of a corpus, and the seconds of their boundaries."""
    examples = [e for split in corpus.splits for e in corpus.source(split)]
    sec_per_frame = corpus.info.mel.sec_per_frame
    return examples, [boundaries(e["ph_frames"], sec_per_frame) for e in examples]


def evenly(example: Example, spec: MelSpec) -> np.ndarray:
    """Seconds of the boundaries where all phonemes last as long."""
    count = len(example["tokens"])
    return np.arange(1, count) * spec.seconds(len(example["mel"])) / count


def row_of(name: str, found: Sequence[np.ndarray], true: Sequence[np.ndarray]) -> dict[str, Any]:
    """A row of the table."""
    error_ms = 1000 * np.abs(np.concatenate(found) - np.concatenate(true))
    return {
        "aligned by": name,
        "boundaries": len(error_ms),
        "median ms": float(np.median(error_ms)),
        "within 25 ms": float(np.mean(error_ms <= 25)),
        "within 50 ms": float(np.mean(error_ms <= 50)),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--corpus", type=Path, required=True, help="prepared speech")
    parser.add_argument("--raw", type=Path, help="its recordings, to train the models on")
    parser.add_argument("--voice", type=Path, nargs="+", default=[], help="that aligns")
    measure.add_report_flags(parser)
    flags = parser.parse_args(arguments)
    corpus = open_corpus(flags.corpus)
    rows = []
    for voice in map(load_voice, flags.voice):
        examples, true = clips(numbered_as(corpus, voice.info))
        found = by_voice(voice, examples)
        rows.append(row_of(FAMILIES[voice.family], found, true))
    examples, true = clips(corpus)
    if flags.raw is not None:
        found = by_models(flags.raw, examples, corpus.info.vocabulary)
        rows.append(row_of("hidden Markov models", found, true))
    rows.append(row_of("cut evenly", [evenly(e, corpus.info.mel) for e in examples], true))
    measure.report(flags, "Alignment", rows, f"{len(examples)} clips of {corpus.info.name}.")


if __name__ == "__main__":
    main()
