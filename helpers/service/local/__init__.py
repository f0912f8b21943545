"""The models on this machine: their files, llama.cpp that answers with one, numpy that makes vectors of texts with the
other, and the engine that makes one of all.

llama.cpp is imported here alone, in `decoder.py`. numpy is imported in `gguf_convert.py`, which runs once, and for
vectors in `bert.py` and `embedder.py`. How an adapter learns is another room's, `tuner/`. Made by `server.py`;
`helpers.doctor` asks `model_files.py` whether all is there.
"""
