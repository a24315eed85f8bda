from minikv.connection cimport Connection


cdef extern from "Python.h":
    object PyMemoryView_FromMemory(char *data, Py_ssize_t size, int flags)
    enum: PyBUF_READ
    enum: PyBUF_WRITE


cdef class TlsConnection(Connection):
    # tls: a minikv.tls.Tls. The others are made when the peer's first bytes come: two ssl.MemoryBIO, the ssl.SSLObject and its methods.
    cdef object tls, incoming, outgoing, session, decrypt, encrypt
    # is_open: hands have been shaken. has_more: there may be input that is read from the socket and not decrypted. at_end: the peer has said that it
    # sends no more.
    cdef bint is_open, has_more, at_end
    # Encrypted bytes that the kernel has not taken, from unsent_at on, or None. promised: how many bytes of the backlog they are, which count as unsent
    # until all of them have left.
    cdef bytes unsent
    cdef Py_ssize_t unsent_at, promised
    # Encrypted bytes behind those which no reply caused.
    cdef Py_ssize_t own_len

    cdef Py_ssize_t fill(self) except -3
    cdef int ask_for_more(self) except -1
    cdef int begin(self) except -1
    cdef int shake_hands(self) except -1
    cdef int open(self) except -1
    cdef int refuse(self, object reason) except -1
    cdef Py_ssize_t send_own(self) except -3
    cdef Py_ssize_t send_encrypted(self, bint more) except -3
