"""The torch backend of a trial: its device, its mini-batches, its clocks, its memory, and the GPU it runs on."""
