#!/usr/bin/env bash
# Measure a GPU in at most ten minutes and write the table into the documentation:
#   tools/benchmark_gpu.sh [options of tools/benchmark.py, such as --against clip_dinoiser]
# DEVICE=cpu MODEL=mini BATCHES=1,2 PAGE=copy.md tools/benchmark_gpu.sh --size 64x80 --repetitions 1   # tries the script
# COMPILED= leaves torch.compile out; SECONDS_AT_MOST=600 ends a run that takes longer.
set -euo pipefail
python=${PYTHON:-python} device=${DEVICE:-cuda} page=${PAGE:-docs/results/speed.md}
compiled=${COMPILED---compiled}
root=$(cd "$(dirname "$0")/.." && pwd)

if [[ $device == cuda* ]] && ! "$python" -c 'import sys, torch; sys.exit(not torch.cuda.is_available())'; then
    echo "error: torch sees no GPU here; run this where \`nvidia-smi\` lists one, with a torch built for CUDA" >&2
    exit 2
fi

driver=$(nvidia-smi --query-gpu=name,driver_version --format=csv,noheader 2>/dev/null | head -n 1 || true)
commit=$(git -C "$root" describe --always --dirty 2>/dev/null || echo unknown)
# shellcheck disable=SC2086  # no option where COMPILED is empty
table=$(timeout "${SECONDS_AT_MOST:-600}" "$python" "$root/tools/benchmark.py" "${MODEL:-dinoiser}" --weights rule \
    --batches "${BATCHES:-1,4,16,64}" --device "$device" $compiled "$@") || {
    code=$?
    [[ $code == 124 ]] && echo "error: stopped after ${SECONDS_AT_MOST:-600} s; give fewer BATCHES, or COMPILED=" >&2
    exit "$code"
}
text="Measured on ${driver:-a machine without nvidia-smi ($device)} (card, driver), commit $commit:

$table"
echo "$text"
"$python" -c 'import sys; from densevl.benchmarks.speed.section import write_section; write_section(*sys.argv[1:])' \
    "$page" gpu "$text"
echo "written to $page"
