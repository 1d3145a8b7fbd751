# the scenes of the old world that fit into today's: kept subjects, those on the left mirrored
from common import *
from names import *
from big.mini.training.dataset import SceneArrays
from big.mini.world import SUBJECTS
s=SceneArrays(D/'train'); names=[q.name for q in SUBJECTS]
st=np.asarray(s.stand_N); su=np.asarray(s.subject_N)
idx=np.nonzero((su<0)|np.isin(su,[OLD.index(k) for k in KEEP]))[0]
(D/'today').mkdir(exist_ok=True); t=SceneArrays(D/'today',len(idx))
for o in range(0,len(idx),200):
    j=idx[o:o+200]; im=np.asarray(s.images_NHWC[j]); ma=np.asarray(s.masks_NHW[j]); left=(st[j]%2==1)
    im[left]=im[left][:,:,::-1]; ma[left]=ma[left][:,:,::-1]
    t.images_NHWC[o:o+200]=im; t.masks_NHW[o:o+200]=ma
t.subject_N[:]=[names.index(OLD[k]) if k>=0 else -1 for k in su[idx]]; t.place_N[:]=np.asarray(s.place_N)[idx]; t.stand_N[:]=(st[idx]+1)//2
print(len(idx),np.bincount(t.stand_N))
