from common import *
from big.mini.codec import Codec
st=load_file(W/'vae.safetensors'); st={k:v.float() for k,v in st.items() if not k.startswith('preview')}
c=Codec(); c.load_state_dict(st); torch.save(c.state_dict(),D/'codec0.pt'); torch.save(c.state_dict(),D/'codec.pt')
