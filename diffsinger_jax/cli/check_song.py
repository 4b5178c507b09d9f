"""Does a rendered wav sing its score? Pitch note by note, length, clipping, silence in rests.

diffsinger-jax check-song out/sakura.wav sakura --key -2
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from diffsinger_jax import resources


def main(arguments: Sequence[str] | None = None) -> int:
    """Prints the report; 1 when a check fails, 0 when all are good."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("wav", help="the rendered song")
    parser.add_argument("score", help="the score it was rendered from, or a song that ships")
    parser.add_argument("--key", type=float, default=0.0, help="semitones it was transposed by")
    parser.add_argument("--tempo", type=float, default=1.0, help="factor it was sung faster by")
    options = parser.parse_args(arguments)
    from diffsinger_jax.audio.wav import read_wav
    from diffsinger_jax.evaluation.notes import measure_song
    from diffsinger_jax.score.reader import read_score
    from diffsinger_jax.score.transform import change_tempo, transpose

    wav, rate = read_wav(options.wav)
    score = read_score(resources.find_score(options.score))
    if options.key:
        score = transpose(score, options.key)
    if options.tempo != 1.0:
        score = change_tempo(score, options.tempo)
    report = measure_song(wav, rate, score)
    print(report)
    return 0 if report.passed else 1
