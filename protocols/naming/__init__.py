"""How things are called on the wire: what may be a name, and the subjects of each family. `Subjects` has them all."""
