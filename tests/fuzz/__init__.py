"""Fuzzing of everything that reads what others wrote: tags, configurations and files.

``PYTHONPATH=tests python -m fuzz --help`` runs it; `tests/test_fuzz.py` runs a small part.
"""
