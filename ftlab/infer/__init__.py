"""Answers from models, in one process. Imported by nobody: started as `python -m ftlab.infer`."""
