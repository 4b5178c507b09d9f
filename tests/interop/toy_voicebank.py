"""A DiffSinger voicebank whose graphs show what they were given, small enough to write by hand.

Bins of its mel are f0 / 100, each curve in the order of `SHOWN`, the first number of the speaker's
embedding, depth and steps; its duration model says 3 frames for every phoneme and 1 more for each
semitone above C4, its pitch model the notes, its variance model the pitch plus 0, 1, 2, 3.
"""

from pathlib import Path

import numpy as np

HOP, RATE, WIDTH, BINS = 10, 1000, 2, 10
FRAME_SEC = HOP / RATE
SHOWN = ("energy", "breathiness", "voicing", "tension", "gender", "velocity")
PHONEMES = ("SP", "AP", "k", "s", "w", "a", "i", "N")
TYPES = {"k": "stop", "s": "fricative", "w": "semivowel", "a": "vowel", "i": "vowel", "N": "vowel"}
ENTRIES = {"ka": "k a", "sa": "s a", "i": "i", "kwa": "k w a", "n": "N", "kasa": "k a s a"}
SPEAKERS = {"embeds/alpha": (1.0, 0.5), "embeds/beta": (-3.0, 2.0)}

CONFIG = f"""\
hidden_size: {WIDTH}
sample_rate: {RATE}
hop_size: {HOP}
win_size: 40
fft_size: 64
num_mel_bins: {BINS}
mel_fmin: 40
mel_fmax: 500
mel_base: e
mel_scale: slaney
phonemes: phonemes.json
use_continuous_acceleration: true
speakers:
- embeds/alpha
- embeds/beta
"""
ACOUSTIC = f"""\
{CONFIG}acoustic: acoustic.onnx
vocoder: toy
augmentation_args:
  random_pitch_shifting:
    range: [-5.0, 6.0]
use_key_shift_embed: true
use_speed_embed: true
use_energy_embed: true
use_breathiness_embed: true
use_voicing_embed: true
use_tension_embed: true
use_variable_depth: true
max_depth: 0.6
"""
VARIANCE = f"""\
{CONFIG}linguistic: linguistic.onnx
dur: dur.onnx
pitch: pitch.onnx
variance: variance.onnx
predict_dur: true
predict_energy: true
predict_breathiness: true
predict_voicing: true
predict_tension: true
use_expr: true
use_note_rest: true
"""
VOCODER = f"""\
name: toy
model: vocoder.onnx
sample_rate: {RATE}
hop_size: {HOP}
win_size: 40
fft_size: 64
num_mel_bins: {BINS}
mel_fmin: 40
mel_fmax: 500
mel_base: e
mel_scale: slaney
"""
CHARACTER = """\
text_file_encoding: utf-8
singer_type: diffsinger
subbanks:
- color: ""
  suffix: embeds/alpha
  tone_ranges: [C1-B4]
- color: ""
  suffix: embeds/beta
  tone_ranges: [C5-B7]
"""


