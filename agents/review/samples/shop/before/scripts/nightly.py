"""Run once a night, long ago."""

print("nothing to do")
