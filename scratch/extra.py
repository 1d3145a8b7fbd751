from common import *
from names import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_codec import FLUX_SCALE, FLUX_SHIFT
from big.mini.training.augment import pictures
from big.mini.codec import Codec
from big.mini.training.loop import resume
torch.set_num_threads(1)
scenes=SceneArrays(D/'train'); c=Codec(); resume(c,D/'codec0.pt'); c.eval(); c.to(memory_format=torch.channels_last)
st=np.asarray(scenes.stand_N); su=np.asarray(scenes.subject_N)
ok=np.isin(su,[OLD.index(k) for k in KEEP]); n=np.arange(len(st))
jobs={'right':np.nonzero(ok&np.isin(st,(2,4,6))&(n>=14000))[0],'left':np.nonzero(ok&np.isin(st,(1,3,5)))[0][:3400]}
out={}
for part,idx in jobs.items():
    t=time.time(); parts=[]
    with torch.no_grad():
        for i in range(0,len(idx),20):
            x=torch.cat([pictures(scenes,slice(j,j+1)) for j in idx[i:i+20]])
            if part=='left': x=x.flip(-1)
            parts.append(((c.encode(x.contiguous(memory_format=torch.channels_last))-FLUX_SHIFT)*FLUX_SCALE).half())
    out[part]=torch.cat(parts); out[part+'_index']=torch.from_numpy(idx); print(part,len(idx),time.time()-t,flush=True)
torch.save(out,D/'extra.pt')
