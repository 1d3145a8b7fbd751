from common import *
from big.mini.training.dataset import SceneArrays
from big.mini.training.augment import pictures
from big.mini.codec import Codec
from big.mini.training.loop import resume
from PIL import Image
torch.set_num_threads(1)
sc=SceneArrays(D/'train'); c=Codec(); resume(c,D/ARGS[0]); c.eval()
x=pictures(sc,slice(19990,19998))
with torch.no_grad(): y=c.decode(c.encode(x)).clamp(-1,1)
print('L1',(x-y).abs().mean().item())
z=torch.cat([torch.cat(list(x),2),torch.cat(list(y),2)],1); Image.fromarray(((z+1)*127.5).byte().permute(1,2,0).numpy()).save(ARGS[1])
