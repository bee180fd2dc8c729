"""Agents as actors: what a handler accepts, who runs it, and how messages reach it and answers return.

The walk of one message: `dispatch` takes it off the subject and checks it, `admission` says whether it may wait for the
`actor` in its `mailbox`, an `invocation` runs the handler under its deadline, a `responder` sends back what came out, and the
`exchange` of the asking process wakes the one who waits. Below are deadlines and breakers (`mesh.resilience`), above is the contract net.

`declaring`: what an agent says of itself · `exchanging`: messages in and out · `admitting`: what may wait, and whose turn it is ·
`running`: an instance at work · `asking`: whom to ask, and what else to try · `events` · `keeping`: states, histories, effects.
Here stands the process itself: `peer`, what it can say (`speaking`), and what the registry hears of it (`registration`).
"""
