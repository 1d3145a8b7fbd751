while [ ! -f train/done ]; do sleep 1; done
P=/work/main/.venv/bin/python
$P vae.py 8 > vae.log 2>&1 
$P encode.py half 2 > enc_half.log 2>&1
touch chain1.done
