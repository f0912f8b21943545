"""The local Gradient service, in rooms; `tests/test_walls.py` keeps the walls between them.

    __main__.py commands.py server.py   the program, which puts the parts together
    launcher.py paths.py logs.py        how others find it, and where it keeps things
    http/                               the Gradient API over HTTP, and nothing below it knows HTTP
    calls.py                            what the API does
    scheduler.py store.py catalog.py    whose turn it is, which adapters there are, which base models
    engine.py refusals.py malloc.py     the interfaces of what computes, and what all may say and need
    local/                              llama.cpp with the model on this machine
    tuner/                              fine-tuning, in a process of its own

A module that is new gets its place in that test's tables.
"""
