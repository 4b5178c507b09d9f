#!/usr/bin/env bash
# Trains on one Cloud TPU VM or on a pod slice: the same command on all of its hosts, until the
# voice is there. A preempted slice is made anew, and training goes on from its last checkpoint.
#
#     TPU=singer ZONE=us-central2-b TYPE=v4-32 SPOT=1 SHARED=10.0.0.2:/share \
#         docs/launch/tpu.sh --config=configs/pjs.py \
#         --config.corpus=/mnt/shared/prepared/pjs --workdir=/mnt/shared/workdir/pjs
#
# With a bucket no share is needed: --config.corpus=gs://B/prepared/pjs --workdir=gs://B/workdir/pjs
set -euo pipefail
: "${TPU:?the name of the TPU}" "${ZONE:?}" "${TYPE:?v4-8 is one VM, v4-32 a slice of four}"
image=${IMAGE:-tpu-ubuntu2204-base}
archive=$(mktemp -d)/diffsinger_jax.tgz

workdir=
for flag in "$@"; do
    case $flag in --workdir=*) workdir=${flag#--workdir=} ;; esac
done
: "${workdir:?--workdir=/mnt/shared/... or gs://... is missing}"
case $workdir in
    gs://*) : "${SHARED:=}" ;;
    *) : "${SHARED:?an NFS share, as of Filestore, to be mounted on /mnt/shared of all hosts}" ;;
esac

tpu() { gcloud compute tpus tpu-vm "$1" "$TPU" --zone="$ZONE" "${@:2}"; }
on_all_hosts() { tpu ssh --worker=all --command="$1"; }
is_ready() { [ "$(tpu describe --format='value(state)' 2>/dev/null)" = READY ]; }
is_finished() {
    case $workdir in
        gs://*) gcloud storage ls "$workdir/voice/voice.json" ;;
        *) tpu ssh --worker=0 --command="test -e '$workdir/voice/voice.json'" ;;
    esac
}

make() {
    tpu delete --quiet 2>/dev/null || true # what is left of a preempted one
    tpu create --accelerator-type="$TYPE" --version="$image" ${SPOT:+--spot}
}

install() {
    git archive --format=tar.gz -o "$archive" HEAD
    gcloud compute tpus tpu-vm scp "$archive" "$TPU:" --zone="$ZONE" --worker=all
    [ -z "$SHARED" ] || on_all_hosts "set -e
        sudo apt-get install -qy nfs-common; sudo mkdir -p /mnt/shared
        mountpoint -q /mnt/shared || sudo mount -o hard '$SHARED' /mnt/shared" || return
    on_all_hosts "set -e
        mkdir -p diffsinger_jax; tar -xzf diffsinger_jax.tgz -C diffsinger_jax
        pip install -q uv; ~/.local/bin/uv venv -q --allow-existing --python=3.12 env
        ~/.local/bin/uv pip install -q --python=env -e 'diffsinger_jax[tpu,gcs]'"
}

train() {
    on_all_hosts "cd diffsinger_jax && ../env/bin/python run_train.py --distributed=auto $*"
}

while true; do
    if is_ready || make; then
        code=0
        install && train "$@" || code=$?
        [ "$code" -ne 2 ] || exit 2 # a config that does not fit is not mended by trying again
        ! is_finished || exit 0
    fi
    sleep 30
done
