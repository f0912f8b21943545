"""What transformers makes of texts: the means of the last layer's states, of length 1.

python bert_means.py MODEL_FOLDER TEXTS_JSON MAX_TOKENS RESULT_NPZ
"""

import json
import sys

import numpy
import torch
from tokenizers import Tokenizer
from transformers import BertModel

folder, texts, most, result = sys.argv[1:]
tokenizer = Tokenizer.from_file(f"{folder}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(int(most))
model = BertModel.from_pretrained(folder, dtype=torch.float32).eval()
means = []
with torch.no_grad():
    for text in json.loads(texts):
        means.append(model(torch.tensor([tokenizer.encode(text).ids])).last_hidden_state[0].mean(0))
means = torch.stack(means)
numpy.savez(result, vectors=torch.nn.functional.normalize(means).numpy())
