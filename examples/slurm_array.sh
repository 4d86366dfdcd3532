#!/bin/bash
#SBATCH --cpus-per-task=4
#SBATCH --mem=8G
#SBATCH --time=4:00:00
# A stage as an array job: every task does its share, a last job joins the shares.
#
#   job=$(sbatch --parsable --array=1-100 slurm_array.sh extract /shared/photos /shared/features.h5)
#   sbatch --dependency=afterany:$job slurm_array.sh extract /shared/photos /shared/features.h5
#
# The same for `match FEATURES PAIRS MATCHES` and `verify FEATURES MATCHES VERIFIED`. A task that was
# stopped goes on after `scontrol requeue JOB_TASK`, or when the whole array is submitted again (a part
# of it would be an array of other shares); what no task did, the last job does. All of them need the
# same options: other ones are refused.
set -euo pipefail

export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}
if [[ -n ${SLURM_ARRAY_TASK_ID:-} ]]; then
    number=$(((SLURM_ARRAY_TASK_ID - SLURM_ARRAY_TASK_MIN) / ${SLURM_ARRAY_TASK_STEP:-1} + 1))
    set -- "$@" --share "$number/$SLURM_ARRAY_TASK_COUNT"
fi

status=0
silk-sfm "$@" --quiet || status=$?
# 3: some images could not be used; the log lists them, and it is no reason to stop the next job
[[ $status -eq 3 ]] || exit "$status"
