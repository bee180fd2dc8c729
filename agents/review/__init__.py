"""The review team: specialists that compete for the parts of a code review, and the workflow that joins their findings.

From the bottom: `changes` and `findings` are the nouns; `git`, `collect` and `patch` read a diff; `workspace` lays both
sides of it out in a temporary folder; `analysers` run tools there; `attribution` keeps what the change is to blame for;
`synthesis` makes one review of many reports; `formats` shows it. None of these knows a mesh. `specialists`, `llm_reviewer`
and `workflow` put them on one.
"""
