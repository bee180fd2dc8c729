"""What Python's own parser shows of a change, for installations without the tools of the extra `review`.

Standard library only, and a program of its own (`python -I -m mesh.agents.review.builtin PART FILE…`): what it reads is a
stranger's. It sees less than the tools do, and its author says so with every bid; what it reports should be true.
"""
