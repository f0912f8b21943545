"""HTTP, and only here: routes, wire classes, what stands before a call, what a refusal looks like, what is counted.

Nothing below imports this folder: the calls, the scheduler, the store and the engines know no status numbers, no
FastAPI, no Prometheus. `server.py` and `commands.py` beside it, the program's own parts, are its callers.
"""
