"""Kills a training again and again, and compares what comes out with an undisturbed one.

    python tests/tasks/acoustic/torture.py --corpus prepared/pjs_mini --folder torture --kills 20

SIGKILL and SIGTERM, at random moments and inside saves, of all processes or of one of two. In the
end the voices must be the same bit for bit; said besides: what each kill cost in steps.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from safetensors.numpy import load_file

ROOT = Path(__file__).resolve().parents[3]
STAGES = ("auxiliary", "denoiser")
GRACE_SEC = 60
"""What the others get to end by themselves when one process is gone."""


class Kill(NamedTuple):
    """One of them.

    Attributes:
      signal: SIGKILL or SIGTERM.
      inside_save: wait for a save that has begun; else some steps after a start.
      victims: how many of the processes get it.
      delay_sec: after that moment.
    """

    signal: signal.Signals
    inside_save: bool
    victims: int
    delay_sec: float


def random_kill(rng: random.Random, processes: int) -> Kill:
    """Any of them, all kinds alike."""
    kind = rng.choice([signal.SIGKILL, signal.SIGTERM])
    inside = rng.random() < 0.5
    delay = 0.0 if inside else rng.uniform(0.0, 3.0)
    return Kill(kind, inside, rng.randint(1, processes), delay)


class Training:
    """run_train.py with configs/tiny.py, in one process or several."""

    def __init__(self, corpus: Path, workdir: Path, overrides: Sequence[str] = (), processes=1):
        """Starts it."""
        self.workdir = workdir
        self._left_behind = self._cut_off()
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            address = f"127.0.0.1:{one.getsockname()[1]}"
        command = [
            sys.executable,
            "run_train.py",
            "--config=configs/tiny.py",
            f"--config.corpus={corpus}",
            f"--workdir={workdir}",
            *overrides,
        ]
        # Small programs: to compile them well takes longer than to run them.
        environment = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "1", **os.environ}
        self._logs = [workdir.with_name(f"{workdir.name}.{i}.log") for i in range(processes)]
        self.processes = []
        for index, log in enumerate(self._logs):
            others = [] if processes == 1 else [f"--distributed={address},{processes},{index}"]
            with log.open("w") as file:
                self.processes.append(
                    subprocess.Popen(
                        [*command, *others], cwd=ROOT, env=environment, stdout=file, stderr=file
                    )
                )

    def said(self) -> str:
        """By all of them."""
        return "\n".join(log.read_text(errors="replace") for log in self._logs)

    def finish(self) -> None:
        """Waits for the end, which must be a good one."""
        codes = [process.wait(timeout=3600) for process in self.processes]
        assert not any(codes), self.said()[-5000:]

    def end(self) -> list[int]:
        """Waits for those that are left, not for long; their exit codes."""
        deadline = time.monotonic() + GRACE_SEC
        for process in self.processes:
            try:
                process.wait(timeout=max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        return [process.returncode for process in self.processes]

    def is_over(self) -> bool:
        """Whether one of them has ended."""
        return any(process.poll() is not None for process in self.processes)

    def suffer(self, kill: Kill) -> list[int] | None:
        """Waits for the moment and kills; None if the training came to its end before."""
        lines = _lines(self.workdir)
        while not (self._saves() if kill.inside_save else _lines(self.workdir) != lines):
            if self.is_over():
                self.finish()
                return None
            time.sleep(0.01)
        time.sleep(kill.delay_sec)
        if self.is_over():
            self.finish()
            return None
        for process in self.processes[: kill.victims]:
            process.send_signal(kill.signal)
        return self.end()

    def _saves(self) -> bool:
        return bool(self._cut_off() - self._left_behind)

    def _cut_off(self) -> set[Path]:
        """Saves that are not whole: one that is going on, or what a kill has left of one."""
        return set(self.workdir.glob("checkpoints/*/*.orbax-checkpoint-tmp*"))


def _lines(workdir: Path) -> list[str]:
    file = workdir / "metrics.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def last_logged(workdir: Path) -> tuple[str, int]:
    """Stage and step of the last line that is whole."""
    for line in reversed(_lines(workdir)):
        try:
            entry = json.loads(line)
            return entry["stage"], entry["step"]
        except ValueError:
            continue
    return "auxiliary", 0


def last_saved(workdir: Path, stage: str) -> int:
    """Steps of the newest whole checkpoint."""
    folder = workdir / "checkpoints" / stage
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    return max((int(name) for name in names if name.isdecimal()), default=0)


def torture(corpus: Path, workdir: Path, kills: Sequence[Kill], overrides=(), processes=1) -> None:
    """Trains to the end through all the kills; what cannot be is an AssertionError.

    The training must be long enough for all of them.
    """
    most = 0
    for number, kill in enumerate(kills, 1):
        training = Training(corpus, workdir, overrides, processes)
        codes = training.suffer(kill)
        assert "is broken" not in training.said(), training.said()[-5000:]
        assert codes is not None, f"the training was over before kill {number}"
        if kill.signal == signal.SIGTERM and kill.victims == processes:
            # Python ends with -15 where the signal came before or after the loop.
            assert all(code in (0, -signal.SIGTERM) for code in codes), training.said()[-5000:]
        (stage, step), seconds = last_logged(workdir), time.strftime("%H:%M:%S")
        saved = last_saved(workdir, stage)
        most = max(most, step - saved)
        print(
            f"{seconds} kill {number}: {kill.signal.name} to {kill.victims} of {processes}"
            f"{' inside a save' if kill.inside_save else ''}, codes {codes}; "
            f"{stage} was at step {step}, goes on from {saved}: {step - saved} to do again",
            flush=True,
        )
    Training(corpus, workdir, overrides, processes).finish()
    print(f"a kill cost {most} steps at most", flush=True)


def require_same(one: Path, other: Path) -> None:
    """The voices of two workdirs are the same, bit for bit."""
    ours, theirs = (load_file(workdir / "voice" / "params.safetensors") for workdir in (one, other))
    assert ours.keys() == theirs.keys()
    for name in ours:
        np.testing.assert_array_equal(ours[name], theirs[name], err_msg=name)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    options, overrides = parser.parse_known_args()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    options.folder.mkdir(parents=True, exist_ok=True)
    corpus = options.corpus.absolute()
    rng = random.Random(options.seed)
    kills = [random_kill(rng, options.processes) for _ in range(options.kills)]
    calm, hurt = options.folder / "undisturbed", options.folder / "tortured"
    # A start and its kill take up to some 80 steps; the learning rate stays up to the end.
    steps = 25 * options.kills
    overrides = [
        "--config.log_every_steps=1",
        *(f"--config.{stage}.steps={steps}" for stage in STAGES),
        *(f"--config.{stage}.learning_rate.total_steps={steps}" for stage in STAGES),
        f"--config.evaluate_every_steps={steps}",
        *overrides,
    ]
    Training(corpus, calm, overrides, options.processes).finish()
    torture(corpus, hurt, kills, overrides, options.processes)
    require_same(calm, hurt)
    print(f"the same voice, bit for bit, after {options.kills} kills")


if __name__ == "__main__":
    main()
