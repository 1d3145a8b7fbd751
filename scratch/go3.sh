# ARGS of flow_dp without rank; guided last
cd /work/train; rm -f store_$1; export LD_PRELOAD=/tmp/libfakeintel.so OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME=lo
K=$1; N=$2; B=$3; R=$4; P=$5; G=$6
taskset -c 0 nice -n 10 /work/main/.venv/bin/python flow_dp3.py $K $N $B $R $P 0 $G > dp_$K.log 2>&1 &
taskset -c 1 nice -n 10 /work/main/.venv/bin/python flow_dp3.py $K $N $B $R $P 1 $G > dp_${K}_1.log 2>&1 &
wait
touch $K.finished
