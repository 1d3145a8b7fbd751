#!/bin/bash
# SMALL_PICTURES FULL_PICTURES: all from the shipped weights on, such as 260000 150000; needs .venv and .host here (dev.py demo makes them, or links)
cd "$(dirname "$0")"; PY=../.venv/bin/python; L=../.work/legs; mkdir -p $L
# MKL takes slow kernels on processors of another maker, unless it is told otherwise: a third of the speed.
echo 'int mkl_serv_intel_cpu_true(void){return 1;}' > $L/quick.c && gcc -shared -fPIC -o $L/quick.so $L/quick.c
$PY codec.py
$PY render.py > $L/render.log 2>&1
encode() { for i in 0 1; do taskset -c $i $PY enc_fast.py $1 $i 2 > $L/enc_$1$i.log 2>&1 & done; wait; }
encode half
./go.sh half $1 24 2e-3 0.6
encode full
./go.sh full $2 8 1.5e-3 0.6 guided
