# flow half with both cores
while [ ! -f chain1.done ]; do sleep 1; done
export LD_PRELOAD=/tmp/libfakeintel.so
exec /work/main/.venv/bin/python flow.py half 170000 2 96 2e-3 0.6 ${COMP:-0} > flow_half.log 2>&1
