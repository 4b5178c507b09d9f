"""Recordings for vocoders: in pieces that are the sound, whole or not at all, and resumable."""

import hashlib

import numpy as np
import pytest

from diffsinger_jax.audio.f0 import extract_f0
from diffsinger_jax.audio.mel import frame_count
from diffsinger_jax.audio.wav import read_wav, write_wav
from diffsinger_jax.corpus import features
from diffsinger_jax.corpus.output import work_folder
from diffsinger_jax.corpus.recordings import RecordingSettings, find_recordings, prepare_recordings
from diffsinger_jax.errors import InputError
from diffsinger_jax.pipeline.recordings import open_recordings
from diffsinger_jax.types import MEL_SPECS

SPEC = MEL_SPECS["24k_hop256"]
SETTINGS = RecordingSettings(
    mel=SPEC, f0="dio", piece_sec=1.0, validation=("held",), licence="CC0; nobody"
)


def tone(seconds, hz, rate):
    t = np.arange(int(seconds * rate)) / rate
    return (0.3 * np.sin(2 * np.pi * hz * t) * (1 + 0.5 * np.sin(3 * t))).astype("f4")


@pytest.fixture(scope="module")
def raw(tmp_path_factory):
    """Two recordings at other rates, one of them to hold out, and a file that is no sound."""
    root = tmp_path_factory.mktemp("raw")
    (root / "a").mkdir()
    write_wav(root / "a" / "one.wav", tone(2.3, 220.0, 48_000), 48_000)
    write_wav(root / "held.flac", tone(0.8, 330.0, 24_000), 24_000)
    (root / "notes.txt").write_text("not sound")
    return root


@pytest.fixture(scope="module")
def prepared(raw, tmp_path_factory):
    out = tmp_path_factory.mktemp("prepared") / "recordings"
    assert prepare_recordings(find_recordings([raw]), SETTINGS, out, 1) is not None
    return out


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_pieces_put_together_are_the_recording(raw, prepared):
    recordings = open_recordings(prepared)
    info = recordings.info
    assert info.mel == SPEC and info.licence == "CC0; nobody"
    assert sorted(info.names["train"]) == ["a/one#1", "a/one#2", "a/one#3"]
    assert info.names["validation"] == ("held#1",)
    pieces = dict(zip(info.names["train"], recordings.split("train"), strict=True))
    ordered = [pieces[name] for name in sorted(pieces)]
    wav, _ = read_wav(raw / "a" / "one.wav", SPEC.sample_rate)
    sound = np.concatenate([piece.wav for piece in ordered])
    assert 0 <= len(wav) - len(sound) < SPEC.hop
    np.testing.assert_allclose(sound, wav[: len(sound)], atol=2**-15)
    f0 = extract_f0(wav, SPEC, "dio")
    start = 0
    for piece, frames in zip(recordings.split("train"), info.frames["train"], strict=True):
        assert len(piece.f0) == frames == frame_count(len(piece.wav), SPEC)
        assert piece.wav.dtype == np.float32 and len(piece.wav) <= SPEC.sample_rate
    for piece in ordered:
        np.testing.assert_array_equal(piece.f0, f0[start : start + len(piece.f0)])
        start += len(piece.wav) // SPEC.hop
    doubled = recordings.split("validation", lambda f0: 2 * f0)[0]
    np.testing.assert_array_equal(doubled.f0, 2 * recordings.split("validation")[0].f0)


def test_cut_off_it_goes_on_and_ends_with_the_same_bytes(raw, prepared, tmp_path, monkeypatch):
    out, computed, compute = tmp_path / "recordings", [], features.compute_features

    def failing(job):
        if computed:
            raise KeyboardInterrupt
        computed.append(job.name)
        return compute(job)

    found = find_recordings([raw])
    monkeypatch.setattr(features, "compute_features", failing)
    with pytest.raises(KeyboardInterrupt):
        prepare_recordings(found, SETTINGS, out, 1)
    assert not out.exists() and work_folder(out).exists()
    monkeypatch.setattr(
        features, "compute_features", lambda job: computed.append(job.name) or compute(job)
    )
    prepare_recordings(found, SETTINGS, out, 1)
    assert sorted(computed) == ["a/one", "held"] and not work_folder(out).exists()
    assert hashes(out) == hashes(prepared)
    assert prepare_recordings(found, SETTINGS, out, 1) is None


def test_what_cannot_be_is_one_sentence(raw, prepared, tmp_path):
    with pytest.raises(InputError, match="no wav or flac file below"):
        find_recordings([tmp_path])
    with pytest.raises(InputError, match="no folder .*nowhere"):
        find_recordings([tmp_path / "nowhere"])
    with pytest.raises(InputError, match="two recordings are called a/one"):
        find_recordings([raw, raw])
    found = find_recordings([raw])
    with pytest.raises(InputError, match="no f0 extractor 'yin'"):
        prepare_recordings(found, RecordingSettings(f0="yin"), tmp_path / "out", 1)
    with pytest.raises(InputError, match="starts with 'b', given as a prefix for the validation"):
        prepare_recordings(found, RecordingSettings(validation=("b",)), tmp_path / "out", 1)
    with pytest.raises(InputError, match="other settings or songs already"):
        prepare_recordings(found, RecordingSettings(mel=SPEC), prepared, 1)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    with pytest.raises(InputError, match="broken.wav: not a readable sound file"):
        prepare_recordings(find_recordings([tmp_path]), SETTINGS_OF_ALL, tmp_path / "out", 1)
    assert not (tmp_path / "out").exists()
    with pytest.raises(InputError, match="holds no recordings: no recordings.json"):
        open_recordings(tmp_path)
    with pytest.raises(InputError, match="no recordings in the split 'test'; it has train, valid"):
        open_recordings(prepared).split("test")


SETTINGS_OF_ALL = RecordingSettings(mel=SPEC)
