# half|full|turbo PICTURES BATCH RATE POWER RANK [guided]
from common import *
import torch.distributed as dist
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_flux import *
from big.mini.training.train_flux import Optimizer
import functools
kind,n,batch,rate,power,rank=ARGS[0],int(ARGS[1]),int(ARGS[2]),float(ARGS[3]),float(ARGS[4]),int(ARGS[5])
guided=len(ARGS)>6 and ARGS[6]=='guided'
ROUND=10.
torch.set_num_threads(1)
seed=int(time.time())+rank*1000; torch.manual_seed(seed); rng=np.random.default_rng(seed)
scenes=SceneArrays(D/'train')
if kind=='half': lat=torch.load(D/'half.pt')
else: lat=torch.cat([torch.load(D/f'full_{k}.pt') for k in range(20) if (D/f'full_{k}.pt').exists()])
idx=[k for k in range(20) if kind=='half' or (D/f'full_{k}.pt').exists()]
sel=np.concatenate([np.arange(k*1000,(k+1)*1000) for k in idx])
from names import *
import big.mini.training.train_flux as tf
tf.SAMPLER_SHIFT=float(os.environ.get('SHIFT',1.7))
class Part: pass
raw={a:np.asarray(getattr(scenes,a)) for a in ('masks_NHW','stand_N','subject_N','place_N')}
old=np.array([OLD.index(k) for k in KEEP]); new=np.full(30,-1); new[old]=np.arange(len(KEEP))
names=[q.name for q in SUBJECTS]
def pick(index, stands, mirror):
    st=raw['stand_N'][index]; su=raw['subject_N'][index]
    ok=np.isin(st,stands)&((st==0)|np.isin(su,old)); i=np.nonzero(ok)[0]; j=index[i]
    m=raw['masks_NHW'][j]; m=m[:,:,::-1] if mirror else m
    # subjects by their number in the world's list of today
    today=np.array([names.index(OLD[k]) if 0<=k<len(OLD) else k for k in su[i]])
    return i, dict(masks_NHW=m,stand_N=(st[i]+1)//2,subject_N=today,place_N=raw['place_N'][j])
i,p=pick(sel,(0,2,4,6),False); lat=lat[torch.from_numpy(i)]; parts=[p]
if (D/'extra.pt').exists():
    e=torch.load(D/'extra.pt')
    for part in ('right','left'):
        i,p=pick(e[part+'_index'].numpy(),{'right':(2,4,6),'left':(1,3,5)}[part],part=='left')
        lat=torch.cat([lat,e[part][torch.from_numpy(i)]]); parts.append(p)
for a in raw: setattr(Part,a,np.concatenate([p[a] for p in parts]))
if rank==0: print(len(lat),'pictures',np.bincount(Part.stand_N),np.bincount(Part.subject_N[Part.stand_N>0]),flush=True)
del raw
s=Student(); path=D/'flow.pt'
if path.exists():
    from convert import convert
    st=convert(torch.load(path))
    s.load_state_dict(st)
else:
    st={'flux.'+k:v.float() for k,v in load_file(W/'flux.safetensors').items()}
    st|={'text.'+k:v.float() for k,v in load_file(W/'text.safetensors').items()}
    torch.manual_seed(0); torch.nn.init.normal_(s.stand[1].weight,std=.02)
    s.load_state_dict(st,strict=False)
torch.manual_seed(seed)
prob=np.where(np.asarray(Part.stand_N)==0,1.,1.); vs=np.maximum(np.asarray(Part.stand_N),1)-1
prob=np.where(np.asarray(Part.stand_N)==0,.35,np.array([.3,.4,.3])[vs]**-1/3); prob/=prob.sum()
class Even:
    def integers(self,n,size): return rng.choice(n,size=size,p=prob)
cap=Captions(Part,seed); batches=flux_batches(lat,Part,cap,batch,Even())
opt=Optimizer(s,decay=0.,is_matrix=is_matrix,memory=.999,youth=50)
loss_of=functools.partial(flow_loss,empty_1T=torch.tensor([cap.padded('')])) if guided else flow_loss
dist.init_process_group('gloo',init_method=f'file:///work/train/store_{kind}',rank=rank,world_size=2)
copies=list(opt.copies.values()); weights=list(opt.weights.values())
r=Rate(rate,power=power); total=0; step=0; mean=None; t0=time.time(); saved=0
ws=torch.zeros(4)
while total<n:
    snap=[c.detach().clone() for c in copies]; start=time.time(); k=0; lsum=0.
    while time.time()-start<ROUND or k==0:
        b=next(batches); loss,shown=loss_of(s,*b); loss.backward()
        opt.step(r.at(step,min(1,total/n))); step+=1; k+=1; lsum+=float(shown.nan_to_num())
    flat=torch.cat([((c.detach()-q)*k).flatten() for c,q in zip(copies,snap)]+[torch.tensor([float(k),lsum])])
    dist.all_reduce(flat); K=flat[-2].item(); L=flat[-1].item()/K; o=0
    with torch.no_grad():
        for c,q,w in zip(copies,snap,weights):
            m=c.numel(); c.copy_(q+(flat[o:o+m]/K).view_as(c)); w.copy_(c); o+=m
    total+=int(K)*batch; mean=L if mean is None else mean+(L-mean)*max(.1,0)
    if rank==0:
        print(f'{kind} {total} pics: {mean:.4f}, {K*batch/(time.time()-start):.1f}/s, {total/n:.1%}, {(time.time()-t0)/60:.1f} min',flush=True)
        if time.time()-saved>120: torch.save({**opt.average_state(),'converted':torch.ones(1)},path); saved=time.time()
if rank==0: torch.save({**opt.average_state(),'converted':torch.ones(1)},path); print('done')
dist.barrier()
