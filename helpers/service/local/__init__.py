"""The model on this machine: its files, llama.cpp that answers with it, and the engine that makes one of both.

llama.cpp is imported here alone, in `decoder.py`, and numpy in `gguf_convert.py`, which runs once. How an adapter
learns is another room's, `tuner/`. Made by `server.py`; `helpers.doctor` asks `model_files.py` whether all is there.
"""
