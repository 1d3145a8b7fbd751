# STATE : error of the velocity per view, under the subject and beside it, per sigma
from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_flux import *
torch.set_num_threads(1); torch.manual_seed(5); rng=np.random.default_rng(5)
scenes=SceneArrays(D/'train'); k=int(ARGS[1]) if len(ARGS)>1 else 3
lat=torch.load(D/f'full_{k}.pt'); sl=slice(k*1000,k*1000+1000)
stand=np.asarray(scenes.stand_N)[sl]; sub=np.asarray(scenes.subject_N)[sl]
class Part: pass
for a in ('masks_NHW','subject_N','place_N'): setattr(Part,a,np.asarray(getattr(scenes,a))[sl])
s=Student(); st=torch.load(D/ARGS[0])
for q in ('stand.1.weight','stand.1.bias'):
    if len(st[q])==10: st[q]=st[q][[0,2,4,6,7,8,9]].clone()
s.load_state_dict(st); s.eval(); cap=Captions(Part,1)
for view in (2,4,6):
    idx=np.nonzero(stand==view)[0][:32]
    x0=lat[torch.from_numpy(idx)].float(); ids=cap.ids(idx); cov=cover_cells(Part.masks_NHW[idx],32).float()
    sd=torch.full((len(idx),),view//2); row=[]
    noise=lead_noise(torch.randn_like(x0),sd)
    for sig in (1.,.93,.85,.7,.5,.3):
        S=torch.full((len(idx),),sig); x=torch.lerp(x0,noise,sig)
        with torch.no_grad(): v=s(x,S,ids,torch.ones_like(S))
        e=((v-(noise-x0))**2).mean(1,keepdim=True)
        # in x0 units: error of predicted x0 = sig^2 * e
        row.append(f'{(e*cov).sum()/cov.sum():.2f}/{(e*(1-cov)).sum()/(1-cov).sum():.2f}')
    var=(x0**2).mean(1,keepdim=True); print('view',view//2,'var',f'{(var*cov).sum()/cov.sum():.2f}/{(var*(1-cov)).sum()/(1-cov).sum():.2f}',' '.join(row),flush=True)
