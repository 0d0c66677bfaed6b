"""Names of the files that training writes to the folder of a run."""

LATEST_CHECKPOINT = "checkpoint.ckpt"
PREVIOUS_CHECKPOINT = "checkpoint.previous.ckpt"
CHECKPOINTS = (LATEST_CHECKPOINT, PREVIOUS_CHECKPOINT)
WEIGHTS = "model.safetensors"
WINDOW_SCORES = "val_windows.npz"
