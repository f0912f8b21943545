"""Fine-tuning, in a process of its own: the recipe, the network it learns on, and an adapter's files.

`process.py` is the service's side of it and offers what `engine.Tuner` asks for; `job.py` is the plain data that goes
to and fro. The rest runs in the tuner's process alone: numpy and safetensors are imported there. Outside of this
folder only the conversion knows `weights_file.py`, and only lesson 6 the network, with the model of `small.py`.
"""
