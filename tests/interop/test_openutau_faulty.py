"""Voicebanks with one fault each: one sentence, nothing run, nothing written, nothing unpacked."""

import builtins
import os
import stat
import zipfile

import numpy as np
import pytest

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")

import toy_voicebank as toy

from diffsinger_jax.cli import runtime, sing, validate
from diffsinger_jax.interop.openutau.findings import voicebank_findings

CONFIG, VARIANCE = toy.ACOUSTIC, toy.VARIANCE
HUGE = {"many": np.array([10**10], np.int64)}


def without(text, line):
    assert line in text
    return text.replace(line, "")


def custom_operator():
    nodes = [("Steal", "tokens", "mel", {})]
    inputs = {"tokens": ("i", toy.TOKENS)}
    return toy.model(nodes, inputs, {"mel": ("f", None)}, domain="somebody.else")


def external_data(location):
    import onnx

    proto = onnx.load_model_from_string(toy.acoustic())
    tensor = proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    return proto.SerializeToString()


def endless_acoustic():
    """Declares what is expected, and makes 10^10 numbers of it."""
    inputs = {"tokens": ("i", toy.TOKENS), "durations": ("i", toy.TOKENS), "f0": ("f", toy.FRAMES)}
    inputs |= dict.fromkeys(toy.SHOWN, ("f", toy.FRAMES))
    inputs |= {"spk_embed": ("f", [1, "n_frames", toy.WIDTH])}
    inputs |= {"depth": ("f", []), "steps": ("i", [])}
    nodes = [("Expand", "depth many", "flat", {}), ("Unsqueeze", "flat axes", "mel", {})]
    constants = HUGE | {"axes": np.array([0, 2])}
    return toy.model(nodes, inputs, {"mel": ("f", None)}, constants)


FAULTS = {
    # what is wrong -> (files, words of the sentence)
    "no acoustic": ({"dsconfig.yaml": without(CONFIG, "acoustic: acoustic.onnx\n")}, "no acoustic"),
    "no file": ({"acoustic.onnx": None}, "acoustic.onnx: cannot be read"),
    "a key too many": (
        {"acoustic.onnx": toy.acoustic(gender=None)}, "no input gender (use_key_shift_embed)"),
    "a key missing": (
        {"dsconfig.yaml": without(CONFIG, "use_speed_embed: true\n")},
        "an input velocity that is never given (use_speed_embed)"),
    "the older contract": (
        {"dsconfig.yaml": CONFIG.replace("acceleration: true", "acceleration: false")},
        "no input speedup"),
    "a glide": ({"dspitch/pitch.onnx": toy.acoustic(note_glide=("i", toy.NOTES))}, "note_glide"),
    "another type": ({"acoustic.onnx": toy.acoustic(f0=("d", toy.FRAMES))}, "f0 has type 11"),
    "another rank": ({"acoustic.onnx": toy.acoustic(f0=("f", ["n"]))}, "f0 has 1 axes, expected 2"),
    "no range": (
        {"dsconfig.yaml": CONFIG.replace("range: [-5.0, 6.0]", "other: 1")}, "range is not there"),
    "another width": (
        {"dsconfig.yaml": CONFIG.replace("hidden_size: 2", "hidden_size: 256")},
        "spk_embed is 2 wide, but hidden_size is 256"),
    "an embedding cut off": ({"embeds/beta.emb": b"\0" * 7}, "has 7 bytes, expected 8"),
    "an embedding of nothing": (
        {"embeds/beta.emb": np.full(2, np.nan, "<f4").tobytes()}, "holds no numbers"),
    "no silence": ({"phonemes.json": '{"a": 1}'}, "has no phoneme SP"),
    "phonemes without ids": ({"phonemes.json": '{"SP": "one"}'}, "no table of names and ids"),
    "a frame of nothing": (
        {"dsconfig.yaml": CONFIG.replace("hop_size: 10", "hop_size: 1").replace("1000", "384000")},
        "a frame of"),
    "a size that is none": (
        {"dsconfig.yaml": CONFIG.replace("hop_size: 10", "hop_size: 1e9")}, "hop_size is '1e9'"),
    "an object in YAML": (
        {"dsdur/dsdict.yaml": "symbols: !!python/object/apply:os.system [touch OWNED]\n"},
        "the tag"),
    "aliases without end": (
        {"dsconfig.yaml": "a: &a [" + "x," * 9 + "]\n" + "b: &b [" + "*a," * 9 + "]\nc: *d\n"},
        "an alias *d of nothing"),
    "no graph": ({"acoustic.onnx": b"\x80\x04pickle"}, "is no ONNX graph"),
    "an operator of somebody": (
        {"acoustic.onnx": custom_operator()}, "operator somebody.else.Steal"),
    "weights outside": (
        {"acoustic.onnx": external_data("../../etc/passwd")}, "another file (../../etc/passwd)"),
    "weights beside": (
        {"acoustic.onnx": external_data("weights.bin")}, "another file (weights.bin)"),
    "a phoneme of months": (
        {"dsdur/dur.onnx": toy.dur(1e9)}, "predicted a phoneme of 1e+07 s, expected at most 60"),
    "durations that are none": ({"dsdur/dur.onnx": toy.dur(float("nan"))}, "holds NaN"),
    "a mel without end": ({"acoustic.onnx": endless_acoustic()}, "cannot be run"),
    "a path out of it": (
        {"dsconfig.yaml": CONFIG.replace("acoustic.onnx", "../outside.onnx")},
        "out of the voicebank"),
    "another vocoder": (
        {"dsvocoder/vocoder.yaml": toy.VOCODER.replace("hop_size: 10", "hop_size: 20")},
        "hop: 10 here, 20 there"),
}  # fmt: skip


