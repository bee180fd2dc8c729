"""Who does the work: ready-made teams built from the mesh's own parts. Imported as `mesh.agents`."""
