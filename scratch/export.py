from common import *
from big.mini.training import train as T
from big.mini.training.dataset import SceneArrays
from big.mini.codec import Codec
from big.mini.training.loop import resume
torch.set_num_threads(1)
c=Codec(); resume(c,D/'codec0.pt'); c.eval()
T.export(c,SceneArrays(D/'today'),torch.load(D/'flow.pt'))
for p in ('flux','text','vae'): print(p,sum(v.numel() for v in load_file(W/f'{p}.safetensors').values()))
