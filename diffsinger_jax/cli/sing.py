"""Sings scores with a trained voice: a score or an editor's project in, wav or flac out.

`run_sample.py` is this command, too.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from diffsinger_jax import resources
from diffsinger_jax.cli import control_flags, runtime, score_flags
from diffsinger_jax.cli.number_flags import depth
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.qualities import METHODS, QUALITIES

EXAMPLES = """\
examples:
  %(prog)s
      sings the song that ships, with the voice that ships, into out/, with a picture of it
  %(prog)s --score song.musicxml --key -3 --tempo 0.9
      three semitones lower, a tenth slower
  %(prog)s --score a.mid b.ds --out takes --takes 3 --seed 7
      three takes of each, with seeds 7, 8 and 9
  %(prog)s --score lied.mxl --phoneme_map de --key -10
      German with a voice that sings Japanese, where it is at home
  %(prog)s --score hymn.mxl --part all
      every part of a choir as a file of its own, and their mix
  %(prog)s --score song.musicxml --quality draft
      in a hurry: few calls of the denoiser
  %(prog)s --score song.musicxml --stream --out - | aplay
      heard while it is sung
  %(prog)s --warmup --quality good
      compiles all that singing with this voice and quality needs, once for this machine
  %(prog)s --score song.ds --save ds f0 mel picture --format flac --bit_depth 24
      with everything that was predicted; the written .ds can be edited and sung again
"""


def parse_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags, checked as far as that goes without reading a file."""
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_what(parser)
    _add_how(parser.add_argument_group("how to sing it"))
    _add_where(parser.add_argument_group("what to write"))
    flags = parser.parse_args(arguments)
    if flags.stream and (flags.save or flags.sample_rate or flags.format != "wav"):
        parser.error("--stream writes a wav at the voice's rate, without --save or --format")
    if flags.out.lower().endswith((".wav", ".flac")):
        parser.error(f"--out {flags.out} must be a folder; each score gets a file in it")
    if flags.out == "-" and not flags.stream:
        parser.error("--out - goes with --stream; give a folder, or add --stream")
    if flags.out == "-" and (flags.takes > 1 or len(flags.score or []) > 1):
        parser.error("--out - takes one take of one score")
    if flags.score is None:
        flags.score = [resources.DEFAULT_SONG]
        flags.save = [] if flags.stream else [*flags.save, "picture"]
    flags.score = [resources.find_score(score) for score in flags.score]
    flags.save = list(dict.fromkeys(flags.save))
    if flags.singers is not None and flags.part is None:
        flags.part = "all"
    return flags


def _add_what(parser: argparse.ArgumentParser) -> None:
    what = parser.add_argument_group("what to sing")
    what.add_argument(
        "--score",
        nargs="+",
        metavar="FILE",
        help=".ds, .musicxml, .mxl, .mid, .kar, .ustx, .ust, .lab, .TextGrid, other editors' "
        "projects (extra `formats`), or the name of a song that ships: "
        + ", ".join(resources.shipped_songs()),
    )
    what.add_argument(
        "--voice",
        default=resources.DEFAULT_VOICE,
        metavar="DIR",
        help="a voice folder, the name of a voice that ships, as %(default)s, or an OpenUtau "
        "DiffSinger voicebank, a folder, .zip or .oudep (extra `onnx`)",
    )
    what.add_argument(
        "--singers",
        metavar="DIR",
        help="OpenUtau voicebanks: each track of a .ustx by the one it names, into stems and a mix",
    )
    score_flags.add_reading(parser)
    what.add_argument(
        "--speaker",
        metavar="NAME",
        help="of the voice, or a mix as a:0.7|b:0.3; its first unless given",
    )
    what.add_argument(
        "--vocoder",
        metavar="DIR",
        help="a vocoder folder, an .oudep, or harmonic (built in); the voice's own unless given",
    )


