cdef extern from "<sys/epoll.h>" nogil:
    union epoll_data:
        void *ptr
    struct epoll_event:
        unsigned int events
        epoll_data data
    int epoll_create1(int flags)
    int epoll_ctl(int epfd, int operation, int fd, epoll_event *event)
    int epoll_wait(int epfd, epoll_event *events, int most, int timeout_ms)
    enum: EPOLL_CLOEXEC
    enum: EPOLL_CTL_ADD
    enum: EPOLL_CTL_MOD
    enum: EPOLL_CTL_DEL
    enum: EPOLLIN
    enum: EPOLLOUT
    enum: EPOLLHUP
    enum: EPOLLRDHUP
    enum: EPOLLERR


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct sockaddr:
        unsigned short sa_family
    struct sockaddr_storage:
        unsigned short ss_family
    int accept4(int fd, sockaddr *address, socklen_t *length, int flags)
    int getsockname(int fd, sockaddr *address, socklen_t *length)
    int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
    ssize_t recv(int fd, void *data, size_t length, int flags)
    ssize_t send_to_socket "send" (int fd, const void *data, size_t length, int flags)
    enum: AF_INET
    enum: AF_INET6
    enum: SOCK_CLOEXEC
    enum: SOCK_NONBLOCK
    enum: SOL_SOCKET
    enum: SO_KEEPALIVE
    enum: MSG_NOSIGNAL
    enum: MSG_DONTWAIT
    enum: MSG_MORE


cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        pass
    struct in6_addr:
        pass
    struct sockaddr_in:
        unsigned short sin_port
        in_addr sin_addr
    struct sockaddr_in6:
        unsigned short sin6_port
        in6_addr sin6_addr
    unsigned short ntohs(unsigned short value)
    enum: IPPROTO_TCP


cdef extern from "<netinet/tcp.h>" nogil:
    enum: TCP_NODELAY
    enum: TCP_KEEPIDLE
    enum: TCP_KEEPINTVL
    enum: TCP_KEEPCNT


cdef extern from "<arpa/inet.h>" nogil:
    const char *inet_ntop(int family, const void *address, char *text, socklen_t size)


cdef extern from "<unistd.h>" nogil:
    int close_socket "close" (int fd)


# As many as one wait reports.
cdef enum:
    MAX_EVENTS = 256


cdef class Poller:
    cdef readonly int fd
    cdef bint is_reporting
    cdef list removed
    cdef epoll_event events[MAX_EVENTS]

    cdef int add(self, int fd, unsigned int mask, object owner) except -1
    cdef int change(self, int fd, unsigned int mask, object owner) except -1
    cdef int remove(self, int fd, object owner) except -1
    cdef int wait(self) except -1
    cdef object owner(self, int index)
    cdef int done(self) except -1


cdef class Listener:
    cdef readonly int fd
    cdef readonly bytes unix_name
    cdef bint is_crowded
    cdef object socket, newcomer

    cdef int accept(self, sockaddr_storage *peer) noexcept


cdef bytes own_name(int fd)
cdef bytes address_text(sockaddr_storage *address)
cdef int send_at_once(int fd) except -1
cdef int set_keepalive(int fd, int seconds) except -1
