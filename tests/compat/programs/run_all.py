"""Runs the programs beside this one, and says whose layers they had."""

import best_rq
import magvit
import meshgpt
import rq_vae
import soundstream
import torch
import vector_quantize_pytorch

for program in (soundstream, meshgpt, magvit, rq_vae, best_rq):
    torch.manual_seed(0)
    program.main()
print(vector_quantize_pytorch.__name__)
