"""A NATS server in one process: the same semantics as the real one, on whatever clock the loop has.

`server` joins the parts: `router` (who hears what), `log` (a stream), `bucket` (keys), `durable` (a consumer). `bus`,
`store` and their views are what one client sees of it.
"""
