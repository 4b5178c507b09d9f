"""The launch files: right by schema, made of flags that exist, and true to what they promise."""

import json
import os
import re
import signal
import subprocess
import time
from pathlib import Path

import jsonschema
import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
LAUNCH = ROOT / "docs" / "launch"
SCRIPTS = sorted(p for p in LAUNCH.iterdir() if p.suffix in (".sh", ".sbatch"))
SCHEMA = json.loads(Path(__file__).with_name("jobset_schema.json").read_text())


@pytest.fixture(scope="module")
def jobset():
    return yaml.safe_load((LAUNCH / "jobset.yaml").read_text())


def job_of(jobset):
    return jobset["spec"]["replicatedJobs"][0]["template"]["spec"]


def container_of(jobset):
    return job_of(jobset)["template"]["spec"]["containers"][0]


def test_the_jobset_is_one(jobset):
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(jobset, SCHEMA)


@pytest.mark.parametrize(
    "change",
    [
        lambda jobset: jobset.update(kind="Job"),
        lambda jobset: jobset["spec"].update(replicas=2),
        lambda jobset: jobset["spec"]["failurePolicy"].update(restartStrategy="Again"),
        lambda jobset: job_of(jobset).update(parallelism="2"),
        lambda jobset: container_of(jobset).update(gpus=8),
        lambda jobset: container_of(jobset)["env"].append({"name": "N", "value": 2}),
        lambda jobset: job_of(jobset)["template"]["spec"]["volumes"].append({"name": "empty"}),
    ],
)
def test_the_schema_sees_what_is_wrong(change):
    jobset = yaml.safe_load((LAUNCH / "jobset.yaml").read_text())
    change(jobset)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(jobset, SCHEMA)


def test_the_jobset_agrees_with_itself(jobset):
    job, container = job_of(jobset), container_of(jobset)
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    name, part = jobset["metadata"]["name"], jobset["spec"]["replicatedJobs"][0]
    assert env["FIRST_POD"] == f"{name}-{part['name']}-0-0.{name}"
    port = container["ports"][0]["containerPort"]
    where = f'--distributed="$FIRST_POD:{port},{job["completions"]},$JOB_COMPLETION_INDEX"'
    assert job["completions"] == job["parallelism"] and where in container["command"][-1]
    volumes = {volume["name"] for volume in job["template"]["spec"]["volumes"]}
    assert {mount["name"] for mount in container["volumeMounts"]} == volumes
    rule = job["podFailurePolicy"]["rules"][0]["onExitCodes"]
    assert rule["containerName"] == container["name"]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_scripts_are_bash(script):
    subprocess.run(["bash", "-n", str(script)], check=True)
    assert os.access(script, os.X_OK)


def test_flags_exist(jobset):
    known = set(
        re.findall(
            r'DEFINE_\w+\(\s*"(\w+)"', (ROOT / "diffsinger_jax" / "cli" / "train.py").read_text()
        )
    )
    texts = [path.read_text() for path in SCRIPTS] + [container_of(jobset)["command"][-1]]
    for text in texts:
        call = text[text.index("run_train.py ") :]
        used = set(re.findall(r"--([a-z_]+)(?:\.[a-z_]+)*=", call))
        assert "distributed" in used and used <= known


@pytest.fixture
def stand_ins(tmp_path):
    """Programs that write down how they were called and end as they are told."""
    folder = tmp_path / "bin"
    folder.mkdir()

    def make(name, body="exit 0"):
        file = folder / name
        file.write_text(f'#!/bin/bash\necho "{name} $*" >> "{tmp_path}/calls"\n{body}\n')
        file.chmod(0o755)

    def start(command, **env):
        env = {**os.environ, "PATH": f"{folder}:{os.environ['PATH']}", "CORPUS": "here", **env}
        return subprocess.Popen(command, cwd=tmp_path, env=env, start_new_session=True)

    def calls():
        return (tmp_path / "calls").read_text()

    make.start, make.calls, make.workdir = start, calls, tmp_path / "work"
    return make


DONE = 'mkdir -p "$WORKDIR/voice"; touch "$WORKDIR/voice/voice.json"'


