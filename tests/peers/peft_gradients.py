"""What transformers and peft make of an adapter: logits, and the gradients of the mean of their squares.

python peft_gradients.py MODEL_FOLDER ADAPTER_FOLDER IDS_JSON RESULT_NPZ
"""

import json
import sys

import numpy
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

model_folder, adapter_folder, ids, result = sys.argv[1:]
plain = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
model = PeftModel.from_pretrained(plain, adapter_folder, is_trainable=True)
logits = model(torch.tensor(json.loads(ids))).logits
logits.square().mean().backward()
found = {"logits": logits.detach().numpy()}
for name, parameter in model.named_parameters():
    if parameter.requires_grad:
        _, _, _, _, layer, _, target, half, *_ = name.split(".")
        found[f"{half[-1].lower()}.{target}.{layer}"] = parameter.grad.numpy()
numpy.savez(result, **found)
