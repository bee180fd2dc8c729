"""The journals of jobs: written by one owner, read by anybody."""
