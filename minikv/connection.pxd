from cpython.object cimport PyObject

from minikv.dispatch.client cimport Client
from minikv.dispatch.memory_limit cimport MemoryLimit
from minikv.dispatch.stats cimport Stats
from minikv.dispatch.table cimport CommandTable
from minikv.protocol.reply cimport ReplyBuffer, Sink
from minikv.protocol.request cimport Limits, RequestReader
from minikv.sockets cimport Listener, Poller


cdef extern from * nogil:
    """
    #include <malloc.h>
    #ifdef __GLIBC__
    #define give_free_memory_back() malloc_trim(0)
    #else
    #define give_free_memory_back() 0
    #endif
    """
    int give_free_memory_back()
    int __builtin_clzll(unsigned long long)


# Results of `receive`; `transmit` has the second.
cdef enum:
    NOTHING_YET = -1
    BROKEN = -2


cdef class Hub(Sink):
    cdef public CommandTable table
    cdef public Stats stats
    cdef public Limits limits
    cdef public dict clients, strangers
    cdef public object server, loop, log, tick
    cdef public long long last_id, max_clients, hard_limit, soft_limit, soft_seconds
    cdef public long long pubsub_hard_limit, pubsub_soft_limit, pubsub_soft_seconds
    cdef public int keepalive_seconds
    cdef public bint password_needed, new_are_unrestricted, local_only
    # maxmemory-clients in bytes, 0: there is no limit.
    cdef public long long client_limit
    cdef public object on_crowded
    cdef MemoryLimit memory_limit
    # Clients that hold more than a little, by the number of bits of how many bytes it is.
    cdef list heavy
    cdef bint is_crowded
    cdef Poller poller
    cdef list listeners
    cdef ReplyBuffer replies
    cdef bytearray input
    cdef bytes laddr
    cdef list unsent, pending
    cdef readonly Connection serving
    # Where the replies of the connection that is being served begin.
    cdef Py_ssize_t start
    # Bytes of large requests and replies that the allocator may still have.
    cdef Py_ssize_t released_bytes
    # Steps of handshakes in this round.
    cdef int handshakes
    # is_called: the event loop will call run_pending.
    cdef bint in_round, is_called

    cpdef send_unsent(self)
    cpdef give_back(self, Py_ssize_t least)
    cpdef run(self)
    cpdef serve_others(self)
    cdef int call_soon(self) except -1
    cdef int check_clients(self) except -1
    cdef int handle_listener(self, Listener listener) except -1
    cdef int accept_from(self, Listener listener) except -1
    cdef int admit(self, int fd, Listener listener, bytes addr, bytes laddr) except -1
    cdef int rest_from_accepting(self, Listener listener, str reason) except -1


cdef class Connection(Client):
    cdef Hub hub
    cdef list pushed
    cdef RequestReader reader
    # What the poller watches the socket for.
    cdef unsigned int mask
    # ending: nothing more is read or executed, and it is closed when the replies have left. closing: it is closed. doomed: it is closed at the
    # end of the round. choked: too many replies are unread.
    # is_pending: among hub.pending. waiting: input is held, first what the reader has of it, then the chunks of `held`. paused: the reader's argv is a
    # request that could not run yet.
    cdef bint ending, closing, doomed, choked, waiting, reading_paused, is_pending
    # This connection's part of hub.replies, while it is among hub.unsent.
    cdef Py_ssize_t reply_at, reply_len
    # Requests that wait: chunks of input, or None.
    cdef object held
    cdef Py_ssize_t held_len
    # Replies that the kernel has not taken: bytes objects, the first from backlog_at on, or None.
    cdef object backlog
    cdef Py_ssize_t backlog_at, backlog_len, pushed_len
    cdef long long soft_since_ns
    # on_room: called when the socket takes more of what `feed` sends, or None while the client sends requests. wants_room: feed waits for that.
    cdef object on_room
    cdef bint wants_room
    # counted: of the bytes that it holds, those that the hub has counted. noted_above: held input above which they are counted anew after a batch.
    cdef long long counted
    cdef long long stranger_since_ns
    cdef Py_ssize_t noted_above

    cpdef object begin_array(self, Py_ssize_t count)
    cdef object run_item(self, object array, object command, PyObject **argv, Py_ssize_t argc)
    cdef Py_ssize_t receive(self, char *data, Py_ssize_t size) except -3
    cdef Py_ssize_t transmit(self, const char *data, Py_ssize_t length, bint more) except -3
    cdef int update_mask(self) except -1
    cdef int set_reading(self, bint wanted) except -1
    cdef int handle(self, unsigned int events) except -1
    cdef int take_input(self) except -1
    cdef Py_ssize_t take_once(self, bint is_direct) except -1
    cdef int end_input(self) except -1
    cdef bint is_waiting_for_others(self) noexcept
    cdef int lose(self) except -1
    cdef int use_room(self) except -1
    cdef int go_on(self) except -1
    cdef int serve_held(self) except -1
    cdef int serve(self) except -1
    cdef bint serve_requests(self, Py_ssize_t start) except -1
    cdef int hold_input(self, Py_ssize_t length) except -1
    cdef bint next_held(self) except -1
    cdef void finish_reply_mode(self) noexcept
    cdef int send_replies(self) except -1
    cdef int send_from(self, Py_ssize_t start, bint more) except -1
    cdef int send_part(self, Py_ssize_t start, bint more) except -1
    cdef bint holds_back(self) except -1
    cdef int hold_back(self, bytes data) except -1
    cdef int send(self, const char *data, Py_ssize_t length, bint more) except -1
    cdef int send_object(self, bytes value) except -1
    cdef Py_ssize_t send_now(self, const char *data, Py_ssize_t length, bint more) except -2
    cdef int keep(self, bytes data, Py_ssize_t at) except -1
    cdef int send_backlog(self) except -1
    cdef int pass_piece(self, Py_ssize_t length) except -1
    cdef int drop_backlog(self) except -1
    cdef int note_input(self) except -1
    cdef int recount(self) except -1
    cdef int end(self) except -1
    cdef int end_requests(self) except -1
    cdef Py_ssize_t unread(self) except -1
    cdef bint over_limits(self, Py_ssize_t more) except -1
    cdef bint is_above(self, Py_ssize_t more, long long hard_limit, long long soft_limit, long long soft_seconds) except -1
