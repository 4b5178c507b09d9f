"""The boundary step k of a run, found in all three published ways.

    diffsinger-jax boundary --workdir WORKDIR [--write learned]

Needs the finished auxiliary stage; the learned way needs the boundary predictor
(`diffsinger-jax train --stage=boundary`) and the grid search the voice, and what is not there is
said. Prints a sentence for each, writes boundary.json and boundary.png, and with --write the k of
one way into the voice.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from diffsinger_jax import plots
from diffsinger_jax.diffusion.boundary import (
    MARGIN,
    SHARE_OF_STEPS,
    divergence,
    divergence_from_noise,
    earliest_boundaries,
    has_learned,
    learned_boundary,
)
from diffsinger_jax.diffusion.path import Path as NoisePath
from diffsinger_jax.diffusion.sampling import Sampling
from diffsinger_jax.engine.workdir import Workdir
from diffsinger_jax.errors import InputError
from diffsinger_jax.evaluation.criteria import WAYS
from diffsinger_jax.evaluation.report import Row
from diffsinger_jax.evaluation.sampling_search import (
    MOST_STEPS,
    search,
    write_sampling,
)
from diffsinger_jax.old_names import completed
from diffsinger_jax.tasks.acoustic import stages
from diffsinger_jax.tasks.acoustic.config import AcousticConfig, acoustic_config
from diffsinger_jax.tasks.acoustic.measurements import MelError, measure_error, measure_margins
from diffsinger_jax.tasks.acoustic.stage_run import run_stage
from diffsinger_jax.tasks.acoustic.task import initial_params, open_run
from diffsinger_jax.voices.sampling import resolve_sampling, sampling_to_dict
from diffsinger_jax.voices.voice import VOICE_FILE, load_voice

GRID = 8
"""So many k are searched, evenly spread over the schedule."""
REPORT_FILE, PICTURE_FILE = "boundary.json", "boundary.png"


class Boundary(NamedTuple):
    """What was measured; None where the run lacks what it takes.

    Attributes:
      path: of the voice's diffusion.
      error: of the auxiliary model, over the training split.
      margins: f32[n, S] of the predictor on the n training mels.
      chosen: by the grid search.
      rows: its measures, by name of the setting.
      lacking: way -> a sentence that says what to do.
    """

    path: NoisePath
    error: MelError
    margins: np.ndarray | None
    chosen: Sampling | None
    rows: Mapping[str, Row]
    lacking: Mapping[str, str]

    @property
    def found(self) -> dict[str, int]:
        """Way -> k."""
        ways = {"closed_form": self.error.boundary(self.path)}
        if self.margins is not None:
            ways["learned"] = learned_boundary(self.margins)
        if self.chosen is not None:
            ways["grid"] = int(self.chosen.k_step)
        return ways


def find_boundary(
    workdir: Path,
    *,
    corpus: str | None = None,
    criterion: str = "modulation",
    k_steps: Sequence[int] | None = None,
    temperature: float | None = None,
    most_mels: int | None = None,
) -> Boundary:
    """Finds k for the auxiliary model in a workdir, in every way that its contents allow.

    Args:
      workdir: of a run.
      corpus: its prepared corpus, where that is no longer where the run found it.
      criterion: of the grid search, in `criteria.CRITERIA`.
      k_steps: of the grid; None spreads `GRID` of them over the schedule.
      temperature: of the grid; None for the voice's own.
      most_mels: a sample of the training mels for the learned way; None for all.

    Raises:
      InputError: if there is no run, or no finished auxiliary stage in it.
    """
    workdir = workdir.absolute()
    config = read_config(workdir)
    if config.process == "velocity":
        raise InputError(
            f"{workdir} trains a flow, which has no step K: all ways search the steps of a "
            "diffusion; choose its start by diffsinger-jax search-sampling"
        )
    if corpus is not None:
        config = dataclasses.replace(config, corpus=corpus)
    run = open_run(config, Workdir(workdir))
    stages.require_finished(run, "auxiliary")
    params = run_stage(run, stages.auxiliary_stage(run), initial_params(run))
    common = (run.acoustic, params, run.corpus, run.mesh)
    error = measure_error(*common, frames_per_batch=config.auxiliary.frames_per_batch)

    lacking: dict[str, str] = {}
    margins, chosen = None, None
    rows: Mapping[str, Row] = {}
    done = stages.steps_done(run, "boundary")
    if done < config.boundary.steps:
        lacking["learned"] = (
            f"the run's boundary predictor stands at step {done}; finish it with its config and "
            f"diffsinger-jax train --workdir={workdir} --stage=boundary"
        )
    else:
        with_own = run_stage(run, *stages.boundary_stage(run, params))
        margins = measure_margins(
            stages.boundary_predictor(config),
            run.acoustic,
            with_own,
            run.corpus,
            run.mesh,
            frames_per_batch=config.boundary.frames_per_batch,
            most_mels=most_mels,
        )
    if not (workdir / "voice" / VOICE_FILE).exists():
        lacking["grid"] = f"{workdir} has no voice yet; finish the run's denoiser"
    elif "validation" not in run.corpus.splits:
        lacking["grid"] = f"the corpus {run.corpus.path} has no validation split"
    else:
        voice = load_voice(workdir / "voice")
        depths = np.linspace(0, run.acoustic.path.depth, GRID + 1)[1:]
        asked = np.unique(depths.round().astype(int)) if k_steps is None else k_steps
        chosen, rows = search(
            voice,
            run.corpus,
            criterion=criterion,
            k_steps=[int(k) for k in asked],
            temperatures=[voice.sampling.temperature if temperature is None else temperature],
        )
    return Boundary(run.acoustic.path, error, margins, chosen, rows, lacking)


def read_config(workdir: Path) -> AcousticConfig:
    """The config that a run keeps in its workdir.

    Raises:
      InputError: if there is none.
    """
    try:
        kept = json.loads((workdir / "config.json").read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise InputError(
            f"{workdir} is not the workdir of a run: there is no config.json in it; give the "
            "--workdir that training was given"
        ) from None
    if (kind := kept.get("kind", "acoustic")) != "acoustic":
        raise InputError(f"{workdir} is the workdir of a {kind}; give that of a voice")
    return acoustic_config(completed(kept))


def sentences(boundary: Boundary, criterion: str) -> list[str]:
    """One for each way, with k or with what is missing."""
    found, error = boundary.found, boundary.error
    limit = divergence_from_noise(boundary.path, error.square)
    said = {way: f"{way}: k = {k} of {boundary.path.depth}, " for way, k in found.items()} | {
        way: f"{way}: not measured; {why}" for way, why in boundary.lacking.items()
    }
    at = divergence(boundary.path, error.distance)[found["closed_form"] - 1]
    said["closed_form"] += (
        f"where diffused real and auxiliary mels diverge by {at:.4f} nats an element, a mel "
        f"diffused all the way from noise by {limit:.4f} (mean squared distance "
        f"{error.distance:.4f})."
    )
    if boundary.margins is not None:
        earliest = earliest_boundaries(boundary.margins)
        low, high = np.percentile(earliest, [10, 90])
        said["learned"] += (
            f"the mean over {len(earliest)} training mels ({low:.0f} to {high:.0f} for 80 % of "
            f"them) of the first step from which the predictor's margin is below {MARGIN} at "
            f"{SHARE_OF_STEPS:.0%} of the steps."
        )
        if not has_learned(boundary.margins):
            said["learned"] += " The predictor has learnt nothing yet: train it for more steps."
    if boundary.chosen is not None:
        said["grid"] += (
            f"the best by {criterion} of {len(boundary.rows) - 1} on validation, "
            f"at temperature {boundary.chosen.temperature}."
        )
    return [said[way] for way in WAYS]


def as_json(boundary: Boundary, criterion: str) -> dict[str, Any]:
    """All that the picture shows, for programs."""
    report: dict[str, Any] = {
        "found": boundary.found,
        "lacking": dict(boundary.lacking),
        "closed_form": {
            **boundary.error._asdict(),
            "divergence": divergence(boundary.path, boundary.error.distance).tolist(),
            "divergence_from_noise": divergence_from_noise(boundary.path, boundary.error.square),
        },
    }
    if boundary.margins is not None:
        report["learned"] = {
            "mean_margin": boundary.margins.mean(axis=0).tolist(),
            "earliest": earliest_boundaries(boundary.margins).tolist(),
        }
    if boundary.chosen is not None:
        report["grid"] = {
            "criterion": criterion,
            **sampling_to_dict(boundary.chosen),
            "rows": boundary.rows,
        }
    return report


def draw(path: str | os.PathLike, boundary: Boundary, title: str) -> None:
    """The picture: divergence, margin and measures against k, each found k marked."""
    own = [(int(n.split()[0][2:]), row) for n, row in boundary.rows.items() if n.startswith("k=")]
    k_steps = np.array([k for k, _ in own])
    measures = {
        name: (k_steps, np.array([row[key] for _, row in own]))
        for name, key in (("MCD dB", "mcd"), ("detail in time", "detail_time"))
        if own
    }
    plots.boundary_panels(
        path,
        divergence(boundary.path, boundary.error.distance),
        divergence_from_noise(boundary.path, boundary.error.square),
        boundary.margins,
        MARGIN,
        measures,
        boundary.found,
        title,
    )


def write_choice(voice: Path, boundary: Boundary, way: str) -> int:
    """Has a voice start at the k of a way; returns it.

    Raises:
      InputError: if the way found none.
    """
    if way in boundary.lacking:
        raise InputError(f"there is no k of the way {way} to write: {boundary.lacking[way]}")
    k_step = boundary.found[way]
    sampling = boundary.chosen
    if sampling is None or way != "grid":
        steps = max(min(k_step, MOST_STEPS), 1)
        sampling = resolve_sampling(load_voice(voice), k_step=k_step, steps=steps)
    write_sampling(voice, sampling)
    return k_step
