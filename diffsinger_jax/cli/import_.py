"""Makes voices and vocoders of other projects' checkpoints.

    diffsinger-jax import voice model_ckpt_steps_160000.ckpt --config config.yaml \
        --phone_set phone_set.json --out voices/name
    diffsinger-jax import openvpi checkpoints/name --out voices/name
    diffsinger-jax import openvpi_variance checkpoints/name --out voices/name/variance
    diffsinger-jax import vocoder model.ckpt --config config.json --out vocoders/name
"""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def parse_flags(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The flags of every kind; `flags.make` is what it calls."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_subparsers(metavar="KIND", required=True)

    voice = kinds.add_parser("voice", help="of a MoonInTheRiver/DiffSinger checkpoint")
    voice.set_defaults(make=_make_voice)
    voice.add_argument("checkpoint", help="model_ckpt_steps_*.ckpt")
    voice.add_argument("--config", required=True, help="the model's flat config.yaml")
    voice.add_argument("--phone_set", required=True, help="the model's phone_set.json")
    voice.add_argument("--language", default="zh", help="that it sings; zh unless given")

    openvpi = kinds.add_parser("openvpi", help="of an openvpi/DiffSinger acoustic model")
    openvpi.set_defaults(make=_make_openvpi_voice)
    openvpi.add_argument(
        "checkpoint", help="an experiment's folder, or a model_ckpt_steps_*.ckpt in it"
    )

    variance = kinds.add_parser(
        "openvpi_variance", help="of an openvpi/DiffSinger variance model: durations, pitch, curves"
    )
    variance.set_defaults(make=_make_openvpi_variance)
    variance.add_argument(
        "checkpoint", help="an experiment's folder, or a model_ckpt_steps_*.ckpt in it"
    )

    vocoder = kinds.add_parser("vocoder", help="of an NSF-HiFiGAN checkpoint")
    vocoder.set_defaults(make=_make_vocoder)
    vocoder.add_argument("checkpoint", help="model.ckpt")
    vocoder.add_argument("--config", required=True, help="the config.json or .yaml beside it")

    for kind in (voice, openvpi, variance, vocoder):
        kind.add_argument("--out", required=True, metavar="DIR", help="folder to write")
        kind.add_argument("--name", help="the checkpoint's folder unless given")
        kind.add_argument("--licence", default="", help="of its data, with the credit line")
    return parser.parse_args(arguments)


def main(arguments: Sequence[str] | None = None) -> None:
    """Imports one checkpoint."""
    flags = parse_flags(arguments)
    flags.make(flags)


def _make_voice(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.name_map import OURS_ALONE
    from diffsinger_jax.interop.torch_checkpoint import import_checkpoint
    from diffsinger_jax.voices.voice import save_voice

    done = import_checkpoint(
        flags.checkpoint,
        flags.config,
        flags.phone_set,
        name=flags.name,
        licence=flags.licence,
        language=flags.language,
    )
    save_voice(flags.out, done.voice)
    print("what the reference does, and this voice:")
    for sentence in done.behaviours:
        print(f"  {sentence}")
    _print_tensors(done.used, done.left_out)
    print(f"set anew, since the reference has none: {', '.join(OURS_ALONE)}")
    print(f"the voice is in {flags.out}")


def _make_openvpi_voice(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.openvpi.checkpoint import import_experiment
    from diffsinger_jax.voices.voice import save_voice

    done = import_experiment(flags.checkpoint, name=flags.name, licence=flags.licence)
    save_voice(flags.out, done.voice)
    vocabulary = done.voice.info.vocabulary
    print(
        f"speakers: {', '.join(vocabulary.speakers)}; languages: {', '.join(vocabulary.languages)}"
    )
    print(f"curves that it is told: {', '.join(done.voice.curves) or 'none'}")
    _print_tensors(done.used, done.left_out)
    print(f"the voice is in {flags.out}")


def _make_openvpi_variance(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.openvpi.variance import import_variance
    from diffsinger_jax.voices.variance import save_variance

    done = import_variance(flags.checkpoint, name=flags.name, licence=flags.licence)
    save_variance(flags.out, done.voice)
    model, made = done.voice.model, []
    made += ["durations"] if model.get("durations", "none") != "none" else []
    made += ["pitch"] if model.get("pitch_settings") else []
    print(f"it predicts {', '.join([*made, *done.voice.curves])}")
    _print_tensors(done.used, done.left_out)
    print(f"the variance model is in {flags.out}")


def _print_tensors(used: int, left_out: Mapping[str, str]) -> None:
    print(f"{used} tensors became parameters; left out{':' if left_out else ': none'}")
    for reason in dict.fromkeys(left_out.values()):
        names = [name for name, why in left_out.items() if why == reason]
        print(f"  {', '.join(names)}: {reason}")


def _make_vocoder(flags: argparse.Namespace) -> None:
    from diffsinger_jax.interop.torch_vocoder import import_vocoder
    from diffsinger_jax.voices.vocoder import save_vocoder

    vocoder = import_vocoder(flags.checkpoint, flags.config, name=flags.name, licence=flags.licence)
    save_vocoder(flags.out, vocoder)
    arrays = list(_leaves(vocoder.params))
    print(
        f"{len(arrays)} weights and biases, {sum(x.size for x in arrays):,} numbers, weight "
        "norm folded; no tensor is left over"
    )
    print(f"source: {vocoder.model['source']}; f0 where it is unvoiced: {vocoder.unvoiced}")
    print(f"mel: {', '.join(f'{k} {v}' for k, v in dataclasses.asdict(vocoder.mel).items())}")
    print(f"the vocoder is in {flags.out}")


def _leaves(tree: Mapping[str, Any]) -> Iterator[Any]:
    for branch in tree.values():
        if isinstance(branch, Mapping):
            yield from _leaves(branch)
        else:
            yield branch
