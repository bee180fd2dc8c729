"""Floor 2, top: a host launches the agent processes of a manifest, watches them, and lets them go in order."""
