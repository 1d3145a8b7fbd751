cd /work/train; export LD_PRELOAD=/tmp/libfakeintel.so OMP_NUM_THREADS=1
while [ ! -f half.finished ]; do sleep 2; done
cp flow.pt flow_half_end.pt
for i in 0 1; do taskset -c $i /work/main/.venv/bin/python enc14.py full $i 2 > enc_full$i.log 2>&1 & done; wait
bash go.sh full 26000 16 1.5e-3 0.6
cp flow.pt flow_full_end.pt
bash go.sh full 12000 16 1e-3 0.6 guided
