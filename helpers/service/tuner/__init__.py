"""Fine-tuning, in a process of its own: the recipe, the network it learns on, and an adapter's files.

`process.py` is the service's side of it and offers what `engine.Tuner` asks for; `job.py` is the plain data that goes
to and fro. The rest runs in the tuner's process alone: torch and safetensors are imported there, and by no one outside
of this folder.
"""