@pytest.mark.parametrize(
    ("body", "code", "again"), [("exit 0", 0, True), (DONE, 0, False), ("exit 2", 2, False)]
)
def test_slurm_queues_again_until_the_voice_is_there(stand_ins, body, code, again):
    stand_ins("srun", body)
    stand_ins("scontrol")
    env = dict(WORKDIR=str(stand_ins.workdir), SLURM_SUBMIT_DIR=".", SLURM_JOB_ID="7")
    process = stand_ins.start([LAUNCH / "slurm.sbatch", "--config=configs/pjs.py"], **env)
    assert process.wait(timeout=60) == code
    assert "--distributed=auto --config=configs/pjs.py" in stand_ins.calls()
    assert ("scontrol requeue 7" in stand_ins.calls()) == again


@pytest.mark.parametrize(("body", "code"), [("exit 0", 1), (DONE, 0), ("exit 2", 2), ("exit 1", 1)])
def test_a_pod_ends_well_only_with_the_voice(stand_ins, jobset, body, code):
    stand_ins("python", body)
    process = stand_ins.start(
        container_of(jobset)["command"], WORKDIR=str(stand_ins.workdir), FIRST_POD="first"
    )
    assert process.wait(timeout=60) == code


def test_a_pod_that_is_told_to_end_lets_training_save(stand_ins, jobset):
    saved, ready = (stand_ins.workdir.with_name(name) for name in ("saved", "ready"))
    waits = f"while true; do touch {ready}; sleep 0.05; done"
    stand_ins("python", f"trap 'sleep 0.2; touch {saved}; exit 0' TERM; {waits}")
    process = stand_ins.start(
        container_of(jobset)["command"], WORKDIR=str(stand_ins.workdir), FIRST_POD="first"
    )
    deadline = time.monotonic() + 60
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 1 and saved.exists()  # and there is more to do


TPU = dict(TPU="singer", ZONE="here", TYPE="v4-32", SHARED="10.0.0.2:/share")
TPU_FLAGS = ["--config=configs/pjs.py", "--workdir=/mnt/shared/w"]


def test_a_tpu_is_made_anew_until_the_voice_is_there(stand_ins):
    """The first training is preempted, the second ends."""
    voice, made = (stand_ins.workdir.with_name(name) for name in ("voice", "made"))
    stand_ins(
        "gcloud",
        f"""case "$*" in
            *"test -e '/mnt/shared/w/voice/voice.json'"*) test -e {voice} ;;
            *" describe "*) test -e {made} && echo READY ;;
            *" create "*) touch {made} ;;
            *run_train.py*) if [ -e {made}.once ]; then touch {voice}; else
                touch {made}.once; rm {made}; exit 255; fi ;;
        esac""",
    )
    stand_ins("sleep")
    stand_ins("git")
    process = stand_ins.start([LAUNCH / "tpu.sh", *TPU_FLAGS], **TPU, SPOT="1")
    assert process.wait(timeout=60) == 0
    calls = stand_ins.calls()
    assert calls.count(" create singer ") == 2 and calls.count("--spot") == 2
    assert calls.count(f"run_train.py --distributed=auto {' '.join(TPU_FLAGS)}") == 2
    assert "--worker=all" in calls


def test_a_tpu_with_a_bucket_needs_no_share(stand_ins):
    voice = stand_ins.workdir.with_name("voice")
    stand_ins(
        "gcloud",
        f"""case "$*" in
            "storage ls gs://bucket/w/voice/voice.json") test -e {voice} ;;
            *" describe "*) echo READY ;;
            *run_train.py*) touch {voice} ;;
        esac""",
    )
    stand_ins("git")
    without = {name: value for name, value in TPU.items() if name != "SHARED"}
    command = [LAUNCH / "tpu.sh", TPU_FLAGS[0], "--workdir=gs://bucket/w"]
    assert stand_ins.start(command, **without).wait(timeout=60) == 0
    assert "mount" not in stand_ins.calls() and "[tpu,gcs]" in stand_ins.calls()
    assert stand_ins.start([LAUNCH / "tpu.sh", *TPU_FLAGS], **without).wait(timeout=60) == 1


def test_a_config_that_does_not_fit_ends_a_tpu_training(stand_ins):
    stand_ins("gcloud", 'case "$*" in *describe*) echo READY;; *run_train.py*) exit 2;; esac')
    stand_ins("git")
    assert stand_ins.start([LAUNCH / "tpu.sh", *TPU_FLAGS], **TPU).wait(timeout=60) == 2
    assert stand_ins.start([LAUNCH / "tpu.sh", TPU_FLAGS[0]], **TPU).wait(timeout=60) == 1
