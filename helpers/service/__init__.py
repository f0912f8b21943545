"""The local Gradient service, in rooms; `tests/test_walls.py` keeps the walls between them.

    __main__.py commands.py server.py   the program, which puts the parts together
    launcher.py paths.py logs.py        how others find it, and where it keeps things
    http/                               the Gradient API over HTTP, and nothing below it knows HTTP
    calls.py blocks/                    what the API does; what it makes of a document
    collections.py ingestion.py         files and retrieval: what the API does with them, and what goes on behind it
    documents.py pdf.py chunkers.py     what a file says, and how it is cut into passages
    vectors.py rag_prompt.py            which passages a question finds, and how it is asked with them
    scheduler.py store.py catalog.py    whose turn it is, which adapters there are, which base models
    collection_store.py database.py     which collections there are; how SQLite is used
    learners.py overview.py             how far each workspace is; what there is of all of them
    engine.py refusals.py malloc.py     the interfaces of what computes, and what all may say and need
    local/                              llama.cpp with the model on this machine
    tuner/                              fine-tuning, in processes of its own
    cluster/                            the same engine on the machines of a Ray cluster

A module that is new gets its place in that test's tables.
"""