def model(nodes, inputs, outputs, constants=(), domain=""):
    """A serialized graph: nodes (operator, inputs, output, attributes), tensors name -> (type,
    shape)."""
    from onnx import helper, numpy_helper

    def info(name, kind, shape):
        return helper.make_tensor_value_info(name, {"f": 1, "i": 7, "b": 9, "d": 11}[kind], shape)

    made = helper.make_graph(
        [
            helper.make_node(op, ins.split(), outs.split(), domain=domain, **attributes)
            for op, ins, outs, attributes in nodes
        ],
        "toy",
        [info(name, *tensor) for name, tensor in inputs.items()],
        [info(name, *tensor) for name, tensor in outputs.items()],
        [numpy_helper.from_array(np.asarray(v), name) for name, v in dict(constants).items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid(domain, 1)] if domain else []
    return helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()


TOKENS, WORDS, NOTES, FRAMES = ([1, n] for n in ("n_tokens", "n_words", "n_notes", "n_frames"))
AXIS = {"last": np.array([2]), "first": np.array([0]), "hundred": np.float32(100)}


def acoustic(**changes):
    inputs = {"tokens": ("i", TOKENS), "durations": ("i", TOKENS), "f0": ("f", FRAMES)}
    inputs |= dict.fromkeys(SHOWN, ("f", FRAMES))
    inputs |= {"spk_embed": ("f", [1, "n_frames", WIDTH]), "depth": ("f", []), "steps": ("i", [])}
    inputs = {name: tensor for name, tensor in (inputs | changes).items() if tensor is not None}
    nodes = [("Div", "f0 hundred", "pitch", {}), ("Sub", "f0 f0", "zero", {})]
    parts = ["pitch"]
    for name in (*SHOWN, "depth", "steps"):
        if name in inputs:
            nodes.append(("Cast", name, f"{name}_f", {"to": 1}))
            nodes.append(("Add", f"zero {name}_f", f"{name}_t", {}))
        parts.append(f"{name}_t" if name in inputs else "zero")
    if "spk_embed" in inputs:
        nodes += [("Gather", "spk_embed first", "one", {"axis": 2})]
        nodes += [("Squeeze", "one last", "speaker", {})]
    parts.insert(7, "speaker" if "spk_embed" in inputs else "zero")
    nodes += [("Unsqueeze", f"{part} last", f"{part}_{i}", {}) for i, part in enumerate(parts)]
    columns = " ".join(f"{part}_{i}" for i, part in enumerate(parts))
    nodes += [("Concat", columns, "mel", {"axis": 2})]
    return model(nodes, inputs, {"mel": ("f", [1, "n_frames", BINS])}, AXIS)


def linguistic():
    inputs = {"tokens": ("i", TOKENS), "word_div": ("i", WORDS), "word_dur": ("i", WORDS)}
    nodes = [
        ("Cast", "tokens", "float", {"to": 1}),
        ("Unsqueeze", "float last", "column", {}),
        ("Concat", "column column", "encoder_out", {"axis": 2}),
        ("Greater", "tokens none", "x_masks", {}),
    ]
    outputs = {"encoder_out": ("f", [1, "n_tokens", WIDTH]), "x_masks": ("b", TOKENS)}
    return model(nodes, inputs, outputs, AXIS | {"none": np.int64(0)})


def dur(frames=3.0):
    inputs = {"encoder_out": ("f", [1, "n_tokens", WIDTH]), "x_masks": ("b", TOKENS)}
    inputs |= {"ph_midi": ("i", TOKENS), "spk_embed": ("f", [1, "n_tokens", WIDTH])}
    nodes = [
        ("Cast", "ph_midi", "midi", {"to": 1}),
        ("Sub", "midi c4", "above", {}),
        ("Add", "above frames", "ph_dur_pred", {}),
    ]
    constants = {"c4": np.float32(60), "frames": np.float32(frames)}
    return model(nodes, inputs, {"ph_dur_pred": ("f", TOKENS)}, constants)


def pitch(noisy=False):
    """Each note's pitch over its frames: the sum of notes where they have begun, by differences.

    A noisy one adds a hundredth of the pitch it is given and of noise, and `expr` times 3.
    """
    inputs = {"encoder_out": ("f", [1, "n_tokens", WIDTH]), "ph_dur": ("i", TOKENS)}
    inputs |= {"note_midi": ("f", NOTES), "note_rest": ("b", NOTES), "note_dur": ("i", NOTES)}
    inputs |= {"pitch": ("f", FRAMES), "expr": ("f", FRAMES), "retake": ("b", FRAMES)}
    inputs |= {"spk_embed": ("f", [1, "n_frames", WIDTH]), "steps": ("i", [])}
    nodes = [
        ("CumSum", "note_dur one", "ends", {}),
        ("Equal", "pitch pitch", "frames", {}),
        ("Cast", "frames", "ones", {"to": 7}),
        ("CumSum", "ones one", "count", {}),
        ("Unsqueeze", "count last", "times", {}),  # 1 ... T
        ("Greater", "times ends", "after", {}),  # [1, T, K]
        ("Cast", "after", "after_i", {"to": 7}),
        ("ReduceSum", "after_i last", "index", {"keepdims": 0}),
        ("GatherElements", "note_midi index", "line" if noisy else "pitch_pred", {"axis": 1}),
    ]
    if noisy:
        nodes += [
            ("RandomNormalLike", "line", "normal", {}),
            ("Mul", "normal cent", "drawn", {}),
            ("Div", "pitch hundred", "share", {}),
            ("Mul", "expr three", "expression", {}),
            ("Sum", "line drawn share expression", "pitch_pred", {}),
        ]
    constants = AXIS | {"one": np.int64(1), "three": np.float32(3)}
    constants |= {"cent": np.float32(0.01)}
    return model(nodes, inputs, {"pitch_pred": ("f", FRAMES)}, constants)


def variance(curves=SHOWN[:4]):
    inputs = {"encoder_out": ("f", [1, "n_tokens", WIDTH]), "ph_dur": ("i", TOKENS)}
    inputs |= {"pitch": ("f", FRAMES), **dict.fromkeys(curves, ("f", FRAMES))}
    inputs |= {"retake": ("b", [1, "n_frames", len(curves)])}
    inputs |= {"spk_embed": ("f", [1, "n_frames", WIDTH]), "steps": ("i", [])}
    nodes = [("Add", f"pitch c{i}", f"{name}_pred", {}) for i, name in enumerate(curves)]
    constants = {f"c{i}": np.float32(i) for i in range(len(curves))}
    return model(nodes, inputs, {f"{name}_pred": ("f", FRAMES) for name in curves}, constants)


def vocoder(bins=BINS, hop=HOP, noisy=False):
    nodes = [
        ("RandomNormalLike", "f0", "drawn", {}),
        ("Add", "f0 drawn", "louder", {}),
    ]
    nodes = nodes * noisy + [
        ("Unsqueeze", "louder last" if noisy else "f0 last", "column", {}),
        ("Gather", "mel first", "bin", {"axis": 2}),
        ("Add", "column bin", "sum", {}),
        ("Div", "sum kilo", "small", {}),
        ("Tile", "small hold", "held", {}),
        ("Reshape", "held flat", "waveform", {}),
    ]
    inputs = {"mel": ("f", [1, "n_frames", bins]), "f0": ("f", FRAMES)}
    constants = AXIS | {"hold": np.array([1, 1, hop]), "flat": np.array([1, -1])}
    constants |= {"kilo": np.float32(1e4)}
    return model(nodes, inputs, {"waveform": ("f", [1, "n_samples"])}, constants)


def write_voicebank(path: Path, graphs=None) -> Path:
    """Writes it; `graphs` replaces files, by their names from its folder."""
    import json

    table = "symbols:\n" + "".join(f"- {{symbol: {s}, type: {t}}}\n" for s, t in TYPES.items())
    table += "entries:\n" + "".join(
        f"- {{grapheme: {g}, phonemes: [{', '.join(p.split())}]}}\n" for g, p in ENTRIES.items()
    )
    phonemes = json.dumps({symbol: i + 1 for i, symbol in enumerate(PHONEMES)})
    files: dict[str, str | bytes] = {
        "character.txt": "name=Toy\nauthor=Nobody\n",
        "character.yaml": CHARACTER,
        "dsconfig.yaml": ACOUSTIC,
        "acoustic.onnx": acoustic(),
        "dsdur/dur.onnx": dur(),
        "dspitch/pitch.onnx": pitch(),
        "dsvariance/variance.onnx": variance(),
        "dsvocoder/vocoder.yaml": VOCODER,
        "dsvocoder/vocoder.onnx": vocoder(),
    }
    for part in ("", "dsdur/", "dspitch/", "dsvariance/"):
        files[f"{part}phonemes.json"] = phonemes
        for name, row in SPEAKERS.items():
            files[f"{part}{name}.emb"] = np.asarray(row, "<f4").tobytes()
        if part:
            files[f"{part}dsconfig.yaml"] = VARIANCE
            files[f"{part}linguistic.onnx"] = linguistic()
            files[f"{part}dsdict.yaml"] = table
    for name, content in (files | (graphs or {})).items():
        if content is None:
            continue
        file = path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path
