"""What a run leaves on disk, and how it is read back: `directory`, `records`, `checkpoint`, `model_file`, `tensorboard`."""
