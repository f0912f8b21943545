"""The least that must happen before a first fine-tune: torch is imported and the weights are read.

python read_weights.py FOLDER          torch, and the tensors as 32-bit floats
python read_weights.py FOLDER model    transformers and peft too, and the model with LoRA on it
"""

import sys
from pathlib import Path

import torch
from safetensors.torch import load_file

folder, *wanted = sys.argv[1:]
if wanted:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, target_modules=["gate_proj", "up_proj", "down_proj"]))
    print(sum(weight.numel() for weight in model.parameters()))
else:
    tensors = {name: tensor.float() for name, tensor in load_file(Path(folder) / "model.safetensors").items()}
    print(sum(tensor.numel() for tensor in tensors.values()))