def _add_how(how: argparse._ArgumentGroup) -> None:
    how.add_argument(
        "--key", type=_semitones, default=0.0, metavar="SEMITONES", help="transpose up"
    )
    how.add_argument(
        "--tempo", type=_positive, default=1.0, metavar="FACTOR", help="2 is twice as fast"
    )
    control_flags.add_flags(how)
    control_flags.add_expression(how)
    how.add_argument("--seed", type=_at_least(0), default=0, help="of the noise; 0 unless given")
    how.add_argument("--takes", type=_at_least(1), default=1, help="how many, with rising seeds")
    how.add_argument(
        "--quality",
        choices=QUALITIES,
        help="faster or more exact; the voice's own sampling unless given",
    )
    how.add_argument(
        "--method",
        choices=METHODS,
        help="sampler; of the quality or the voice unless given",
    )
    how.add_argument(
        "--k_step",
        type=depth,
        metavar="K",
        help="where sampling starts: a number of a diffusion's steps, 1 - t of a flow",
    )
    how.add_argument("--steps", type=_at_least(1), help="sampling steps from there")


def _add_where(where: argparse._ArgumentGroup) -> None:
    where.add_argument(
        "--out", default="out", metavar="DIR", help="folder; files of the same name are replaced"
    )
    where.add_argument(
        "--stream",
        action="store_true",
        help="write the sound while it is sung, in little memory; with --out - to standard output",
    )
    where.add_argument(
        "--warmup", action="store_true", help="write nothing, but compile for later starts"
    )
    where.add_argument("--format", choices=("wav", "flac"), default="wav")
    where.add_argument("--bit_depth", type=int, choices=(16, 24), default=16)
    where.add_argument(
        "--sample_rate", type=_at_least(8000), metavar="HZ", help="the voice's own unless given"
    )
    where.add_argument(
        "--save",
        nargs="+",
        choices=("mel", "f0", "ds", "picture"),
        default=[],
        help="also write these beside the sound",
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Checks everything that can be checked, then sings every take of every score."""
    flags = parse_flags(arguments)
    # After the flags: `--help` and a wrong flag answer at once.
    from diffsinger_jax.synthesis.files import output_stems, require_writable

    runtime.remember_compiled_programs()
    if flags.warmup:
        _warm_up(_open(flags.voice, flags), flags)
        return 0
    if flags.out != "-":
        require_writable(flags.out)
    stems = output_stems(flags.score)
    _keep_the_scores(flags, stems)
    named = score_flags.read_all(flags.score, stems, flags)
    speaker = control_flags.speaker_name(flags)
    singers = _singers(named, flags)
    for synthesizer in dict.fromkeys(singers):
        synthesizer.voice.info.vocabulary.speaker_id(speaker)
    expressed = _expressed(dict.fromkeys(singers), flags)
    samplings = {synthesizer: _sampling(synthesizer, flags) for synthesizer in singers}
    songs = [
        (path, stem, _prepared(synthesizer, score, flags))
        for synthesizer, (path, stem, score) in zip(singers, named, strict=True)
    ]

    # What is said must not stand in a sound that goes to standard output.
    with contextlib.redirect_stdout(sys.stderr if flags.out == "-" else sys.stdout):
        for voice in (synthesizer.voice for synthesizer in dict.fromkeys(singers)):
            print(f"voice: {voice.name} ({voice.info.licence})")
        for synthesizer, (path, stem, score) in zip(singers, songs, strict=True):
            print(f"{path}: {f'{score.part}, ' if score.part else ''}{score.duration_sec:.1f} s")
            for remark in score.remarks:
                print(f"  {remark}")
            if ignored := synthesizer.ignored_curves(score):
                print(f"ignored, since the voice has no input for them: {', '.join(ignored)}")
            for take in range(flags.takes):
                name = f"{stem}_take{take + 1}" if flags.takes > 1 else stem
                how = {"seed": flags.seed + take, "speaker": speaker}
                how |= {"sampling": samplings[synthesizer], **expressed}
                (_stream if flags.stream else _sing)(synthesizer, score, name, how, flags)
        if not flags.stream:
            score_flags.mix_parts(songs, flags)
    return 0


def _prepared(synthesizer, score, flags: argparse.Namespace):
    """The score as it is sung, with a remark on notes that the voice has never sung."""
    prepared = synthesizer.prepare(
        control_flags.controls(flags).applied(score),
        key=flags.key,
        tempo=flags.tempo,
        pronunciation=score_flags.pronunciation(flags),
    )
    outside = synthesizer.range_remark(prepared)
    remarks = prepared.remarks + ((outside,) if outside else ())
    return dataclasses.replace(prepared, remarks=remarks)


def _sing(synthesizer, score, name: str, how: dict, flags: argparse.Namespace) -> None:
    """Sings one take and writes all that was asked for."""
    from diffsinger_jax.synthesis.files import save_song, song_tags

    voice = synthesizer.voice
    start = time.perf_counter()
    with _progress(synthesizer, score) as progress:
        song = synthesizer.sing(score, **how, on_pieces=progress.update)
    spent_sec = time.perf_counter() - start
    paths = save_song(
        song,
        flags.out,
        name,
        tags=song_tags(score.title or name, voice.name, voice.info.licence, how["seed"]),
        extras=flags.save,
        sound_format=flags.format,
        bit_depth=flags.bit_depth,
        sample_rate=flags.sample_rate,
    )
    for written in paths:
        print(f"wrote {written}")
    print(
        f"{song.duration_sec:.1f} s of song in {spent_sec:.1f} s, "
        f"real-time factor {spent_sec / song.duration_sec:.2f}"
    )


def _stream(synthesizer, score, name: str, how: dict, flags: argparse.Namespace) -> None:
    """Sings one take and writes its sound as it comes."""
    from diffsinger_jax.synthesis.files import song_tags, stream_song

    voice = synthesizer.voice
    start = time.perf_counter()
    with _progress(synthesizer, score) as progress:
        path, song_sec, first_sec = stream_song(
            synthesizer.stream(score, **how, on_pieces=progress.update),
            flags.out,
            name,
            samples=synthesizer.song_samples(score),
            sample_rate=voice.info.mel.sample_rate,
            tags=song_tags(score.title or name, voice.name, voice.info.licence, how["seed"]),
            bit_depth=flags.bit_depth,
        )
    spent_sec = time.perf_counter() - start
    print(f"wrote {path}")
    print(
        f"{song_sec:.1f} s of song in {spent_sec:.1f} s, "
        f"real-time factor {spent_sec / song_sec:.2f}, first sound after {first_sec:.2f} s"
    )


def _warm_up(synthesizer, flags: argparse.Namespace) -> None:
    """Compiles every shape, with a progress bar; what was compiled before is found again."""
    import tqdm

    print("compiling for pieces of every length; later starts find it in the cache")
    shapes = synthesizer.warm_up(sampling=_sampling(synthesizer, flags))
    for _ in tqdm.tqdm(shapes, total=len(synthesizer.shapes), unit="shape"):
        pass


def _singers(named: Sequence[tuple], flags: argparse.Namespace) -> list:
    """What sings each score: the singer that it names, found in --singers, or else --voice."""
    if flags.singers is None:
        return [_open(flags.voice, flags)] * len(named)
    from diffsinger_jax.interop.openutau.singers import Singers

    folder = Singers(flags.singers)
    paths = [
        folder.find(score.singer, ": ".join(filter(None, (str(path), score.part))))
        for path, _, score in named
    ]
    found = {path: _open(path, flags) for path in dict.fromkeys(paths)}
    rates = {synthesizer.voice.info.mel.sample_rate for synthesizer in found.values()}
    if len(rates) > 1 and flags.sample_rate is None:
        raise InputError(
            f"the singers have the sample rates {', '.join(map(str, sorted(rates)))}, which cannot "
            "be mixed; give the one that is wanted with --sample_rate"
        )
    return [found[path] for path in paths]


def _open(voice, flags: argparse.Namespace):
    """What sings: with a voice of ours, or a voicebank of OpenUtau."""
    from diffsinger_jax.interop.openutau.package import is_voicebank

    if is_voicebank(voice):
        from diffsinger_jax.interop.openutau.synthesizer import VoicebankSynthesizer

        if flags.variance is not None:
            raise InputError(
                f"the voicebank {voice} has models of its own for durations and pitch; leave "
                "--variance out"
            )
        return VoicebankSynthesizer.from_checkpoint(voice, flags.vocoder)
    from diffsinger_jax.synthesis.synthesizer import Synthesizer
    from diffsinger_jax.voices.voice import with_variance

    synthesizer = Synthesizer.from_checkpoint(
        voice, flags.vocoder, quality=flags.quality, variance=flags.variance
    )
    own, predicts = synthesizer.voice.variance, not synthesizer.voice.requires
    if flags.phoneme_map is not None and flags.variance is None and own and predicts:
        # Of other languages it knows too little: its notes are less in tune than the voice's.
        synthesizer.voice = with_variance(synthesizer.voice, None)
        print(
            "durations and pitch by the voice itself: its variance model knows its languages alone"
        )
    return synthesizer


def _sampling(synthesizer, flags: argparse.Namespace):
    """The flags, resolved against the voice."""
    names = ("quality", "method", "k_step", "steps")
    return synthesizer.resolve_sampling(**{name: getattr(flags, name) for name in names})


def _expressed(singers: Iterable, flags: argparse.Namespace) -> dict:
    """How pitch is steered, where that is asked for."""
    from diffsinger_jax.synthesis.expression import Expression
    from diffsinger_jax.synthesis.synthesizer import Synthesizer

    if (expression := control_flags.expression(flags)) == Expression():
        return {}
    for synthesizer in singers:
        if not isinstance(synthesizer, Synthesizer):
            from diffsinger_jax.interop.openutau.steering import require_steerable

            require_steerable(synthesizer.voice, expression)
            continue
        if "f0" in synthesizer.voice.lacks:
            raise InputError(
                f"the voice {synthesizer.voice.name} predicts no pitch that --expressiveness, "
                "--retake and their like could steer; leave them out"
            )
    return {"expression": expression}


def _progress(synthesizer, score):
    """A bar over the pieces."""
    import tqdm

    if synthesizer.shapes:
        print("singing; the first piece of each length waits for its program to be compiled")
    return tqdm.tqdm(total=len(synthesizer.sung_pieces(score)), unit="piece")


def _keep_the_scores(flags: argparse.Namespace, stems: Sequence[str]) -> None:
    """A `.ds` that is sung must not be replaced by the one that is written."""
    if "ds" not in flags.save:
        return
    for path, stem in zip(flags.score, stems, strict=True):
        if flags.takes == 1 and Path(flags.out, f"{stem}.ds").resolve() == Path(path).resolve():
            raise InputError(f"{path}: would be replaced by --save ds; choose another --out")


def _at_least(least: int):
    def parse(text: str) -> int:
        if not least <= (value := int(text)) < 2**31:
            raise argparse.ArgumentTypeError(f"{text} is not from {least} to {2**31 - 1}")
        return value

    parse.__name__ = "whole number"  # argparse: "invalid whole number value: 'x'"
    return parse


def _positive(text: str) -> float:
    if not 0 < (value := float(text)) < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not above 0")
    return value


def _semitones(text: str) -> float:
    if not abs(value := float(text)) <= 36:
        raise argparse.ArgumentTypeError(f"{text} is not from -36 to 36")
    return value


_positive.__name__ = _semitones.__name__ = "number"
