cimport cython
from libc.stdint cimport int64_t, uint8_t, uint64_t

from minikv.rdb.compact cimport Compact
from minikv.rdb.input cimport RdbInput, Text
from minikv.rdb.stream cimport StreamReader
from minikv.rdb.target cimport LoadTarget

cdef enum:                          # ValueReader.state: what go_on() has to read
    IDLE = 0                        # nothing: the value is complete
    DIRECT                          # a large string, on its way to its place
    PIECES                          # the same, to a target that takes it in pieces
    SKIPPED                         # the same, expired
    ELEMENTS                        # a collection's elements
    MODULE                          # the parts of a module's data
    NODES                           # a stream's nodes, and what is behind them
    ARRAY                           # an array's elements, for nobody

cdef enum:                          # ValueReader.outcome: what became of a complete value
    LOADED = 0
    EXPIRED
    EMPTY                           # a collection without elements
    PASSED_OVER                     # a module's, of a type that minikv does not have, or not wanted


@cython.final
cdef class ValueReader:
    cdef RdbInput source
    cdef LoadTarget target
    cdef LoadTarget nowhere
    cdef LoadTarget into            # of the value at hand: the target, or nowhere
    cdef int64_t now_ms             # keys and fields whose time is before are passed over

    # Set by the caller
    cdef bint valkey                # types that Redis and Valkey number alike are Valkey's
    cdef bint alone                 # the input is one value: nothing may follow it
    cdef uint64_t database
    cdef uint64_t record_at         # offset of the type
    cdef int64_t idle_s             # how the key was used, -1: not known
    cdef int frequency
    cdef bint unwanted              # the target passes over the next value

    # The value at hand
    cdef Text key
    cdef bint has_key
    cdef int type
    cdef int kind                   # RDB's plain type of the same
    cdef int64_t expire_at_ms       # 0: no expiry
    cdef int outcome
    cdef int state
    cdef uint8_t *direct_to
    cdef uint64_t left              # bytes, or elements, that are still to come
    cdef bint opened                # the target knows of the collection
    cdef uint64_t fields_expired
    cdef uint64_t base_ms           # hash with times of fields: they count from it
    cdef bytes module_name
    cdef object module_key          # None: the data belongs to no key
    cdef uint64_t module_at         # offset of the module's data
    cdef Text name
    cdef Text value
    cdef StreamReader stream

    # Hashes with templates
    cdef dict templates             # by identifier: its fields, each behind its length of 8 bytes, and their number
    cdef bytearray fields           # of the template that is being read
    cdef uint64_t last_len          # bytes of the last one of them
    cdef bytes template             # fields of the hash at hand
    cdef uint64_t fields_left       # how many there are
    cdef const uint8_t *next_field  # in `template`

    cdef list metadata              # classes of the metadata of the key that comes next
    cdef dict remarks               # (how often, of what first) by the text of the remark

    cdef int read_key(self) except -1
    cdef int begin(self, int type, bint has_expiry, int64_t expire_at_ms) except -1
    cdef int begin_module_aux(self) except -1
    cdef int read_template(self) except -1
    cdef int read_metadata(self) except -1
    cdef int go_on(self, uint64_t stop_at) except -1

    cdef str named_key(self, str preposition=*)
    cdef int refuse(self, str reason) except -1
    cdef int remark(self, str kind, str what) except -1
    cdef int remark_metadata(self) except -1
    cdef int remark_stream(self) except -1
    cdef int duplicate_key(self) except -1
    cdef int only(self, uint64_t nbytes) except -1
    cdef int begin_string(self) except -1
    cdef int plain_string(self, uint64_t length) except -1
    cdef int packed_string(self) except -1
    cdef uint8_t *string_room(self, uint64_t length) except NULL
    cdef int whole_string(self, const uint8_t *text, uint64_t length) except -1
    cdef int string_end(self) except -1
    cdef int go_on_direct(self, uint64_t stop_at) except -1
    cdef int go_on_pieces(self, uint64_t stop_at) except -1
    cdef int begin_elements(self) except -1
    cdef int go_on_elements(self, uint64_t stop_at) except -1
    cdef int read_element(self) except -1
    cdef int read_node(self) except -1
    cdef int open(self) except -1
    cdef int give(self, const uint8_t *name, uint64_t name_len, const uint8_t *value, uint64_t value_len,
                  int64_t at_ms) except -1
    cdef int give_scored(self, const uint8_t *name, uint64_t name_len, double score) except -1
    cdef int duplicate_element(self, const uint8_t *name, uint64_t name_len) except -1
    cdef int elements_end(self) except -1
    cdef double old_score(self) except? -1
    cdef double score_of(self, const uint8_t *text, uint64_t length, bint strict) except? -1
    cdef int not_a_number(self) except -1
    cdef int64_t field_time(self, uint64_t ttl) except? -1
    cdef int read_compact(self, int form) except -1
    cdef int read_strings(self, int form) except -1
    cdef int read_triples(self, Compact *compact) except -1
    cdef int compact_wrong(self, Compact *compact, str reason) except -1
    cdef int read_fields(self) except -1
    cdef int add_field(self, const uint8_t *name, uint64_t length) except -1
    cdef int fields_end(self) except -1
    cdef int begin_template_hash(self) except -1
    cdef int read_own_fields(self) except -1
    cdef int choose_template(self, object identifier) except -1
    cdef int use_fields(self, bytes fields) except -1
    cdef int give_by_template(self, const uint8_t *value, uint64_t value_len) except -1
    cdef int read_template_values(self) except -1
    cdef int begin_stream(self) except -1
    cdef int go_on_stream(self, uint64_t stop_at) except -1
    cdef int begin_module(self, object key) except -1
    cdef int begin_unknown(self) except -1
    cdef int go_on_array(self, uint64_t stop_at) except -1
    cdef int unknown_end(self) except -1
    cdef int go_on_module(self, uint64_t stop_at) except -1
    cdef int module_part(self) except -1
