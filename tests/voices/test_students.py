"""A voice's drafts are sung by the student in its folder."""

import dataclasses
import types

import pytest
from random_batches import INFO, MODEL, SCHEDULE

from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.errors import InputError
from diffsinger_jax.types import Vocabulary
from diffsinger_jax.voices import students
from diffsinger_jax.voices.voice import Voice

TEACHER = Voice(
    name="teacher",
    info=INFO,
    model=MODEL,
    schedule=SCHEDULE,
    process="residual",
    sampling=Sampling(10, 10),
    dictionary="none",
    params={},
    vocoder="here",
    variance=types.SimpleNamespace(predicts={"f0"}),
)
STUDENT = dataclasses.replace(
    TEACHER, name="student", sampling=Sampling(10, 1, "consistency"), vocoder=None, variance=None
)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "student").mkdir()
    for one in (tmp_path, tmp_path / "student"):
        (one / "voice.json").touch()
    voices = {tmp_path: TEACHER, tmp_path / "student": STUDENT}
    monkeypatch.setattr(students, "load_voice", voices.__getitem__)
    return voices


def test_the_student_sings_drafts_with_what_its_voice_has_besides(folder):
    path = next(iter(folder))
    assert students.load_singer(path) is students.load_singer(path, "good") is TEACHER
    student = students.load_singer(path, "draft")
    assert student.name == "student" and student.sampling.steps == 1
    assert (student.vocoder, student.variance) == (TEACHER.vocoder, TEACHER.variance)


def test_without_a_student_the_voice_sings_its_drafts(folder):
    path = next(iter(folder))
    (path / "student" / "voice.json").unlink()
    assert students.load_singer(path, "draft") is TEACHER


def test_another_voice_s_student_is_refused(folder):
    path = next(iter(folder))
    info = dataclasses.replace(INFO, vocabulary=Vocabulary(tuple("xy")))
    folder[path / "student"] = dataclasses.replace(STUDENT, info=info)
    with pytest.raises(InputError, match="student has another vocabulary or mel than the voice"):
        students.load_singer(path, "draft")
