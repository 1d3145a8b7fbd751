import sys, types
pkg=types.ModuleType('big'); pkg.__path__=['/work/wt/big']; sys.modules['big']=pkg
sys.path.insert(0,'/work/wt/big/.host/ComfyUI'); sys.path.append('/work/wt/big')
from pathlib import Path
from big.mini.training.dataset import provide_scenes
provide_scenes(Path('/work/train/train'), int(sys.argv[1]), 0)
