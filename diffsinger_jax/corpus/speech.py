"""Spoken corpora: recordings, their texts, and their phones in time as an aligner wrote them."""

from __future__ import annotations

import csv
import dataclasses
import difflib
from collections.abc import Iterator, Sequence
from pathlib import Path

from diffsinger_jax.corpus.labels import label_faults
from diffsinger_jax.corpus.nuclei import is_rest, rest_symbol
from diffsinger_jax.corpus.songs import Label, SungPhoneme, SungSong
from diffsinger_jax.errors import InputError
from diffsinger_jax.score.text_file import read_text
from diffsinger_jax.score.textgrid import Tier, phone_tier, read_tiers
from diffsinger_jax.text.cleaning import plain_letters
from diffsinger_jax.text.normalize import normalize, words_of
from diffsinger_jax.text.phones import is_phone
from diffsinger_jax.types import SILENCE

SOUNDS = (".wav", ".flac")
TEXTS = (".txt", ".lab")
TABLES = ("metadata.csv", "transcripts.csv")
"""Files of lines "name|text" or "name|text|normalised text", beside or above the recordings."""
UNKNOWN = ("spn", "<unk>", "unk")
"""What aligners write for a word that their dictionary lacks."""
WRONG_WORDS_FAIL = 0.1
"""The share of the words of text and alignment that may differ, in one recording."""


@dataclasses.dataclass(frozen=True)
class Utterance:
    """The files of one recording.

    Attributes:
      name: unique in the corpus.
      wav: its sound.
      grid: its TextGrid, which may not be there.
      text: what is said, None where nothing tells.
      speaker: who says it.
      sources: further files that it was read from.
    """

    name: str
    wav: Path
    grid: Path
    text: str | None
    speaker: str
    sources: tuple[Path, ...] = ()


def find_utterances(root: Path) -> list[Utterance]:
    """The recordings of a folder, each found by its name wherever it lies below it.

    Sound is NAME.wav or NAME.flac; its alignment NAME.TextGrid, below the folder of its speaker;
    its text NAME.txt or NAME.lab, or a line of one of the `TABLES`. The speakers are the folders
    of `root` that hold all this; without such folders, `root` is one.

    Raises:
      InputError: for a folder without sound.
    """
    tables = [root / name for name in TABLES if (root / name).is_file()]
    folders = (
        [] if tables or _sounds_of(root) else [p for p in sorted(root.iterdir()) if p.is_dir()]
    )
    speakers = [folder for folder in folders if any(_sounds(folder))] or [root]
    found = [u for folder in speakers for u in _of_speaker(folder, len(speakers) > 1)]
    if not found:
        raise InputError(
            f"{root}: has no .wav or .flac, expected them in it, in its wavs/, or in a folder for "
            "each speaker; check --raw"
        )
    return found


def _sounds_of(root: Path) -> list[Path]:
    """The sound files of a folder that is one speaker."""
    return [*_sounds(root, "*"), *_sounds(root, "wavs/*")]


def _sounds(folder: Path, pattern: str = "**/*") -> Iterator[Path]:
    return (p for p in sorted(folder.glob(pattern)) if p.suffix.lower() in SOUNDS)


def _of_speaker(folder: Path, named: bool) -> Iterator[Utterance]:
    grids = {path.stem: path for path in sorted(folder.rglob("*.TextGrid"))}
    texts = {p.stem: p for suffix in TEXTS for p in sorted(folder.rglob(f"*{suffix}"))}
    lines, table = _table(folder)
    prefix = f"{folder.name}/" if named else ""
    for wav in _sounds(folder):
        path = texts.get(wav.stem)
        text = lines.get(wav.stem) if path is None else read_text(path).strip()
        grid = grids.get(wav.stem, folder / "TextGrid" / f"{wav.stem}.TextGrid")
        sources = [s for s in (path, table if text is not None and path is None else None) if s]
        yield Utterance(prefix + wav.stem, wav, grid, text, folder.resolve().name, tuple(sources))


def _table(folder: Path) -> tuple[dict[str, str], Path | None]:
    """The last column of each line of the folder's table, by the first; its path."""
    path = next((folder / name for name in TABLES if (folder / name).is_file()), None)
    if path is None:
        return {}, None
    rows = csv.reader(read_text(path).splitlines(), delimiter="|", quoting=csv.QUOTE_NONE)
    lines = {}
    for number, row in enumerate(rows, 1):
        if not row:
            continue
        if len(row) < 2:
            raise InputError(f"{path}: line {number}: expected name|text, got {row[0][:40]!r}")
        lines[row[0].strip()] = row[-1].strip()
    return lines, path


