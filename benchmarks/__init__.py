"""Benchmarks, and the lab: what snapshots cost, measured on this machine.

Benchmarks: minikv and redis-server in turns, in one run, one question per file:

    throughput   how many requests a second, and how much of the server's CPU does one take?
    memory       how many bytes does a key cost beyond its key and value?
    bgsave       what does BGSAVE cost the clients, and how long does it take?
    growth       how much memory does a snapshot take while clients go on?
    load         how long does a start with a dump take?
    collections  what do hashes, lists, sets and sorted sets cost?
    medium       what do many collections of 20 to some thousand elements cost, in everything?
    eviction     how good is a cache that holds a tenth of the keys?
    churn        does memory stay flat while elements of collections come and go?
    startup      what does an empty server cost, and when does it answer?

The lab: an instrument with settings, for any Redis-compatible server on this machine; draws pictures:

    snapshot     what does a snapshot take from machine and clients, moment by moment, under a load of your choice?
    mechanisms   what is copy-on-write made of, on this machine? (its experiments are in copy_on_write)
    plan         how much memory must a machine keep free for a snapshot?
    compare      is B better than A? (commits, settings or servers in turns, with the spread)

The rest serves them: servers (start, stop, attach), client (RESP without a library's overhead), datasets, mixed,
population and keys (what is stored, what is touched), traffic (the load), access (commands on elements of collections),
probe (a client that measures latency), processes and watch (what /proc says), bounds (control groups), figures
(percentiles, spreads), report (JSON and Markdown), picture (one look for all).
Run `python -m benchmarks --help` from the checkout; it needs `pip install -e '.[lab]'`.
"""
