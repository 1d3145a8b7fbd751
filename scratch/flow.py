# half|full PICTURES THREADS BATCH RATE POWER [compile]
from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_flux import *
from big.mini.training import loop
kind,n,threads,batch,rate,power=ARGS[0],int(ARGS[1]),int(ARGS[2]),int(ARGS[3]),float(ARGS[4]),float(ARGS[5])
torch.set_num_threads(threads)
seed=int(time.time()); torch.manual_seed(seed); rng=np.random.default_rng(seed)
scenes=SceneArrays(D/'train')
if kind=='half': lat=torch.load(D/'half.pt')
else: lat=torch.cat([torch.load(p) for p in sorted(D.glob('full*.pt'),key=lambda p:int(p.stem[4:]))])
class Part:  # the first scenes, as many as there are latents
    masks_NHW=scenes.masks_NHW[:len(lat)]; stand_N=scenes.stand_N[:len(lat)]
    subject_N=scenes.subject_N[:len(lat)]; place_N=scenes.place_N[:len(lat)]
s=Student(); path=D/'flow.pt'
if path.exists(): s.load_state_dict(torch.load(path))
else:
    st={'flux.'+k:v.float() for k,v in load_file(W/'flux.safetensors').items()}
    st|={'text.'+k:v.float() for k,v in load_file(W/'text.safetensors').items()}
    r=s.load_state_dict(st,strict=False); print('missing',r.missing_keys,'unexpected',r.unexpected_keys)
if len(ARGS)>6 and int(ARGS[6]):
    for b in list(s.flux.double_blocks)+list(s.flux.single_blocks): b.compile(dynamic=False)
cap=Captions(Part,seed)
batches=flux_batches(lat,Part,cap,batch,rng)
opt=Optimizer(s,decay=0.,is_matrix=is_matrix,memory=.999,youth=50)
loop.train(kind,opt,batches,flow_loss,Rate(rate,power=power),loop.Budget(steps=n//batch),path)
print('done')
