"""A student in a voice's folder, which sings its drafts: `VOICE/student`, a voice folder too.

A student has its voice's encoder, predictors and auxiliary decoder, and a denoiser of few calls,
see `tasks.distill`.
"""

from __future__ import annotations

import dataclasses
import os

from diffsinger_jax import resources
from diffsinger_jax.errors import InputError
from diffsinger_jax.voices.voice import VOICE_FILE, Voice, load_voice

FOLDER = "student"
"""In the folder of a voice."""
QUALITY = "draft"
"""At which the student sings, where there is one."""


def load_singer(path: str | os.PathLike, quality: str | None = None) -> Voice:
    """The voice that sings at a quality: the one at this path, or its student.

    Args:
      path: of a voice, see `load_voice`.
      quality: a name in `QUALITIES`; None for the voice's own sampling.

    Returns:
      The voice; or the student with the voice's variance model, and its vocoder unless it has one.

    Raises:
      InputError: if a voice cannot be read, or the student is another's.
    """
    voice = load_voice(path)
    folder = resources.find_voice(path) / FOLDER
    if quality != QUALITY or not (folder / VOICE_FILE).is_file():
        return voice
    student = load_voice(folder)
    if (student.info.vocabulary, student.info.mel) != (voice.info.vocabulary, voice.info.mel):
        raise InputError(
            f"{folder} has another vocabulary or mel than the voice that it lies in; put the "
            "student there that was distilled from it"
        )
    vocoder = student.vocoder or voice.vocoder
    return dataclasses.replace(student, variance=voice.variance, vocoder=vocoder)
