"""One thread for all tests: they are small, and threads that wait for each other wait for other programs too."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
