"""Several processes as one program: joining them, speaking once, agreeing, stopping together."""

from __future__ import annotations

import itertools
import signal
import threading
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax.experimental import multihost_utils

from diffsinger_jax.errors import InputError

OFF, AUTO = "off", "auto"
JOIN_SECONDS = 300
"""How long the first processes wait for the last one."""
COMPILE_SECONDS = 3600
"""How long those who have compiled wait for the last one."""
_STEPS = itertools.count(1)
"""Steps of this process over all stages: the numbers by which all settle on one only grow."""


def join(how: str) -> None:
    """Makes this process one of several that train together; call it before anything of JAX.

    Args:
      how: "off" for a process by itself; "auto" where the cluster says who is who (Cloud TPU,
        Slurm, Kubernetes, Open MPI); else "HOST:PORT,N,I": process I of N, met by process 0 at
        HOST:PORT.

    Raises:
      InputError: if it is none of these, or the others cannot be met. It never goes on alone.
    """
    if how == OFF:
        return
    where = {} if how == AUTO else _address(how)
    # Only CPUs look at this; their own way of talking to each other ends with the process.
    jax.config.update("jax_cpu_collectives_implementation", "gloo")
    try:
        jax.distributed.initialize(**where, initialization_timeout=JOIN_SECONDS)
    except (ValueError, RuntimeError, TypeError) as error:
        reason = str(error).strip().splitlines()[0]
        known = (
            "nothing here says which process this is of how many; give --distributed=HOST:PORT,N,I "
            "or, for one process alone, --distributed=off"
            if how == AUTO
            else f"the {where['num_processes']} processes did not meet at "
            f"{where['coordinator_address']}; start all of them, with the same address"
        )
        raise InputError(f"--distributed={how}: {known} ({reason})") from error


def _address(how: str) -> dict[str, Any]:
    address, *numbers = how.split(",")
    host, _, port = address.rpartition(":")
    if (
        not host
        or not port.isdecimal()
        or len(numbers) != 2
        or not all(map(str.isdecimal, numbers))
    ):
        raise InputError(
            f"--distributed is {OFF}, {AUTO} or HOST:PORT,N,I (as 10.0.0.2:1234,4,0 for the first "
            f"of four processes), got {how!r}"
        )
    count, index = map(int, numbers)
    if index >= count:
        raise InputError(
            f"--distributed={how} says process {index} of {count}; they are numbered from 0 to "
            f"{count - 1}"
        )
    return {"coordinator_address": address, "num_processes": count, "process_id": index}


def is_primary() -> bool:
    """Whether this process is the one that speaks and writes for all."""
    return jax.process_index() == 0


def log_primary(sentence: str) -> None:
    """Prints, once for all processes."""
    if is_primary():
        print(sentence, flush=True)


def broadcast(value: Any) -> Any:
    """The first process's numbers on all of them: a pytree of numpy arrays, shapes alike."""
    return multihost_utils.broadcast_one_to_all(value) if jax.process_count() > 1 else value


def all_processes(truth: bool) -> bool:
    """Whether it is true in every process."""
    if jax.process_count() == 1:
        return truth
    return bool(multihost_utils.process_allgather(truth).all())


def barrier(place: str) -> None:
    """Holds every process until the last one comes, however long the others wait.

    A collective would not: where it is the first of a program, gloo gives up after 30 seconds.

    Args:
      place: in the program; it is passed once.
    """
    ocp.multihost.get_barrier_sync_fn()(key=place, timeout_ms=1000 * COMPILE_SECONDS)


class PreemptionHandler:
    """SIGTERM to any process, learnt by all of them at the same step.

    With several processes JAX takes the signal and settles a step that none has passed yet;
    alone, the step that is being computed is the last. A second SIGTERM ends a lone process.
    """

    def __init__(self) -> None:
        """Listens from now on, if it is made in the main thread."""
        self._asked, self._before = False, None
        alone = jax.process_count() == 1
        if alone and threading.current_thread() is threading.main_thread():
            self._before = signal.signal(signal.SIGTERM, self._ask)

    def _ask(self, number: int, frame: Any) -> None:
        self._asked = True
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def seen(self) -> bool:
        """Ask after every step, in all processes alike."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(next(_STEPS))
        return self._asked

    def close(self) -> None:
        """Puts back what SIGTERM did before."""
        if self._before is not None:
            signal.signal(signal.SIGTERM, self._before)
