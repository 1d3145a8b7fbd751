# WAYS MINUTES : the LoRA, two processes (env as partners.py sets it)
from common import *
import big.mini.training.train_turbo as tt
from big.mini.training.train_flux import *
from big.mini.training.partners import find_partners
from big.mini.training.loop import Budget
from big.mini.world import held_out
from convert import convert
torch.set_num_threads(1); tt.WAYS=int(ARGS[0])
s=Student(); s.load_state_dict(convert(torch.load(D/'flow.pt')))
pairs=[(i,j) for i,a in enumerate(SUBJECTS) for j,b in enumerate(PLACES) if not held_out(a.name,b.name)]
pairs+=[(-1,j) for j in range(9) for _ in range(3)]
class Part: subject_N=np.array([i for i,_ in pairs]); place_N=np.array([j for _,j in pairs])
partners=find_partners()
lora=tt.train_turbo(s,Captions(Part,partners.rank),D,Budget(minutes=float(ARGS[1])),partners)
if partners.rank==0: tt.save_lora(lora,D/'turbo.safetensors'); print('done')
