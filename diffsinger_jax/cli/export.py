"""Writes voices and vocoders in other formats.

diffsinger-jax export voice voices/name --out name.ckpt       MoonInTheRiver/DiffSinger
diffsinger-jax export openvpi voices/name --out name.ckpt     openvpi/DiffSinger
diffsinger-jax export openvpi_variance voices/name/variance --out name.ckpt
diffsinger-jax export vocoder vocoders/name --out model.ckpt  openvpi's NSF-HiFiGAN
diffsinger-jax export program pjs --out pjs.jaxexp            for JAX alone
diffsinger-jax export openutau voices/name --out Name.zip     a voicebank for OpenUtau
diffsinger-jax export onnx voices/name --out name.onnx        one graph, for ONNX Runtime
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.qualities import QUALITIES


def parse_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags of every kind; `flags.write` is what it calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True)
    voice = kinds.add_parser("voice", help="as a PyTorch checkpoint of the reference")
    voice.set_defaults(write=_write_voice)
    openvpi = kinds.add_parser("openvpi", help="as a PyTorch checkpoint of openvpi's")
    openvpi.set_defaults(write=_write_openvpi_voice)
    variance = kinds.add_parser("openvpi_variance", help="as openvpi's variance checkpoint")
    variance.set_defaults(write=_write_openvpi_variance)
    vocoder = kinds.add_parser("vocoder", help="as a PyTorch checkpoint of openvpi's")
    vocoder.set_defaults(write=_write_vocoder)
    program = kinds.add_parser("program", help="as one file that JAX alone can run")
    program.set_defaults(write=_write_program)
    program.add_argument("--frames", type=int, default=736, help="T of one call; 736 unless given")
    program.add_argument("--quality", choices=QUALITIES, help="the voice's own unless given")
    program.add_argument("--wav", action="store_true", help="sound instead of the mel")
    openutau = kinds.add_parser("openutau", help="as a voicebank, a folder or a .zip")
    openutau.set_defaults(write=_write_voicebank)
    openutau.add_argument(
        "--vocoder", metavar="FOLDER|NAME", help="a neural vocoder of ours, which is "
        "written too, or the name of a package; the voice's own, else openvpi's, unless given",
    )  # fmt: skip
    onnx = kinds.add_parser("onnx", help="as an ONNX graph: phonemes and f0 to a mel, and to sound")
    onnx.set_defaults(write=_write_onnx)
    onnx.add_argument(
        "--vocoder", metavar="FOLDER", help="one of ours; the sound is then put out too"
    )
    onnx.add_argument("--noise_input", action="store_true", help="take the noise as an input")
    voices = (voice, openvpi, program, openutau, onnx)
    whats = {"voice": voices, "vocoder": (vocoder,), "model": (variance,)}
    for what, kind in [(what, kind) for what, found in whats.items() for kind in found]:
        kind.add_argument("source", metavar=what.upper(), help=f"a {what} folder")
        kind.add_argument("--out", required=True, metavar="FILE", help="to write")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes one file."""
    flags = parse_flags(arguments)
    flags.write(flags)


