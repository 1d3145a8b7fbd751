from common import *
from big.mini.training.dataset import provide_scenes

provide_scenes(D / "train", PARTS * 1000, 0)
