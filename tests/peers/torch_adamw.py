"""Three steps of torch's AdamW with two rates on given matrices and gradients.

    python torch_adamw.py START_NPZ RESULT_NPZ

START has the matrices and, under "gradient.NAME.STEP", their gradients; those that begin with "b." have four times the
rate.
"""

import sys

import numpy
import torch

start, result = sys.argv[1:]
given = dict(numpy.load(start))
matrices = {name: torch.tensor(values) for name, values in given.items() if not name.startswith("gradient.")}
groups = [{"params": [values], "lr": 8e-3 if name.startswith("b.") else 1e-3} for name, values in matrices.items()]
optimizer = torch.optim.AdamW(groups, 1e-3, weight_decay=0.0)
for step in range(3):
    for name, values in matrices.items():
        values.grad = torch.tensor(given[f"gradient.{name}.{step}"])
    optimizer.step()
numpy.savez(result, **{name: values.numpy() for name, values in matrices.items()})
