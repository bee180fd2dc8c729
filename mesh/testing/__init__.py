"""What tests of the mesh, ours and our users', stand on: virtual time, servers in memory, faults on demand."""
