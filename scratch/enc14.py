# encode [half|full] PART OF : own share of scenes on one thread
from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_codec import FLUX_SCALE, FLUX_SHIFT
from big.mini.training.augment import pictures
from big.mini.codec import Codec
from big.mini.training.loop import resume
import torch.nn.functional as F
torch.set_num_threads(1)
kind,part,of=ARGS[0],int(ARGS[1]),int(ARGS[2])
scenes=SceneArrays(D/'train'); c=Codec(); resume(c,D/'codec0.pt'); c.eval(); c.to(memory_format=torch.channels_last)
size=1000
t=time.time()
for k in range(part*size,14000,of*size):
    p=D/f'{kind}_{k//size}.pt'
    if p.exists(): continue
    parts=[]
    with torch.no_grad():
        for i in range(k,k+size,40):
            x=pictures(scenes,slice(i,i+40))
            if kind=='half': x=F.avg_pool2d(x,2)
            parts.append(((c.encode(x.contiguous(memory_format=torch.channels_last))-FLUX_SHIFT)*FLUX_SCALE).half())
    torch.save(torch.cat(parts),p); print(kind,k,round(time.time()-t),flush=True)
