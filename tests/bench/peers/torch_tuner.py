"""The tuner that this project had until it was written in numpy, in torch. Serves one fine-tune a line.

    python torch_tuner.py FOLDER THREADS [FLOATS]

A request gives the samples as lists of token ids and of labels; the answer has the seconds of the fine-tune, the steps
and the summed loss at the beginning. FLOATS names torch's type for the frozen matrices; without it they are bfloat16
where the CPU multiplies such in hardware, else float32. Nothing is written, which spares it a few hundredths of a
second.
"""

import ctypes
import sys
from pathlib import Path
from time import perf_counter

from lines import serve


def load():
    import torch
    from torch_old.recipe import TokenSample, Tuner

    torch.set_num_threads(int(sys.argv[2]))
    if sys.platform == "linux":
        for option, value in ((-3, 32 * 1024 * 1024), (-1, 128_000_000)):  # keep freed memory, as the service's does
            ctypes.CDLL(None).mallopt(option, value)
    tuner = Tuner(Path(sys.argv[1]), sys.argv[3] if len(sys.argv) > 3 else None)

    def answer(ids, labels):
        samples = [TokenSample(tuple(own), tuple(theirs)) for own, theirs in zip(ids, labels, strict=True)]
        began = perf_counter()
        _, result = tuner.tune(samples, 8, 2e-3)
        return {"seconds": perf_counter() - began, "steps": result.steps, "sum_loss": result.sum_loss}

    return answer, {"torch": torch.__version__}


serve(load)
