"""One thread, so that times and results do not depend on the machine."""

import torch

torch.set_num_threads(1)
