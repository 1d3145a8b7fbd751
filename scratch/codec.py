# the shipped VAE as it is
from common import *
from big.mini.codec import Codec

st = {
    k: v.float() for k, v in load_file(W / "vae.safetensors").items() if not k.startswith("preview")
}
c = Codec()
c.load_state_dict(st)
torch.save(c.state_dict(), D / "codec0.pt")
