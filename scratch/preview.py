# STATE OUT half|full SEED COUNT [guidance if distilled]
from common import *
from big.mini.training.train_flux import *
from big.mini.training.train_codec import FLUX_SCALE, FLUX_SHIFT
from big.mini.training.augment import pictures
from big.mini.codec import Codec
from big.mini.training.loop import resume
from big.mini.world.captions import caption
import comfy.model_sampling
from comfy.samplers import calculate_sigmas
from PIL import Image
state,out,kind,seed,count=ARGS[0],ARGS[1],ARGS[2],int(ARGS[3]),int(ARGS[4]); guided=float(ARGS[5]) if len(ARGS)>5 else None
STEPS=16; torch.set_num_threads(1)
s=Student(); st=torch.load(D/state); from convert import convert; s.load_state_dict(convert(st)); s.eval()
c=Codec(); resume(c,D/'codec.pt'); c.eval()
tok=MiniTokenizer().t5xxl.tokenizer
rng=np.random.default_rng(seed)
rows=[]
for i in range(count):
    sub=SUBJECTS[(seed+i)%len(SUBJECTS)]; place=PLACES[(i*5+seed//len(SUBJECTS)+i//len(SUBJECTS))%9]
    t=caption(rng,sub,place).text; ids=tok(t)['input_ids'][:MIN_TOKENS]; rows.append(ids+[PAD]*(MIN_TOKENS-len(ids)))
ids=torch.tensor(rows); e=tok('')['input_ids']; empty=torch.tensor([e+[PAD]*(MIN_TOKENS-len(e))]).expand_as(ids)
side=16 if kind=='half' else 32
torch.manual_seed(seed); x=torch.randn(count,16,side,side)
sig=calculate_sigmas(comfy.model_sampling.ModelSamplingFlux(),'simple',STEPS)
t0=time.time(); pics=[]
with torch.no_grad():
    for k in range(0,count,8):
        xb=x[k:k+8]; ib=ids[k:k+8]; eb=empty[k:k+8]; B=len(xb)
        for i in range(STEPS):
            if guided: v=s(xb,sig[i].expand(B),ib,torch.full((B,),guided))
            else:
                v=s(torch.cat([xb,xb]),sig[i].expand(2*B),torch.cat([ib,eb]),torch.ones(2*B)); a,b=v.chunk(2); v=b+3.5*(a-b)
            xb=xb+(sig[i+1]-sig[i])*v
        pics.append(c.decode(xb/FLUX_SCALE+FLUX_SHIFT))
p=torch.cat(pics).clamp(-1,1); p=((p+1)*127.5).byte().permute(0,2,3,1).numpy()
w=p.shape[1]; z=256 if kind=='full' else 256; cols=8
sheet=Image.new('RGB',(cols*z,-(-count//cols)*z))
for i,q in enumerate(p): sheet.paste(Image.fromarray(q).resize((z,z),3),(i%cols*z,i//cols*z))
sheet.save(out); print('took',time.time()-t0)