def spoken_song(utterance: Utterance, language: str) -> SungSong:
    """A recording as the corpus machinery takes it: phonemes in time, without notes.

    Each phoneme has the length of its word as `note_sec`, and the first of a word is its onset.
    What the alignment lacks or says otherwise than the text is among the faults and doubts.
    """
    faults: list[str] = []
    doubts: list[str] = []
    phonemes: tuple[SungPhoneme, ...] = ()
    if not utterance.grid.is_file():
        faults.append(f"there is no alignment, expected {utterance.grid.name}; align it first")
    else:
        tiers = read_tiers(utterance.grid)
        labels = _labels(phone_tier(tiers, utterance.grid))
        faults += label_faults(labels) + _phone_faults(labels, language)
        words = next((tiers[name] for name in tiers if name.split()[-1] == "words"), [])
        phonemes = _phonemes(labels, words)
        if utterance.text is None:
            doubts.append("there is no text to compare the alignment with")
        elif words and language == "en":
            wrong, share = _wrong_words(utterance.text, [text for _, _, text in words if text])
            if wrong:
                (faults if share > WRONG_WORDS_FAIL else doubts).append(wrong)
        if not any(not is_rest(label.symbol) for label in labels):
            faults.append("nothing is said in it, by its alignment")
    return SungSong(
        name=utterance.name,
        song=utterance.name,
        wav=utterance.wav,
        sources=(utterance.wav, utterance.grid, *utterance.sources),
        phonemes=phonemes,
        speaker=utterance.speaker,
        language=language,
        faults=tuple(faults),
        doubts=tuple(doubts),
        spoken=True,
    )


def _labels(tier: Tier) -> list[Label]:
    """Phones one after the other, neighbouring silences as one; gaps are silence."""
    labels: list[Label] = []
    now_sec = 0.0
    for start_sec, end_sec, text in tier:
        symbol = rest_symbol(text) if text else SILENCE
        if start_sec > now_sec + 1e-3:
            labels.append(Label(SILENCE, now_sec, start_sec))
        if labels and symbol == labels[-1].symbol == SILENCE:
            labels[-1] = dataclasses.replace(labels[-1], end_sec=end_sec)
        else:
            labels.append(Label(symbol, start_sec, end_sec))
        now_sec = end_sec
    return labels


def _phone_faults(labels: Sequence[Label], language: str) -> list[str]:
    """Phones that stand for unknown words, and those that English does not have."""
    unknown = [label for label in labels if label.symbol in UNKNOWN]
    faults = [
        f"the aligner did not know the word at {label.start_sec:.2f} s; add it to its dictionary"
        for label in unknown
    ]
    if language == "en":
        symbols = {x.symbol for x in labels if not is_rest(x.symbol) and x not in unknown}
        if odd := sorted(symbol for symbol in symbols if not is_phone(symbol)):
            faults.append(f"phones that are not of ARPAbet with stress: {', '.join(odd[:8])}")
    return faults


def _phonemes(labels: Sequence[Label], words: Tier) -> tuple[SungPhoneme, ...]:
    """Phonemes with the length of the words that they are in, or of themselves."""
    phonemes = []
    k = 0
    for i, label in enumerate(labels):
        middle_sec = (label.start_sec + label.end_sec) / 2
        while k < len(words) and words[k][1] <= middle_sec:
            k += 1
        in_word = k < len(words) and words[k][0] <= middle_sec and words[k][2]
        rest = is_rest(label.symbol)
        length_sec = words[k][1] - words[k][0] if in_word and not rest else None
        starts = rest or not in_word or label.start_sec < words[k][0] + 1e-3
        phonemes.append(
            SungPhoneme(
                label.symbol,
                label.start_sec,
                label.end_sec,
                midi=0.0,
                note_sec=label.end_sec - label.start_sec if length_sec is None else length_sec,
                slur=False,
                onset=i == 0 or starts,
            )
        )
    return tuple(phonemes)


def _wrong_words(text: str, aligned: Sequence[str]) -> tuple[str, float]:
    """Where the words of a text and of its alignment differ, in words; and the share of words."""
    said = [plain_letters(word.lower()) for word in words_of(normalize(text))]
    known = ["*" if word in UNKNOWN else word for word in _plain_words(aligned)]
    # A word that the aligner did not know is a fault of its own.
    matcher = difflib.SequenceMatcher(None, said, known, autojunk=False)
    differences = [
        (said[a:b], known[c:d])
        for kind, a, b, c, d in matcher.get_opcodes()
        if kind != "equal" and not (b - a == d - c and set(known[c:d]) == {"*"})
    ]
    if not differences:
        return "", 0.0
    first, second = differences[0]
    count = sum(max(len(a), len(b)) for a, b in differences)
    sentence = (
        f"{count} of {len(said)} words are aligned otherwise than the text says, first "
        f"{' '.join(second) or 'nothing'!r} for {' '.join(first) or 'nothing'!r}"
    )
    return sentence, count / max(len(said), 1)


def _plain_words(aligned: Sequence[str]) -> list[str]:
    """Words of a tier as the normaliser writes them: without hyphens and marks at their ends."""
    parts = (
        part for word in aligned for part in plain_letters(word.lower()).replace("-", " ").split()
    )
    return [stripped for part in parts if (stripped := part.strip("'\".,;:!?") or "")]
