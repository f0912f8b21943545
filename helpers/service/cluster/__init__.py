"""The engine on a Ray cluster: a worker on each machine, which holds the local engine, and who routes calls to them.

    engine.py    the `Engine` on the service's side: which worker, what it is sent, and again elsewhere if it dies
    routing.py   which workers there are and what each is doing; chooses one
    parcels.py   an adapter's folder as bytes, and the folders that a worker keeps
    worker.py    what runs on another machine, around an engine
    on_ray.py    Ray, and only here: joins a cluster, keeps a worker on each of its nodes, carries calls to them

Imported only where the service is asked for it (`--ray`). All but `on_ray.py` is plain Python.
"""

import os

# Ray reads these when it is imported, by `on_ray.py`.
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent home
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of processors that we do not use
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")  # or it writes a line a second for a head that is not there
os.environ.setdefault("RAY_DISABLE_FAILURE_SIGNAL_HANDLER", "1")  # or it reports each clean end as a crash
