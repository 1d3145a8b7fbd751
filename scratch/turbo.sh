cd /work/train; rm -f store_turbo turbo.finished; export LD_PRELOAD=/tmp/libfakeintel.so OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo COUPLED_TRAINING_COUNT=2 COUPLED_TRAINING_MEETING=/work/train/store_turbo
for r in 0 1; do COUPLED_TRAINING_RANK=$r taskset -c $r nice -n 10 /work/main/.venv/bin/python turbo_dp.py $1 $2 > dp_turbo_$r.log 2>&1 & done
wait; touch turbo.finished
