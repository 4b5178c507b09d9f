"""A voice without weights: consonants last 5 frames, f0 is the notes, the mel a plain envelope."""

import dataclasses

import jax
import jax.numpy as jnp
import librosa
import numpy as np

from diffsinger_jax.diffusion.path import Path
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.diffusion.schedule import linear_schedule
from diffsinger_jax.types import Batch, CorpusInfo, MelSpec, Vocabulary

PHONEMES = tuple(
    "SP AP N a b by ch cl d e f g gy h hy i j k ky m my n ny "
    "o p py r ry s sh t ts u v w y z".split()
)
SPEC = MelSpec(hop=256, n_fft=1024, win=1024)
UNVOICED = ("SP", "AP", "ch", "cl", "f", "h", "k", "ky", "p", "s", "sh", "t", "ts")


@dataclasses.dataclass
class FakeVoice:
    """The face of `voices.voice.Voice`."""

    spec: MelSpec = SPEC
    name: str = "fake"
    sampling: Sampling = Sampling(4, 4)
    path: Path = dataclasses.field(default_factory=lambda: linear_schedule(100).path)
    dictionary: str = "ja"
    requires: tuple[str, ...] = ()
    vocoder: str | None = None
    curves: tuple[str, ...] = ()
    predicted_curves: tuple[str, ...] = ()
    timing: str = "nearest"
    speaks: bool = False
    sings_phrases: bool = True
    mixes_speakers: bool = False
    ranges: dict = dataclasses.field(default_factory=dict)
    variance: None = None

    @property
    def lacks(self):
        return frozenset(self.requires)

    def __post_init__(self):
        self.info = CorpusInfo(
            name="fake",
            mel=self.spec,
            vocabulary=Vocabulary(PHONEMES, speakers=("one", "two")),
            mel_min=np.full(self.spec.n_mels, -5.0, np.float32),
            mel_max=np.zeros(self.spec.n_mels, np.float32),
            licence="CC0-1.0",
        )
        unvoiced = np.zeros(len(PHONEMES) + 1, bool)
        unvoiced[[0, *(PHONEMES.index(p) + 1 for p in UNVOICED)]] = True
        self._unvoiced = jnp.asarray(unvoiced)
        self.shapes = set()  # of sample_mel's calls: what a real voice compiles for

    def predict_frames(self, batch: Batch) -> jax.Array:
        return jnp.where(batch.tokens > 0, 5.0, 0.0)  # [B, N]

    def predict_f0(self, batch: Batch) -> jax.Array:
        midi = _to_frames(batch.note_midi, batch.mel2ph)  # [B, N] -> [B, T]
        voiced = (midi > 0) & ~self._unvoiced[_to_frames(batch.tokens, batch.mel2ph)]
        return jnp.where(voiced, 440.0 * 2.0 ** ((midi - 69.0) / 12.0), 0.0)

    def sample_mel(self, batch: Batch, keys, sampling=None) -> jax.Array:
        self.shapes.add(batch.mel.shape)
        silent = _to_frames(batch.tokens, batch.mel2ph) == PHONEMES.index("SP") + 1  # [B, T]
        mel = jnp.where(silent[..., None], -5.0, self._envelope(jnp.asarray(batch.f0)))
        noise = jax.vmap(lambda key: jax.random.normal(key, batch.mel.shape[1:]))(keys)
        return mel + 0.01 * noise

    def _envelope(self, f0):
        """[B, T] -> [B, T, M]: harmonics that fall off, as far as the bands can tell them apart."""
        spec = self.spec
        centres = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.fmin, fmax=spec.fmax)[1:-1]
        slope = jnp.linspace(-0.5, -2.5, spec.n_mels)[None, None]
        order = jnp.asarray(centres)[None, None] / jnp.maximum(f0, 1.0)[..., None]
        off_hz = jnp.abs(order - jnp.maximum(jnp.round(order), 1.0)) * f0[..., None]
        width_hz = jnp.maximum(40.0, 0.1 * centres)[None, None]
        between = jnp.where(f0[..., None] > 0, jnp.maximum(-((off_hz / width_hz) ** 2), -2.0), 0.0)
        return slope + between


def _to_frames(values, mel2ph):
    """[B, N] -> [B, T], 0 on padding."""
    padded = jnp.pad(jnp.asarray(values), ((0, 0), (1, 0)))
    return jnp.take_along_axis(padded, jnp.asarray(mel2ph), axis=1)
