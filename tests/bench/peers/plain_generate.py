"""Plain transformers: `generate`, greedy, with its cache, in 32-bit floats on the CPU.

    python plain_generate.py FOLDER THREADS

On the CPU even where there is a GPU, because llama.cpp answers there too; bfloat16 is slower on such CPUs.
"""

import sys
from importlib.metadata import version
from time import perf_counter

import torch
import transformers
from lines import serve


def load():
    folder, threads = sys.argv[1:]
    torch.set_num_threads(int(threads))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()

    def complete(prompt, tokens):
        inputs = tokenizer(prompt, return_tensors="pt")
        length = inputs["input_ids"].shape[1]
        output = model.generate(
            input_ids=inputs["input_ids"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=tokens,
            do_sample=False,
            pad_token_id=0,
        )[0, length:]
        text = tokenizer.decode(output, skip_special_tokens=True)
        return {"text": text, "tokens": len(output), "prompt_tokens": length}

    def answer(prompts, tokens):
        began = perf_counter()
        answers = [complete(prompt, tokens) for prompt in prompts]
        return {"seconds": perf_counter() - began, "answers": answers}

    return answer, {name: version(name) for name in ("torch", "transformers")}


serve(load)
