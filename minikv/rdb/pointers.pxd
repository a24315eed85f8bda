# Types of pointers, for the signatures of this room.

from libc.stdint cimport uint8_t

ctypedef uint8_t *Bytes
ctypedef const uint8_t *ConstBytes
