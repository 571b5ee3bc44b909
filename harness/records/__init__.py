"""Records of trials: as JSON, as files of a results folder, and with the place where a result was taken."""
