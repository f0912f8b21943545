"""The answer of an exported adapter, opened as its README says, by transformers and peft alone.

python open_export.py FOLDER PROMPT
"""

import sys

from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

folder, prompt = sys.argv[1:]
base = AutoModelForCausalLM.from_pretrained(f"{folder}/base")
model = PeftModel.from_pretrained(base, folder)
tokenizer = AutoTokenizer.from_pretrained(f"{folder}/base")
tokens = tokenizer(prompt, return_tensors="pt")
output = model.generate(**tokens, max_new_tokens=16, do_sample=False)
print(tokenizer.decode(output[0, tokens["input_ids"].shape[1] :], skip_special_tokens=True))
