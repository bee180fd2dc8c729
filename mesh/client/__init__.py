"""What anyone opens to use a mesh: `Mesh`, and `run` for an agent alone in its process."""
