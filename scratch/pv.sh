cd /work/train; LD_PRELOAD=/tmp/libfakeintel.so OMP_NUM_THREADS=1 taskset -c 1 /work/main/.venv/bin/python preview.py "$@" 2>&1 | tail -1
