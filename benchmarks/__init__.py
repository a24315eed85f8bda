"""Benchmarks: minikv and redis-server measured in turns, in one run, on this machine.

One question per file:

    throughput   how many requests a second, and how much of the server's CPU does one take?
    memory       how many bytes does a key cost beyond its key and value?
    snapshot     what does BGSAVE cost the clients, and how long does it take?
    growth       how much memory does a snapshot take while clients go on?
    load         how long does a start with a dump take?
    startup      what does an empty server cost, and when does it answer?

The rest serves them: servers (start, stop), client (RESP without a library's overhead), datasets (what is stored),
processes (what /proc says), pinger (a client that measures stalls), report (JSON and Markdown).
Run `python -m benchmarks --help` from the checkout.
"""
