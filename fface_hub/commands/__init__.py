"""What the commands of `fface_hub.cli` do; imported when a command is run."""
