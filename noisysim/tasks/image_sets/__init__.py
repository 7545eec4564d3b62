"""Sets of images with labels: every ``load_NAME`` in these modules makes a task, which can also be autoencoded."""
