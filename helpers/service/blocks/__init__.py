"""The blocks of the Gradient API: what is made of a document with a small model, without HTTP.

texts.py         what a document says: its text without HTML, its sentences, those nearest to a question
model.py         how a block asks the model
answer.py summarize.py sentiment.py personalize.py extract.py        one block each

`calls.py` runs them in their turn. The model has 135 million parameters and invents facts freely, so a block takes what
it says from the document wherever that was measured to be right more often (tests/bench/TRIED.md).
"""
