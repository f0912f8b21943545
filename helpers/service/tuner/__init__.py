"""Fine-tuning, in processes of its own: the recipe, the network it learns on, and an adapter's files.

`pool.py` and `process.py` are the service's side of it and offer what `engine.Tuner` asks for; `job.py` is the plain
data that goes to and fro. The rest runs in a tuner's process alone: numpy and safetensors are imported there. Outside
of this folder only the conversion knows `weights_file.py`, and only lesson 6 the network, with the model of `small.py`.
"""
