"""How much of what a voice says an independent recogniser of speech understands.

    diffsinger-jax evaluate --voice runs/lj/voice --corpus prepared/ljspeech --out report --wavs
    python benchmarks/intelligibility.py --raw LJSpeech-1.1 --wavs report/wavs

The recogniser is PocketSphinx with the US English models that its package on PyPI brings
(`pip install pocketsphinx`); neither was made of this corpus or these voices. Every system's clips,
and their recordings as the best that can be had, are heard twice. Columns:

    words wrong     insertions, deletions and substitutions over the words of the text, heard by a
                    trigram model of words; above 1 where more is heard than was said
    phones wrong    the same of phones without stress, heard by a model of phones alone, that no
                    word helps, the text's being those of the recogniser's dictionary
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(Path(__file__).resolve().parent)]

import measure  # noqa: E402

from diffsinger_jax.audio.wav import read_wav, resample  # noqa: E402
from diffsinger_jax.corpus.speech import find_utterances  # noqa: E402
from diffsinger_jax.errors import InputError  # noqa: E402
from diffsinger_jax.text.normalize import normalize, words_of  # noqa: E402
from diffsinger_jax.text.phones import without_stress  # noqa: E402
from diffsinger_jax.text.pronunciation import Pronouncer  # noqa: E402

SAMPLE_RATE = 16_000
"""Of the recogniser."""
NO_PHONES = ("SIL", "+")
"""How the names begin that the recogniser gives to silence and noise."""
Hear = Callable[[np.ndarray], list[str]]


def recogniser() -> tuple[Hear, Hear, Pronouncer]:
    """What hears words, what hears phones, both of sound at `SAMPLE_RATE`; the phones of words.

    Raises:
      InputError: if PocketSphinx is not installed.
    """
    try:
        from pocketsphinx import Decoder, get_model_path
    except ImportError as error:
        raise InputError("PocketSphinx is not installed; pip install pocketsphinx") from error
    words = Decoder(samprate=SAMPLE_RATE, loglevel="FATAL")
    phones = Decoder(
        allphone=get_model_path("en-us/en-us-phone.lm.bin"),
        samprate=SAMPLE_RATE,
        loglevel="FATAL",
        lw=4.0,
        beam=1e-20,
        pbeam=1e-20,
    )

    def heard_by(decoder: Any) -> Hear:
        def hear(wav: np.ndarray) -> list[str]:
            pcm = (np.clip(wav, -1, 1) * 32767).astype(np.int16).tobytes()
            decoder.start_utt()
            decoder.process_raw(pcm, full_utt=True)
            decoder.end_utt()
            found = decoder.hyp()
            return found.hypstr.split() if found else []

        return hear

    hear_phones = heard_by(phones)
    return (
        heard_by(words),
        lambda wav: [phone for phone in hear_phones(wav) if not phone.startswith(NO_PHONES)],
        Pronouncer([get_model_path("en-us/cmudict-en-us.dict")]),
    )


def edits(said: Sequence[str], heard: Sequence[str]) -> int:
    """The fewest insertions, deletions and substitutions that make one of the other."""
    row = list(range(len(heard) + 1))
    for i, one in enumerate(said, 1):
        before, row[0] = row[0], i
        for j, other in enumerate(heard, 1):
            before, row[j] = row[j], min(before + (one != other), row[j] + 1, row[j - 1] + 1)
    return row[-1]


def row_of(
    system: str, clips: Sequence[tuple[Path, str]], hear: Sequence[Hear], pronounce: Pronouncer
) -> dict[str, Any]:
    """A row of the table: of sounds and what is said in them."""
    said, wrong = np.zeros(2, int), np.zeros(2, int)
    for path, text in clips:
        wav = resample(*read_wav(path, downmix=True), SAMPLE_RATE)
        words = words_of(normalize(text))
        phones = [without_stress(phone) for word in words for phone in pronounce(word)]
        words = [word.lower() for word in words]
        for i, true in enumerate((words, phones)):
            said[i] += len(true)
            wrong[i] += edits(true, hear[i](wav))
    shares = wrong / said
    return {
        "system": system,
        "clips": len(clips),
        "words": int(said[0]),
        "words wrong": float(shares[0]),
        "phones": int(said[1]),
        "phones wrong": float(shares[1]),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--raw", type=Path, required=True, help="the recordings with their texts")
    parser.add_argument("--wavs", type=Path, required=True, help="NAME_SYSTEM.wav of some of them")
    measure.add_report_flags(parser)
    flags = parser.parse_args(arguments)
    spoken: dict[str, list[tuple[Path, str]]] = {"recording": []}
    for utterance in find_utterances(flags.raw):
        made = sorted(flags.wavs.glob(f"{utterance.name}_*.wav"))
        if made:
            spoken["recording"].append((utterance.wav, utterance.text or ""))
        for path in made:
            system = path.stem.removeprefix(utterance.name).lstrip("_0123456789").replace("_", " ")
            spoken.setdefault(system, []).append((path, utterance.text or ""))
    if not spoken["recording"]:
        raise InputError(f"{flags.wavs} has no NAME_SYSTEM.wav of {flags.raw}; check --wavs")
    *hear, pronounce = recogniser()
    rows = []
    for system, clips in spoken.items():
        rows.append(row_of(system, clips, hear, pronounce))
        print(measure.line(rows[-1]), flush=True)
    measure.report(flags, "Intelligibility", rows, "Heard by PocketSphinx and its US English.")


if __name__ == "__main__":
    main()
