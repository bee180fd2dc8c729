"""One run of a workflow, from its top to its end, or to where nobody need hold it."""
