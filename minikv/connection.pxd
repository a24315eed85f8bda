from minikv.dispatch.client cimport Client
from minikv.dispatch.stats cimport Stats
from minikv.dispatch.table cimport CommandTable
from minikv.protocol.reply cimport ReplyBuffer, Sink
from minikv.protocol.request cimport Limits, RequestReader


cdef extern from "<sys/socket.h>" nogil:
    ssize_t send_to_socket "send" (int fd, const void *data, size_t length, int flags)
    int setsockopt(int fd, int level, int name, const void *value, unsigned int length)
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    enum: MSG_MORE
    enum: SOL_SOCKET
    enum: SO_KEEPALIVE


cdef extern from "<netinet/tcp.h>" nogil:
    enum: TCP_KEEPIDLE
    enum: TCP_KEEPINTVL
    enum: TCP_KEEPCNT


cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_TCP


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


cdef class Hub(Sink):
    cdef public CommandTable table
    cdef public Stats stats
    cdef public Limits limits
    cdef public dict clients, strangers
    cdef public object server, loop, log, tick
    cdef public long long last_id, max_clients, hard_limit, soft_limit, soft_seconds
    cdef public int keepalive_seconds
    cdef public bint password_needed, local_only
    cdef ReplyBuffer replies
    cdef bytearray input
    cdef bytes laddr
    cdef list unsent
    cdef Connection serving
    # Where the replies of the connection that is being served begin.
    cdef Py_ssize_t start
    # Of clients, until their descriptors are free.
    cdef Py_ssize_t sockets
    # Bytes of large requests and replies that the allocator may still have.
    cdef Py_ssize_t released_bytes

    cpdef give_back(self, Py_ssize_t least)


cdef class Connection(Client):
    cdef Hub hub
    cdef object transport
    cdef list pushed
    cdef RequestReader reader
    # ending: nothing more is read or executed, and when the replies have left, it is closing: nothing is sent either.
    # handed: the transport has the beginning of the unread replies. choked: there are too many of them. counted: among hub.sockets.
    # waiting: input is held, first what the reader has of it, then the chunks of `held`. paused: the reader's argv is a request that could not run yet.
    cdef bint ending, closing, handed, choked, counted, waiting, reading_paused, is_direct
    # This connection's part of hub.replies, while it is among hub.unsent.
    cdef Py_ssize_t reply_at, reply_len
    # Requests that wait: chunks of input, or None.
    cdef object held
    cdef Py_ssize_t held_len
    # Replies that the kernel has not taken: bytes objects, the first from backlog_at on, or None.
    cdef object backlog
    cdef Py_ssize_t backlog_at, backlog_len, handed_len, pushed_len
    cdef long long soft_since_ns

    cdef int serve(self) except -1
    cdef bint serve_requests(self, Py_ssize_t start) except -1
    cdef int hold_input(self, Py_ssize_t length) except -1
    cdef bint next_held(self) except -1
    cdef void finish_reply_mode(self) noexcept
    cdef int send_from(self, Py_ssize_t start, bint more) except -1
    cdef int send(self, const char *data, Py_ssize_t length, bint more) except -1
    cdef int send_object(self, bytes value) except -1
    cdef Py_ssize_t send_now(self, const char *data, Py_ssize_t length, bint more) except -2
    cdef int keep(self, bytes data, Py_ssize_t at) except -1
    cdef int send_backlog(self) except -1
    cdef int pass_piece(self, Py_ssize_t length) except -1
    cdef int drop_backlog(self) except -1
    cdef int wait_for_room(self) except -1
    cdef int go_on_sending(self) except -1
    cdef int end(self) except -1
    cdef Py_ssize_t unread(self) except -1
    cdef bint over_limits(self, Py_ssize_t more) except -1
    cdef int set_reading(self, bint wanted) except -1
    cdef int set_keepalive(self, int seconds) except -1