def sung(voicebank, tmp_path, capsys, monkeypatch):
    """The exit code, and what was said to standard error."""
    song = tmp_path / "song.ustx"
    song.write_text(
        "voice_parts:\n- notes:\n  - {position: 480, duration: 480, tone: 60, lyric: ka}\n"
    )
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out"
    with pytest.raises(SystemExit) as caught:
        runtime.run(
            lambda: sing.main(["--voice", str(voicebank), "--score", str(song), "--out", str(out)])
        )
    assert not out.exists() and not (tmp_path / "OWNED").exists()
    return caught.value.code, capsys.readouterr().err


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_one_sentence(fault, tmp_path, capsys, monkeypatch):
    files, words = FAULTS[fault]
    (tmp_path / "outside.onnx").write_bytes(toy.acoustic())
    bank = toy.write_voicebank(tmp_path / "bank", files)
    code, said = sung(bank, tmp_path, capsys, monkeypatch)
    lines = [line for line in said.splitlines() if line.startswith("error: ")]
    assert code == 2 and len(lines) == 1, said
    assert words in lines[0] and "; " in lines[0], lines[0]


def entry(name, mode=0):
    info = zipfile.ZipInfo(name)
    info.external_attr = mode << 16
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


PACKAGES = {
    "a path out of it": (entry("../evil.txt"), b"x", "leads out of it"),
    "an absolute path": (entry("/tmp/evil.txt"), b"x", "leads out of it"),
    "a drive": (entry("C:/evil.txt"), b"x", "leads out of it"),
    "a link": (entry("acoustic.link", stat.S_IFLNK | 0o777), b"/etc/passwd", "is a link"),
    "a bomb": (entry("zeros.bin"), bytes(2**25), "would unpack"),
}


@pytest.mark.parametrize("fault", PACKAGES)
def test_a_package_with_a_harmful_entry_is_not_read(fault, tmp_path, capsys, monkeypatch):
    info, data, words = PACKAGES[fault]
    bank = toy.write_voicebank(tmp_path / "bank")
    package = tmp_path / "toy.oudep"
    with zipfile.ZipFile(package, "w") as file:
        for one in bank.rglob("*"):
            file.write(one, one.relative_to(bank))
        file.writestr(info, data)
    before = sorted(map(str, tmp_path.rglob("*")))
    code, said = sung(package, tmp_path, capsys, monkeypatch)
    assert code == 2 and words in said and said.count("\n") == 1, said
    assert sorted(map(str, tmp_path.rglob("*"))) == sorted([*before, str(tmp_path / "song.ustx")])


def test_a_package_that_is_not_there_is_named(tmp_path, capsys, monkeypatch):
    code, said = sung(tmp_path / "Anna.zip", tmp_path, capsys, monkeypatch)
    assert code == 2 and "Anna.zip: there is no such file" in said
    assert validate.main([str(tmp_path / "Anna.oudep")]) == 2
    assert "Anna.oudep: there is no such file" in capsys.readouterr().out


def test_a_link_in_a_folder_that_leads_out_is_not_followed(tmp_path, capsys, monkeypatch):
    bank = toy.write_voicebank(tmp_path / "bank")
    os.symlink("/etc/passwd", bank / "secret.json")
    config = (bank / "dsconfig.yaml").read_text().replace("phonemes.json", "secret.json")
    (bank / "dsconfig.yaml").write_text(config)
    opened = []
    monkeypatch.setattr(
        builtins, "open", lambda *a, _open=open, **k: opened.append(a) or _open(*a, **k)
    )
    code, said = sung(bank, tmp_path, capsys, monkeypatch)
    assert code == 2 and "leads out of the voicebank" in said
    assert "/etc/passwd" not in map(str, (a[0] for a in opened))


# What `validate` says


def test_a_whole_voicebank_has_no_findings(tmp_path):
    assert voicebank_findings(toy.write_voicebank(tmp_path)) == []


def dropping(text):
    return text.replace("- {symbol: s, type: fricative}\n", "")


NOTES = {
    "dsdur/dsdict.yaml": (dropping, "lose the phonemes s in silence"),
    "dsvariance/dsdict.yaml": (dropping, "has no symbols s"),
    "dspitch/dsconfig.yaml": (
        lambda text: text.replace("embeds/beta", "embeds/gamma"), "no speaker 'embeds/beta'"),
    "dsconfig.yaml": (
        lambda text: text.replace("vocoder: toy", "use_voicing_embd: true"),
        "did you mean use_voicing_embed"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOTES)
def test_what_openutau_passes_over_in_silence_is_a_note(name, tmp_path):
    change, words = NOTES[name]
    file = toy.write_voicebank(tmp_path) / name
    file.write_text(change(file.read_text()))
    if "gamma" in file.read_text():
        (file.parent / "embeds/beta.emb").rename(file.parent / "embeds/gamma.emb")
    notes = [one for one in voicebank_findings(tmp_path) if one.level == "note"]
    assert any(words in str(one) for one in notes), list(map(str, notes))
    assert not [one for one in voicebank_findings(tmp_path) if one.level == "error"]


def test_every_fault_is_found_at_once(tmp_path, capsys):
    files = {"acoustic.onnx": None, "dsvariance/dsdict.yaml": None, "dspitch/embeds/beta.emb": b""}
    bank = toy.write_voicebank(tmp_path / "bank", files)
    (bank / "character.txt").unlink()
    assert validate.main([str(bank)]) == 2
    said = capsys.readouterr().out
    for words in ("acoustic.onnx", "dsvariance/dsdict.yaml", "beta.emb", "character.txt"):
        assert words in said
    assert len(said.splitlines()) == 4
    assert validate.main([str(bank), "--json"]) == 2
    assert capsys.readouterr().out.startswith("[")
