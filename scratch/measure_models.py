# sam|clip MINUTES : one thread, from the shipped weights up or from its own
from common import *
import torch.nn.functional as F
from big.mini.training.dataset import SceneArrays
from big.mini.training.loop import Budget
torch.set_num_threads(1)
kind,minutes=ARGS[0],float(ARGS[1])
scenes=SceneArrays(D/'today'); path=D/f'{kind}.pt'
if kind=='sam':
    from big.mini.training import train_sam as T
    from big.mini.sam import build_mini_sam
    model=build_mini_sam()
else:
    from big.mini.training import train_clip as T
    from big.mini.clip import build_mini_clip
    model=build_mini_clip()
if not path.exists():
    st={k:v.float() for k,v in load_file(W/f'{kind}.safetensors').items()}
    own=model.state_dict()
    for k,v in list(st.items()):
        if k not in own: print('drop',k); del st[k]; continue
        if own[k].shape!=v.shape:
            print(k,tuple(v.shape),tuple(own[k].shape))
            if k.endswith('patch_embed.proj.weight'): st[k]=F.interpolate(v,own[k].shape[2:],mode='nearest')/4
            elif k.endswith('pos_embed') and v.ndim==4:
                st[k]=F.interpolate(v.permute(0,3,1,2),own[k].shape[1:3],mode='bicubic').permute(0,2,3,1).contiguous()
            elif v.ndim==2 and v.shape[1]==own[k].shape[1]: n=own[k].clone(); n[:len(v)]=v[:len(n)]; st[k]=n
            else: del st[k]
    k='token_embedding.weight'
    if k in st:
        import json
        o=json.load(open(D/'tokenizer_old.json'))['model']['vocab']; n=json.load(open('/work/wt/grown/mini/tokenizer/tokenizer.json'))['model']['vocab']
        w=st[k].clone(); st[k]=w.clone()
        for word,i in n.items(): st[k][i]=w[o[word]]
    own.update(st); torch.save(own,path)
import time
seed=int(time.time())
(T.train_sam if kind=='sam' else T.train_clip)(scenes,path,Budget(minutes=minutes),seed=seed)
print('done')
