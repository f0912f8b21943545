"""Bare llama.cpp: `xllamacpp.Server` in process, without HTTP and without our code.

    python bare_llama.py MODEL.gguf THREADS [ADAPTER.gguf]

The same weights, threads, slots, context and kind of cache as the service's decoder had when this was written. They are
written out here and not imported, so that a change of the decoder's shows in the ratio.
"""

import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from time import perf_counter

import xllamacpp
from lines import serve

SLOTS, CONTEXT = 8, 2048


def load():
    model, threads, *adapters = sys.argv[1:]
    params = xllamacpp.CommonParams()
    params.model.path = model
    params.n_parallel = SLOTS
    params.n_ctx = SLOTS * CONTEXT
    params.kv_unified = False
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_ENABLED
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_Q8_0
    params.cache_ram_mib = 0
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = int(threads)
    params.verbosity = -1
    params.ui = False
    infos = []
    for path in adapters:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path, info.scale = path, 1.0
        infos.append(info)
    params.lora_adapters = infos
    server = xllamacpp.Server(params)

    def complete(prompt, tokens):
        request = {"prompt": prompt, "n_predict": tokens, "temperature": 0.0, "cache_prompt": True}
        answer = server.handle_completions(request)
        usage = answer["usage"]
        return {
            "text": answer["choices"][0]["text"],
            "tokens": usage["completion_tokens"],
            "prompt_tokens": usage["prompt_tokens"],
        }

    def answer(prompts, tokens):
        with ThreadPoolExecutor(len(prompts)) as pool:
            began = perf_counter()
            answers = list(pool.map(lambda prompt: complete(prompt, tokens), prompts))
            return {"seconds": perf_counter() - began, "answers": answers}

    return answer, {"xllamacpp": version("xllamacpp")}


serve(load)
