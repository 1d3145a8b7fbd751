#!/bin/bash
# KIND PICTURES BATCH RATE POWER [guided]: two processes, each on a core, whose weights are averaged every ten seconds
cd "$(dirname "$0")"; L=../.work/legs; PY=../.venv/bin/python; rm -f $L/store_$1
export OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo; [ -f $L/quick.so ] && export LD_PRELOAD=$PWD/$L/quick.so
for i in 0 1; do taskset -c $i nice -n 10 $PY flow_dp.py $1 $2 $3 $4 $5 $i $6 > $L/$1_$i.log 2>&1 & done
wait
