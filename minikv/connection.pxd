from minikv.commands.client cimport Client
from minikv.commands.stats cimport Stats
from minikv.commands.table cimport CommandTable
from minikv.protocol.reply cimport ReplyBuffer
from minikv.protocol.request cimport Limits, RequestReader


cdef extern from "<sys/socket.h>" nogil:
    ssize_t send_to_socket "send" (int fd, const void *data, size_t length, int flags)
    int setsockopt(int fd, int level, int name, const void *value, unsigned int length)
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    enum: SOL_SOCKET
    enum: SO_KEEPALIVE


cdef extern from "<netinet/tcp.h>" nogil:
    enum: TCP_KEEPIDLE
    enum: TCP_KEEPINTVL
    enum: TCP_KEEPCNT


cdef extern from "<netinet/in.h>" nogil:
    enum: IPPROTO_TCP


cdef class Hub:
    cdef public CommandTable table
    cdef public Stats stats
    cdef public Limits limits
    cdef public dict clients
    cdef public object server, loop, log, tick
    cdef public long long last_id, max_clients, hard_limit, soft_limit, soft_seconds
    cdef public int keepalive_seconds
    cdef public bint password_needed, local_only
    cdef ReplyBuffer replies
    cdef bytearray input
    cdef list unsent
    cdef Connection serving


cdef class Connection(Client):
    cdef Hub hub
    cdef object transport, held
    cdef list pushed
    cdef RequestReader reader
    # closing: nothing more is read, executed or sent. backlogged: the transport may hold bytes. choked: too many of them.
    # waiting: input is held, first what the reader has of it, then the chunks of `held`. paused: the reader's argv is a request that could not run yet.
    cdef bint closing, backlogged, choked, waiting, reading_paused, is_direct
    # This connection's part of hub.replies, while it is among hub.unsent.
    cdef Py_ssize_t reply_at, reply_len
    cdef Py_ssize_t held_len
    cdef long long soft_since_ns

    cdef int serve(self) except -1
    cdef bint serve_requests(self, Py_ssize_t start) except -1
    cdef int hold_input(self, Py_ssize_t length) except -1
    cdef bint next_held(self) except -1
    cdef void finish_reply_mode(self) noexcept
    cdef int send_from(self, Py_ssize_t start) except -1
    cdef int send(self, Py_ssize_t start, Py_ssize_t length) except -1
    cdef int send_bytes(self, const char *data, Py_ssize_t length) except -1
    cdef bint over_limits(self, Py_ssize_t more) except -1
    cdef int set_reading(self, bint wanted) except -1
    cdef int set_keepalive(self, int seconds) except -1
