"""Reading, checking and tokenising training data. Nothing here loads torch, pandas or widgets."""
