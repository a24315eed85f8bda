# cython: language_level=3, boundscheck=False, wraparound=False, auto_pickle=False
# distutils: extra_compile_args = -O3
# ruff: noqa: F821
"""Sockets as the kernel has them: which are ready, who connects, what their addresses are.

A Poller is an epoll instance. Its descriptor becomes readable when any of its sockets is ready, so it can itself be
watched by an event loop, which then knows nothing of the sockets:

    socket --.
    socket ---+-- epoll instance -- event loop (timers, signals, child processes)
    socket --'

It is level-triggered: a socket is reported again until what it was reported for has been dealt with.
"""

import os

import cython
from cython.cimports.cpython.ref import Py_DECREF, Py_INCREF
from cython.cimports.libc.errno import errno


@cython.final
@cython.cclass
class Poller:
    """Watches sockets, each for its owner, and keeps the owners alive.

    An owner that `wait` has reported lives until `done`, even if it was removed meanwhile. It must then ignore what is
    reported of it: its descriptor may already be that of a new socket.
    """

    def __cinit__(self):
        self.removed = []
        self.fd = epoll_create1(EPOLL_CLOEXEC)
        if self.fd < 0:
            raise OSError(errno, os.strerror(errno))

    def close(self) -> None:
        """Stop watching; the owners have been removed."""
        if self.fd >= 0:
            close_socket(self.fd)
            self.fd = -1

    def __dealloc__(self):
        if self.fd >= 0:
            close_socket(self.fd)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def add(self, fd: cython.int, mask: cython.uint, owner: object) -> cython.int:
        """Watch a socket. OSError if the kernel cannot."""
        event: epoll_event
        event.events = mask
        event.data.ptr = cython.cast(cython.p_void, owner)
        if epoll_ctl(self.fd, EPOLL_CTL_ADD, fd, cython.address(event)) < 0:
            raise OSError(errno, os.strerror(errno))
        Py_INCREF(owner)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def change(self, fd: cython.int, mask: cython.uint, owner: object) -> cython.int:
        """Watch it for other events. 0: for nothing but its end (EPOLLHUP, EPOLLERR)."""
        event: epoll_event
        event.events = mask
        event.data.ptr = cython.cast(cython.p_void, owner)
        if epoll_ctl(self.fd, EPOLL_CTL_MOD, fd, cython.address(event)) < 0:
            raise OSError(errno, os.strerror(errno))
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def remove(self, fd: cython.int, owner: object) -> cython.int:
        """Forget a socket that was added, before it is closed: a forked child may still have it open."""
        event: epoll_event
        epoll_ctl(self.fd, EPOLL_CTL_DEL, fd, cython.address(event))
        if self.is_reporting:
            self.removed.append(owner)
        Py_DECREF(owner)
        return 0

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def wait(self) -> cython.int:
        """How many sockets are ready now: the first of `events`."""
        self.is_reporting = True
        return max(0, epoll_wait(self.fd, self.events, MAX_EVENTS, 0))

    @cython.cfunc
    def owner(self, index: cython.int) -> object:
        """Whose socket is ready; events[index] says for what."""
        return cython.cast(object, self.events[index].data.ptr)

    @cython.cfunc
    @cython.exceptval(-1, check=False)
    def done(self) -> cython.int:
        """Everything that `wait` has reported was dealt with."""
        self.is_reporting = False
        if self.removed:
            self.removed = []
        return 0


@cython.final
@cython.cclass
class Listener:
    """A listening socket, which is closed with it. unix_name: as clients show it; empty for TCP.

    newcomer: makes the connection of a peer, if it is not the usual one. is_crowded: the kernel had no room for a
    connection, and peers are still waiting.
    """

    def __init__(self, sock: object, newcomer: object = None):
        self.socket = sock
        self.newcomer = newcomer
        self.fd = sock.fileno()
        name = sock.getsockname()
        if isinstance(name, tuple):
            self.unix_name = b""
        else:
            self.unix_name = (name if isinstance(name, bytes) else name.encode("utf-8", "surrogateescape")) + b":0"

    def close(self) -> None:
        """Stop listening."""
        self.fd = -1
        self.socket.close()

    @cython.cfunc
    @cython.exceptval(check=False)
    def accept(self, peer: cython.pointer[sockaddr_storage]) -> cython.int:
        """The descriptor of a new connection, or -1 and errno."""
        length: socklen_t = cython.sizeof(sockaddr_storage)
        return accept4(
            self.fd,
            cython.cast(cython.pointer[sockaddr], peer),
            cython.address(length),
            SOCK_NONBLOCK | SOCK_CLOEXEC,
        )


@cython.cfunc
def own_name(fd: cython.int) -> bytes:
    """Our end of a TCP connection, as b"127.0.0.1:6379"."""
    address: sockaddr_storage
    length: socklen_t = cython.sizeof(sockaddr_storage)
    if getsockname(fd, cython.cast(cython.pointer[sockaddr], cython.address(address)), cython.address(length)) < 0:
        return b"?:0"
    return address_text(cython.address(address))


@cython.cfunc
def address_text(address: cython.pointer[sockaddr_storage]) -> bytes:
    """b"127.0.0.1:6379" or b"[::1]:6379"."""
    text: cython.char[64]
    text[0] = 0
    if address.ss_family == AF_INET6:
        six: cython.pointer[sockaddr_in6] = cython.cast(cython.pointer[sockaddr_in6], address)
        inet_ntop(AF_INET6, cython.address(six.sin6_addr), text, cython.sizeof(text))
        return b"[%s]:%d" % (cython.cast(bytes, text), ntohs(six.sin6_port))
    if address.ss_family != AF_INET:
        return b"?:0"
    four: cython.pointer[sockaddr_in] = cython.cast(cython.pointer[sockaddr_in], address)
    inet_ntop(AF_INET, cython.address(four.sin_addr), text, cython.sizeof(text))
    return b"%s:%d" % (cython.cast(bytes, text), ntohs(four.sin_port))


@cython.cfunc
@cython.exceptval(-1, check=False)
def send_at_once(fd: cython.int) -> cython.int:
    """No reply waits until the one before it is acknowledged (TCP_NODELAY)."""
    on: cython.int = 1
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, cython.address(on), cython.sizeof(on))
    return 0


@cython.cfunc
@cython.exceptval(-1, check=False)
def set_keepalive(fd: cython.int, seconds: cython.int) -> cython.int:
    """Probe after `seconds` of silence, and again 3 times at a third of that."""
    on: cython.int = 1
    interval: cython.int = max(1, seconds // 3)
    count: cython.int = 3
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, cython.address(on), cython.sizeof(on))
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, cython.address(seconds), cython.sizeof(on))
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, cython.address(interval), cython.sizeof(on))
    setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, cython.address(count), cython.sizeof(on))
    return 0