def _write_voice(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.torch_checkpoint import export_checkpoint
    from diffsinger_jax.voices.voice import load_diffsinger

    export_checkpoint(load_diffsinger(flags.source), flags.out)
    print(f"wrote {flags.out}")


def _write_openvpi_voice(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.openvpi.checkpoint import export_checkpoint
    from diffsinger_jax.voices.voice import load_diffsinger

    export_checkpoint(load_diffsinger(flags.source), flags.out)
    print(f"wrote {flags.out}; it wants use_conditioner_cache: true in its config.yaml")


def _write_openvpi_variance(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.openvpi.variance import export_variance
    from diffsinger_jax.voices.variance import load_variance

    export_variance(load_variance(flags.source), flags.out)
    print(f"wrote {flags.out}; it wants use_conditioner_cache: true in its config.yaml")


def _write_vocoder(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.torch_vocoder import export_vocoder
    from diffsinger_jax.voices.vocoder import load_vocoder

    export_vocoder(load_vocoder(flags.source), flags.out)
    print(f"wrote {flags.out}")


def _write_voicebank(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.openutau.export_voicebank import (
        VOCODER,
        VOCODER_MEL,
        export_voicebank,
    )
    from diffsinger_jax.voices.vocoder import VOCODER_FILE, load_vocoder
    from diffsinger_jax.voices.voice import load_diffsinger

    voice = load_diffsinger(flags.source)
    mel = voice.info.mel
    fits = (mel.sample_rate, mel.hop, mel.n_mels) == VOCODER_MEL
    named = flags.vocoder or voice.vocoder or (VOCODER if fits else None)
    ours = named is not None and (Path(named) / VOCODER_FILE).is_file()
    if named is not None and not ours and "/" in named:
        raise InputError(
            f"{named} is no vocoder of ours; give a folder with {VOCODER_FILE}, or the name of a "
            "package that OpenUtau has"
        )
    vocoder = load_vocoder(named) if named is not None and ours else named
    checked = export_voicebank(voice, flags.out, vocoder=vocoder)
    print(f"wrote {flags.out}", *checked.lines(), sep="\n")
    if named is None:
        print(
            f"OpenUtau needs a neural vocoder of its mel ({mel.sample_rate} Hz, hop {mel.hop}, "
            f"{mel.n_mels} bins): train one with configs/vocoder_base.py and give it with "
            "--vocoder; here it sings with --vocoder harmonic"
        )
    print(f"licence of the voice: {voice.info.licence}")


def _write_onnx(flags: argparse.Namespace) -> None:
    from diffsinger_jax.atomic_write import atomic_write
    from diffsinger_jax.interop.openutau.acoustic_graph import acoustic_graph
    from diffsinger_jax.interop.openutau.onnx_parts import noise_as_inputs
    from diffsinger_jax.interop.openutau.sound_graph import sound_graph
    from diffsinger_jax.interop.openutau.vocoder_graph import vocoder_graph
    from diffsinger_jax.voices.vocoder import load_vocoder
    from diffsinger_jax.voices.vocoder_spec import log_factor, require_same_mel
    from diffsinger_jax.voices.voice import load_diffsinger

    voice, out = load_diffsinger(flags.source), Path(flags.out)
    data = acoustic_graph(voice)
    if flags.vocoder is not None:
        vocoder = load_vocoder(flags.vocoder)
        require_same_mel(voice.info.mel, vocoder.mel, flags.vocoder)
        data = sound_graph(data, vocoder_graph(vocoder), log_factor(voice.info.mel, vocoder.mel))
    data = noise_as_inputs(data) if flags.noise_input else data
    try:
        with atomic_write(out) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another") from error
    print(f"wrote {out}: {len(data) / 2**20:.1f} MiB")
    print(f"licence of the voice: {voice.info.licence}")


def _write_program(flags: argparse.Namespace) -> None:
    from diffsinger_jax.atomic_write import atomic_write
    from diffsinger_jax.interop.export_program import export_program
    from diffsinger_jax.voices.sampling import resolve_sampling
    from diffsinger_jax.voices.voice import load_diffsinger

    voice = load_diffsinger(flags.source)
    sampling = resolve_sampling(voice, quality=flags.quality)
    program = export_program(voice, flags.frames, sampling=sampling, with_wav=flags.wav)
    data, out = bytes(program.serialize()), Path(flags.out)
    try:
        with atomic_write(out) as partial:
            partial.write_bytes(data)
    except OSError as error:
        raise InputError(f"{out}: cannot be written ({error.strerror}); choose another") from error
    shape = "x".join(map(str, program.out_avals[0].shape))
    print(f"wrote {out}: {flags.frames} frames -> {shape}, {len(data) / 2**20:.1f} MiB")
    print(f"licence of the voice: {voice.info.licence}")
