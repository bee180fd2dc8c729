"""One file a tool. Each lays nothing out and blames nobody: it runs its tool over a workspace and reads what it prints.

Tools run as `python -I -m tool` in the workspace's root: no settings of the reviewed repository, no code of it, and no
settings of this machine's user have a say.
"""
