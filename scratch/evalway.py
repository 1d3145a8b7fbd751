from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_flux import *
from big.mini.training.stand import WAYS
torch.set_num_threads(1); torch.manual_seed(1); rng=np.random.default_rng(1)
scenes=SceneArrays(D/'train'); kind=ARGS[0]
if kind=='half': lat=torch.load(D/'half.pt')[:1000]
else: lat=torch.load(D/'full_0.pt')
class Part: subject_N=scenes.subject_N[:1000]; place_N=scenes.place_N[:1000]
s=Student(); s.load_state_dict(torch.load(D/'flow.pt')); s.eval()
cap=Captions(Part,0); st=torch.from_numpy(np.array(scenes.stand_N[:1000])).long()
idx=np.where(st.numpy()>0)[0][:96]; x0=lat[idx].float(); st=st[idx]; ids=cap.ids(idx); n=lead_noise(torch.randn_like(x0),st)
for sig in (1.,.97,.93,.85,.7):
    with torch.no_grad():
        v=s(torch.lerp(x0,n,sig),torch.full((len(x0),),sig),ids,torch.ones(len(x0)))
        t=s.tell_stand((x0.shape[-1]//2)**2)[...,:WAYS].log_softmax(-1).mean(1)
    print(sig,'way right %.2f'%(t.argmax(-1)==st).float().mean().item(),'ce %.2f'%F.nll_loss(t,st).item(),'mse %.3f'%F.mse_loss(v,n-x0).item())
