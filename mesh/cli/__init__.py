"""Floor 4: the command line. One file a command, loaded when it is called."""
