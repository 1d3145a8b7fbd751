from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train import *
from big.mini.training.train import encode_all
import torch.nn.functional as F
torch.set_num_threads(int(ARGS[1]))
scenes=SceneArrays(D/'train'); c=Codec(); resume(c,D/'codec.pt'); c.eval()
t=time.time()
if ARGS[0]=='half': encode_all(c,scenes,D/'half.pt',2)
else:
    for k in range(0,len(scenes),2000):
        p=D/f'full{k//2000}.pt'
        if p.exists(): continue
        parts=[]
        with torch.no_grad():
            for i in range(k,min(k+2000,len(scenes)),64):
                l=c.encode(pictures(scenes,slice(i,min(i+64,k+2000)))); parts.append(((l-FLUX_SHIFT)*FLUX_SCALE).half())
        torch.save(torch.cat(parts),p); print(k,time.time()-t,flush=True)
print('took',time.time()-t)
