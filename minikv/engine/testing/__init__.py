"""Structures of the engine as objects, for tests and measurements; nothing else imports them.

element_chain   one chain
scored          one tree of a sorted set
sequence_index  one sequence
"""
