cd /work/train
bash go.sh full 30000 8 1.5e-3 0.6
cp flow.pt flow_full_end.pt
bash go.sh full 12000 8 1e-3 0.6 guided
