"""The one-sample lesson as one would write it without a service: transformers, peft, AdamW, then `generate`.

    python plain_peft.py FOLDER PROMPT ANSWER

The recipe is a good one (LoRA of rank 8 on the MLP matrices, AdamW at 2e-3, clipped gradients, and an end as soon as
each token has half of the probability), so that what is compared is the work around it. It uses a GPU if there is one.
Prints a JSON object: the answer, the steps, and the seconds of the steps alone.
"""

import json
import math
import sys
from time import perf_counter

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

MAX_STEPS = 10

folder, prompt, answer = sys.argv[1:]
device = "cuda" if torch.cuda.is_available() else "cpu"
torch.manual_seed(0)
tokenizer = AutoTokenizer.from_pretrained(folder)
model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).to(device)
lora = LoraConfig(r=8, lora_alpha=16, target_modules=["gate_proj", "up_proj", "down_proj"], task_type="CAUSAL_LM")
model = get_peft_model(model, lora)
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=2e-3, weight_decay=0.0)

began = perf_counter()
ids = tokenizer(prompt + answer + "<|im_end|>", return_tensors="pt")["input_ids"].to(device)
steps = 0
while steps < MAX_STEPS:
    logits = model(input_ids=ids).logits[0, :-1]
    losses = torch.nn.functional.cross_entropy(logits, ids[0, 1:], reduction="none")
    if losses.max().item() < math.log(2):
        break
    optimizer.zero_grad()
    losses.mean().backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    steps += 1
seconds = perf_counter() - began

model.eval()
inputs = tokenizer(prompt, return_tensors="pt").to(device)
output = model.generate(
    input_ids=inputs["input_ids"],
    attention_mask=inputs["attention_mask"],
    max_new_tokens=32,
    do_sample=False,
    pad_token_id=0,
    eos_token_id=tokenizer.convert_tokens_to_ids("<|im_end|>"),
)
text = tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
print(json.dumps({"answer": text.strip(), "steps": steps, "seconds_of_steps": seconds}))
