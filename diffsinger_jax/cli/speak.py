"""Speaks texts with a trained voice: words in, wav out.

    diffsinger-jax speak "Hello, world." --voice voices/lj --out hello.wav
    diffsinger-jax speak --file book.txt --voice voices/lj --out book.wav
    echo "Hello." | diffsinger-jax speak --voice voices/lj --stream | aplay
    diffsinger-jax speak "On 3/4/2026 I paid $5." --phones

A text may have phonemes, {HH AH0 L OW1}, and SSML's break, prosody and phoneme.
"""

from __future__ import annotations

import argparse
import contextlib
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

from diffsinger_jax.cli import runtime
from diffsinger_jax.cli.number_flags import depth
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.qualities import METHODS, QUALITIES


def parse_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags, checked as far as that goes without reading a file."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", nargs="*", help="what to say; standard input unless given")
    parser.add_argument("--file", type=Path, metavar="FILE", help="a text in UTF-8 to read")
    parser.add_argument("--lines", action="store_true", help="each line as a file: OUT_1.wav ...")
    parser.add_argument("--phones", action="store_true", help="print words and phones, no sound")
    parser.add_argument("--voice", metavar="DIR", help="a voice folder that speaks")
    parser.add_argument("--out", metavar="FILE", help="a wav, - for standard output; it is written "
                        "while it is spoken; speech.wav unless given")  # fmt: skip
    parser.add_argument("--stream", action="store_true", help="as --out -, unless --out is given")
    parser.add_argument("--vocoder", metavar="DIR", help="the voice's own unless given")
    parser.add_argument("--speaker", metavar="NAME", help="of the voice; its first unless given")
    parser.add_argument(
        "--dictionary", nargs="+", default=[], type=Path, metavar="FILE",
        help="words with their phones, in CMUdict's or MFA's format",
    )  # fmt: skip
    parser.add_argument("--rate", default="1", help="as in SSML: 1.2, 80%%, slow")
    parser.add_argument("--pitch", default="0st", help="as in SSML: +2st, -10%%, high")
    parser.add_argument("--volume", default="0dB", help="as in SSML: -6dB, soft")
    parser.add_argument("--seed", type=int, default=0, help="of the noise; 0 unless given")
    parser.add_argument("--quality", choices=QUALITIES, help="faster or more exact")
    parser.add_argument("--method", choices=METHODS, help="sampler")
    parser.add_argument("--k_step", type=depth, metavar="K", help="where sampling starts")
    parser.add_argument("--steps", type=int, help="sampling steps from there")
    flags = parser.parse_args(arguments)
    flags.out = flags.out or ("-" if flags.stream else "speech.wav")
    if flags.text and flags.file:
        parser.error("give a text or --file, not both")
    if flags.voice is None and not flags.phones:
        parser.error("--voice is missing, the folder of a voice that speaks")
    if flags.out != "-" and not flags.out.lower().endswith(".wav"):
        parser.error(f"--out {flags.out} must end in .wav, or be - for standard output")
    if flags.lines and flags.out == "-":
        parser.error("--lines writes files; give --out a name")
    if not 0 <= flags.seed < 2**31:
        parser.error(f"--seed {flags.seed} is not from 0 to {2**31 - 1}")
    return flags


def main(arguments: Sequence[str] | None = None) -> int:
    """Speaks the text, or prints how it is read."""
    flags = parse_flags(arguments)
    from diffsinger_jax.text.pronunciation import Pronouncer

    pronounce = Pronouncer(flags.dictionary)
    if flags.phones:
        _print_phones(_text(flags), pronounce)
        return 0
    from diffsinger_jax.synthesis.speaking import Speaker
    from diffsinger_jax.synthesis.synthesizer import Synthesizer
    from diffsinger_jax.voices.sampling import resolve_sampling

    runtime.remember_compiled_programs()
    speaker = Speaker(Synthesizer.from_checkpoint(flags.voice, flags.vocoder), pronounce)
    voice = speaker.synthesizer.voice
    names = ("quality", "method", "k_step", "steps")
    how = {
        "prosody": _prosody(flags),
        "seed": flags.seed,
        "sampling": resolve_sampling(voice, **{name: getattr(flags, name) for name in names}),
        "speaker": flags.speaker,
    }
    with contextlib.redirect_stdout(sys.stderr if flags.out == "-" else sys.stdout):
        print(f"voice: {voice.name} ({voice.info.licence})")
        if not flags.lines:
            _speak(speaker, _text(flags), flags.out, how)
            return 0
        lines = (line for line in _text(flags) if line.strip())
        for number, line in enumerate(lines, 1):
            _speak(speaker, [line], f"{flags.out[:-4]}_{number}.wav", how)
    return 0


def _text(flags: argparse.Namespace) -> Iterator[str]:
    """The text, line by line as it comes."""
    if flags.text:
        yield " ".join(flags.text)
        return
    if flags.file is None:
        yield from sys.stdin
        return
    try:
        with flags.file.open(encoding="utf-8-sig") as file:
            yield from file
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(
            f"{flags.file}: cannot be read as UTF-8 text ({error}); check it"
        ) from error


def _prosody(flags: argparse.Namespace):
    """The flags, read as SSML reads its attributes."""
    from diffsinger_jax.text.markup import changed_prosody

    given = {name: getattr(flags, name) for name in ("rate", "pitch", "volume")}
    return changed_prosody(given, "the flags")


def _print_phones(text: Iterable[str], pronounce) -> None:
    """A line for each sentence: words with their phones, pauses as their marks."""
    from diffsinger_jax.text.front_end import Word, read_text

    for sentence in read_text(text, pronounce):
        print(
            " ".join(
                f"{token.written}{{{' '.join(token.phones)}}}"
                if isinstance(token, Word)
                else token.mark
                if token.sec is None
                else f'<break time="{token.sec:g}s"/>'
                for token in sentence
            )
        )


def _speak(speaker, text: Iterable[str], out: str, how: dict) -> None:
    """Speaks a text into a file, or standard output, while it is spoken."""
    from diffsinger_jax.audio.wav_stream import WavStream
    from diffsinger_jax.synthesis.files import song_tags

    voice = speaker.synthesizer.voice
    rate = voice.info.mel.sample_rate
    start = time.perf_counter()
    blocks = speaker.stream(text, **how)
    first = next(blocks, None)
    if first is None:
        raise InputError("there is nothing to say in the text; write some words")
    first_sec = time.perf_counter() - start
    samples = 0
    with _open_sound(out) as file:
        tags = song_tags(Path(out).stem, voice.name, voice.info.licence, how["seed"])
        sound = WavStream(file, None, rate, tags=tags)
        while first is not None:
            sound.write(first)
            samples += len(first)
            first = next(blocks, None)
        sound.finish()
    spent_sec = time.perf_counter() - start
    print(
        f"wrote {'standard output' if out == '-' else out}\n{samples / rate:.1f} s of speech in "
        f"{spent_sec:.1f} s, real-time factor {spent_sec * rate / max(samples, 1):.2f}, first "
        f"sound after {first_sec:.2f} s"
    )


@contextlib.contextmanager
def _open_sound(out: str) -> Iterator[BinaryIO]:
    """Standard output, or a file that is there once it is whole."""
    from diffsinger_jax.atomic_write import atomic_write
    from diffsinger_jax.synthesis.files import standard_output

    if out == "-":
        yield standard_output()
        return
    try:
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(out)) as partial, partial.open("w+b") as file:
            yield file
    except OSError as error:
        raise InputError(
            f"{out}: cannot be written to ({error.strerror}); choose another place"
        ) from error
