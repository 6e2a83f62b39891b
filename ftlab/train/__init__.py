"""The embedded trainer. Imported by nobody: started as `python -m ftlab.train RUN`."""
