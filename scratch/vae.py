from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.train_codec import *
from big.mini.training.train_codec import Codec
torch.set_num_threads(2)
scenes=SceneArrays(D/'train'); path=D/'codec.pt'
if not path.exists():
    st=load_file(W/'vae.safetensors'); st={k:v.float() for k,v in st.items() if not k.startswith('preview')}
    c=Codec(); c.load_state_dict(st); torch.save(c.state_dict(),path)
train_codec(scenes,path,Budget(minutes=float(ARGS[0])),seed=0)
