"""Training methods: one file each, with the rows it takes and its loss."""
